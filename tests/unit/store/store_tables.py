"""Small tables for the tests of the store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from tftctl.store import Store

SCHEMA = {"symbol": pl.String, "timestamp": pl.Int64, "close": pl.Float64}


def bars(rows: Iterable[tuple[str, int, float | None]]) -> pl.DataFrame:
    """A frame of (symbol, timestamp, close)."""
    return pl.DataFrame(list(rows), schema=SCHEMA, orient="row")


def seen(store: Store, period: str = "1h", number: int | None = None) -> list[tuple[str, int, float | None]]:
    """The rows of `bars` that a reader sees, in their order."""
    with store.read(number) as snapshot:
        return snapshot.scan("bars", period).select("symbol", "timestamp", "close").collect().rows()


def write(store: Store, frame: pl.DataFrame, period: str = "1h", why: str = "test") -> int:
    """Replace a period of `bars` and commit."""
    with store.write(why) as change:
        change.replace("bars", period, frame)
        return change.commit()


def visible_files(root: Path) -> set[str]:
    """Every file below a store that is not the lock or the derived catalogue."""
    found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return {name for name in found if not name.startswith(("_lock", "catalog.duckdb"))}
