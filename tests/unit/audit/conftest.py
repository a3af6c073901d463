"""The tiny market."""

from __future__ import annotations

import pytest
from training_world import market as make

from tftctl.core.workspace import Workspace


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with features and targets, built once; nothing may write to its store."""
    return make(tmp_path_factory)
