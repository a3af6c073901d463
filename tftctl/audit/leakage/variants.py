"""Other futures: bars that are cut off, scaled, shuffled or removed after an instant (SEMANTICS A1)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from tftctl.core.names import BAR_COLUMNS, KEY_COLUMNS

CUT = "cut off"
SCALES = {"scaled up": 3.0, "scaled down": 1 / 3.0}
_STANDING = {*KEY_COLUMNS, "available_at", "ingested_at", "next_timestamp", "segment", "bar_index", "is_filled"}
_KEPT_SHARE = 0.4


def other_futures(bars: pl.DataFrame, kept: int, seed: int) -> Iterator[tuple[str, pl.DataFrame]]:
    """The bars with everything after the first `kept` rows gone or changed, and what was done."""
    past, later = bars.head(kept), bars.slice(kept)
    yield CUT, past
    if later.is_empty():
        return
    moved = moving_columns(bars)
    rng = np.random.default_rng(seed)
    for how, factor in SCALES.items():
        yield how, pl.concat([past, later.with_columns(pl.col(moved) * factor)])
    yield "shuffled", pl.concat([past, later.with_columns(later.select(moved)[rng.permutation(later.height)])])
    yield "removed", pl.concat([past, later.filter(pl.Series(rng.random(later.height) < _KEPT_SHARE))])


def moving_columns(bars: pl.DataFrame) -> list[str]:
    """What the market moves: prices, volume, and numbers beside them."""
    numeric = [name for name, dtype in bars.schema.items() if dtype.is_float() and name not in _STANDING]
    return [name for name in bars.columns if name in BAR_COLUMNS or name in numeric]
