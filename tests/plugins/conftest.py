"""The plugins of this repository can be imported without being installed; test_packages.py really installs them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
sys.path[:0] = [str(_PLUGINS / name) for name in ("tftctl-garch", "tftctl-talib")]


@pytest.fixture
def forgotten_fits() -> Iterator[None]:
    """No test sees GARCH fits of another one, least of all planted ones."""
    from tftctl_garch import fitting

    fitting._remembered_fit.cache_clear()
    yield
    fitting._remembered_fit.cache_clear()
