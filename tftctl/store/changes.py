"""What an upsert or a deletion does to the rows that a reader sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import polars as pl

from tftctl.store.frames import SORT_KEY
from tftctl.store.manifest import Part
from tftctl.store.rowhash import hash_rows, total
from tftctl.store.writer import count_groups


def really_changed(frame: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """The rows of `frame` that are new or differ from `stored`, which holds the stored rows of the same keys."""
    if stored.is_empty():
        return frame
    old = stored.select(SORT_KEY).with_columns(_hash_columns(hash_rows(stored)))
    new = frame.select(SORT_KEY).with_columns(_hash_columns(hash_rows(frame)))
    beside = new.join(old, on=SORT_KEY, how="left", suffix="_old", maintain_order="left")
    same = (beside["high"] == beside["high_old"]) & (beside["low"] == beside["low_old"])
    return frame.filter(~same.fill_null(False))


def replaced_part(part: Part, columns: Mapping[str, str], removed: pl.DataFrame, added: pl.DataFrame) -> Part:
    """The part after `removed` rows went and `added` rows came."""
    groups = Counter(part.groups)
    groups.subtract(count_groups(removed))
    groups.update(count_groups(added))
    row_hash = part.row_hash - total(hash_rows(removed)) + total(hash_rows(added))
    kept = {symbol: rows for symbol, rows in sorted(groups.items()) if rows}
    return Part(dict(columns), kept, row_hash)


def _hash_columns(hashes: np.ndarray) -> list[pl.Series]:
    return [pl.Series("high", hashes[:, 0]), pl.Series("low", hashes[:, 1])]
