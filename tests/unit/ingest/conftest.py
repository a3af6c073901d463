"""A workspace for imports."""

from __future__ import annotations

from pathlib import Path

import pytest

from tftctl.core.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace with a configuration that says nothing, in a folder of its own."""
    root = tmp_path / "ws"
    (root / "configs").mkdir(parents=True)
    (root / "tftctl.toml").write_text("plugins = []\n")
    (root / "configs" / "features.yaml").write_text("periods: [1h, 4h, 1d]\n")
    return Workspace(root)
