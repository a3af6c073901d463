"""Fixtures that several kinds of tests share."""

from __future__ import annotations

import os
from pathlib import Path

# before torch is loaded, here and in the processes that tests start: two test workers share two cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from tftctl.core.workspace import Workspace

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
