"""The plugins of this repository can be imported without being installed; test_packages.py really installs them."""

from __future__ import annotations

import sys
from pathlib import Path

_PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
sys.path[:0] = [str(_PLUGINS / name) for name in ("tftctl-garch", "tftctl-talib")]
