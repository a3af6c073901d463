"""Every built-in column on fixed bars equals the committed table: no library or refactoring moves a number unseen.

A change that is meant: raise the record's `revision`, then
python tests/golden/test_feature_values.py > tests/golden/feature_values.json
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import polars as pl

from tftctl.core.calendars import open_calendar
from tftctl.core.config.features import FeaturesConfig
from tftctl.features.definitions import of_scope, resolve
from tftctl.features.groups import Recipe
from tftctl.plugins import load_registry

GOLDEN = Path(__file__).with_name("feature_values.json")
ROWS = (130, 150, 170, 320)
HOUR = 3_600_000
START = 1_614_556_800_000  # Monday 2021-03-01


def fixed_bars() -> pl.DataFrame:
    """340 hours of sines, two of them missing."""
    t = np.arange(340)
    level = 100 + 9 * np.sin(t / 7) + 4 * np.sin(t * 1.3) + 0.05 * t
    opens = np.concatenate(([100.0], level[:-1]))
    bars = pl.DataFrame(
        {
            "timestamp": START + HOUR * t,
            "available_at": START + HOUR * (t + 1),
            "open": opens,
            "high": np.maximum(opens, level) + 0.5 + 0.4 * np.cos(t),
            "low": np.minimum(opens, level) - 0.5 - 0.4 * np.sin(t / 3),
            "close": level,
            "volume": 1000 + 900 * np.sin(t * t),
            "taker_buy_volume": (500 + 450 * np.sin(t * t)) * (1 + 0.4 * np.cos(t)),
        }
    )
    keyed = bars.select(pl.lit("AAA").alias("symbol"), pl.lit("1h").alias("period"), pl.all())
    return keyed.filter(~pl.int_range(pl.len()).is_in([20, 145]))


def document() -> dict[str, list[float | None]]:
    """Columns and labels with default parameters at a few rows."""
    registry = load_registry()
    builtin = {kind: [n for n in registry.names(kind) if is_builtin(kind, n)] for kind in ("indicator", "target")}
    normalise = {
        method: {"window": {"1h": 60}, "columns": ["close", "obv"]} for method in ("zscore", "minmax", "robust")
    }
    config = FeaturesConfig.model_validate(
        {"indicators": builtin["indicator"], "targets": builtin["target"], "normalise": normalise}
    )
    indicators, targets = resolve(config, registry)
    recipe = Recipe(
        config, of_scope(indicators, "group"), tuple(targets), {"AAA": open_calendar("24x7")}, {"AAA": "raw"}, ()
    )
    prepared = recipe.prepared(fixed_bars(), None)
    labels = recipe.labels(prepared).drop("symbol", "period", "timestamp")
    rows = recipe.features(prepared).hstack(labels)
    floats = [name for name, dtype in rows.schema.items() if dtype == pl.Float64]
    return {name: [rows[name][row] for row in ROWS] for name in sorted(floats)}


def is_builtin(kind: str, name: str) -> bool:
    """Guests that happen to be installed have no place in the table."""
    return load_registry().find(kind, name).plugin.startswith("builtins.")


def close(value: float | None, wanted: float | None) -> bool:
    """To 1e-9: another processor may round otherwise."""
    if value is None or wanted is None:
        return value is wanted
    return math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-12)


def test_every_column_equals_the_committed_table() -> None:
    """A new indicator or target comes with its numbers."""
    expected, found = json.loads(GOLDEN.read_text()), document()
    assert sorted(found) == sorted(expected)
    moved = [name for name in found if not all(map(close, found[name], expected[name]))]
    assert moved == []


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(), indent=0) + "\n")
