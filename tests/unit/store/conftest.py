"""Fixtures for the tests of the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tftctl.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store", wait_seconds=5)
