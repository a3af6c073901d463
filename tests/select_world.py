"""Pools made by hand whose useful features are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from training_world import hand_panel

from tftctl.core.config.selection import Search, SelectionConfig, Trees
from tftctl.select.rows import Pool

USEFUL = (1, 4, 8)
RISING, LEVEL = "target_rising", "target_level"


def planted_pool(
    features: int = 12, bars: int = 2400, useful: Sequence[int] = USEFUL, seed: int = 0, noise: float = 0.5
) -> Pool:
    """Two symbols at 1h; labels of both targets are sums of the useful features (`f1`, ...) and noise."""
    panel = hand_panel([bars, bars], features=features, targets=(LEVEL, RISING), seed=seed)
    rng = np.random.default_rng(seed + 1)
    signal = panel.features[:, list(useful)].sum(1)
    level = signal + noise * rng.standard_normal(panel.rows)
    rising = (signal + noise * rng.standard_normal(panel.rows) > 0).astype(np.float64)
    labels = np.where(np.isnan(panel.labels), np.nan, np.stack([level, rising], axis=1)).astype(np.float32)
    last = int(panel.label_end.max())
    return Pool(
        panel=replace(panel, labels=labels),
        kinds={LEVEL: "regression", RISING: "binary"},
        periods={"1h": panel.columns},
        cut=last,
        until=last,
        embargo_ms=0,
        window_start=panel.timestamp,
        known=frozenset(),
        snapshot=1,
        data="planted",
    )


def small_search(method: str = "tpe", **changes: object) -> SelectionConfig:
    """Settings of a search that takes milliseconds a subset."""
    options = {"method": method, "minutes": 60.0, "trials": 30, "patience": 1000, "train_rows": 600, "test_rows": 400}
    return SelectionConfig(
        seed=3,
        trees=Trees(trees=20, leaves=7, learning_rate=0.2, column_share=1.0),
        optimize=Search.model_validate(options | changes),
    )


def poisoned(pool: Pool, until: int) -> Pool:
    """Features of rows that come after, and labels that end after, are other numbers."""
    rng = np.random.default_rng(99)
    panel = pool.panel
    features, labels = panel.features.copy(), panel.labels.copy()
    late = panel.available_at > until
    features[late] = 100 * rng.standard_normal((int(late.sum()), features.shape[1]))
    after = panel.label_end > until
    labels[after] = np.where(np.isnan(labels[after]), np.nan, rng.integers(0, 2, int(after.sum())))
    assert late.any() and after.sum() > 2 * late.sum() // 2
    return replace(pool, panel=replace(panel, features=features, labels=labels))
