"""What an upsert or a deletion does to the rows that a reader sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from tftctl.store.frames import SORT_KEY
from tftctl.store.manifest import Part
from tftctl.store.rowhash import RowHash, hash_rows, total
from tftctl.store.writer import count_groups


@dataclass(frozen=True, slots=True)
class Change:
    """Rows that come, rows that go, and by how much the hash of all rows moves."""

    added: pl.DataFrame
    removed: pl.DataFrame
    row_hash: RowHash

    def applied_to(self, part: Part, columns: Mapping[str, str]) -> Part:
        """The part with the rows changed; `columns` are those that it then has."""
        groups = Counter(part.groups)
        groups.subtract(count_groups(self.removed))
        groups.update(count_groups(self.added))
        kept = {symbol: rows for symbol, rows in sorted(groups.items()) if rows}
        return Part(dict(columns), kept, part.row_hash + self.row_hash)


def putting(frame: pl.DataFrame, stored: pl.DataFrame) -> Change:
    """Put the rows of `frame` in the place of `stored`, the stored rows of the same keys; equal rows change nothing."""
    places = stored.select(SORT_KEY).with_row_index("place")
    place = frame.select(SORT_KEY).join(places, on=SORT_KEY, how="left", maintain_order="left").get_column("place")
    new, old = hash_rows(frame), hash_rows(stored)
    known = place.is_not_null().to_numpy()
    found = place.drop_nulls().to_numpy()
    changed = ~known
    changed[known] = (new[known] != old[found]).any(axis=1)
    gone = found[changed[known]]
    return Change(frame.filter(pl.Series(changed)), stored[gone], total(new[changed]) - total(old[gone]))


def removing(stored: pl.DataFrame) -> Change:
    """Remove rows."""
    return Change(stored.clear(), stored, RowHash() - total(hash_rows(stored)))
