"""Fixtures that several kinds of tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

# before torch is loaded, here and in the processes that tests start: two test workers share two cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from tftctl.core.workspace import Workspace
from tftctl.store import Store

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real market data beside the checkout; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"the shared market data are not there ({SHARED})")
    return SHARED


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace in a temporary folder."""
    (tmp_path / "tftctl.toml").write_text("plugins = []\n")
    return Workspace(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def uncatalogued() -> Iterator[Callable[[Store], bool]]:
    """Commits of this process leave `catalog.duckdb` out: opening it takes longer than the rest of a small commit.

    It is derived, and nothing of tftctl reads it. Its own tests (unit/store/test_store_query.py) have it, and so has
    every command that is a process.
    """
    refresh = Store.refresh_catalog
    Store.refresh_catalog = lambda self: False  # type: ignore[method-assign]
    yield refresh
    Store.refresh_catalog = refresh  # type: ignore[method-assign]


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """Nobody pulls the plug of a test: files are written, and the disk is not waited for.

    That each is synchronised, and when, is asked of the calls (unit/store/test_store_durability.py); commands that are
    processes do wait.
    """
    fsync = os.fsync
    os.fsync = lambda fd: None
    yield
    os.fsync = fsync
