"""Bar columns that definitions read and that the bars of some symbols do not have."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from tftctl.core.errors import DataError
from tftctl.core.names import BAR_COLUMNS, ROW_COLUMNS
from tftctl.features.layout import Layout
from tftctl.store import Snapshot

GIVEN = {*ROW_COLUMNS, *BAR_COLUMNS}
_MOST_NAMED = 8


def missing_inputs(snapshot: Snapshot, layout: Layout) -> tuple[str, ...]:
    """A note for every definition that is null for some symbols, because their bars lack a column that it reads.

    Raises DataError where the bars of all symbols lack it.
    """
    everyone = sorted({symbol for symbols in layout.symbols.values() for symbol in symbols})
    lacking: dict[str, list[str]] = {}
    notes = []
    for name, column in _read(layout):
        if column not in lacking:
            lacking[column] = sorted(set(everyone) - _having(snapshot, layout, column))
        if len(lacking[column]) == len(everyone):
            raise DataError(
                f"{name} needs the column {column!r}, which the bars of {_listed(everyone)} do not have",
                f"columns there: {', '.join(snapshot.columns('bars'))}; import files that have it, or take {name} out "
                "of configs/features.yaml",
            )
        if lacking[column]:
            notes.append(f"{name} is null for {_listed(lacking[column])}: no {column} in their bars")
    return tuple(dict.fromkeys(notes))


def _read(layout: Layout) -> Iterator[tuple[str, str]]:
    """Names of definitions with columns that they read and that not all bars have."""
    for instance in layout.recipe.indicators:
        yield from ((instance.record.name, column) for column in instance.inputs if column not in GIVEN)
    for target in layout.recipe.targets:
        yield from ((target.record.name, column) for column in target.record.inputs if column not in GIVEN)


def _having(snapshot: Snapshot, layout: Layout, column: str) -> set[str]:
    """Symbols with a value of a column in any bar."""
    if column not in snapshot.columns("bars"):
        return set()
    rows = [snapshot.scan("bars", period, columns=[column]) for period in layout.periods]
    known = pl.concat(rows).filter(pl.col(column).is_not_null()).select(pl.col("symbol").unique())
    return set(snapshot.collect(known)["symbol"])


def _listed(symbols: list[str]) -> str:
    more = len(symbols) - _MOST_NAMED
    return ", ".join(symbols[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
