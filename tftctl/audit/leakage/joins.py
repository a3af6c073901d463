"""Fusion, done again by an independent path: DuckDB's ASOF join on available_at (SEMANTICS F4, T6).

A stored value that is another one is held against what wrong joins would have given: that names the leak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.audit.leakage.classes import BACKWARD, LABEL_SIDE, LATE, OPEN_TIME, SHIFT
from tftctl.audit.leakage.evidence import Evidence, Stale
from tftctl.audit.leakage.merges import Ways, apart32, explained_by
from tftctl.core.calendars import Calendar
from tftctl.core.names import age_column, context_column
from tftctl.core.periods import HOUR_MS

Array = npt.NDArray[np.float64]

RIGHT = "f.available_at >= d.available_at"
# what a wrong join compares, by the class of the leak; of several that explain as much the first
WRONG = {
    OPEN_TIME: "f.timestamp >= d.timestamp",
    LABEL_SIDE: "f.available_at >= d.timestamp",
    BACKWARD: "f.available_at <= d.available_at",
    SHIFT: "f.available_at >= d.previous_at",
}
WRONG_RELEASES = {LATE: "f.available_at >= d.timestamp", **WRONG}
_NOT_SEEN = -(1 << 62)


@dataclass(frozen=True, slots=True, eq=False)
class Join:
    """Rows of one symbol and what they are joined with.

    `fast`: timestamp, available_at and the joined columns as stored; `slow`: timestamp, available_at and values.
    `columns`: value column -> joined column. A value is too old to be seen once more than `max_stale` bars of
    `calendar` are due since it (None: nobody says), or from `due` of its release on, where that is given.
    """

    symbol: str
    period: str
    fast: pl.DataFrame
    slow: pl.DataFrame
    columns: Mapping[str, str]
    age: str | None
    max_stale: int | None
    calendar: Calendar | None = None
    due: npt.NDArray[np.int64] | None = None
    slow_period: str = ""
    wrong: Mapping[str, str] = field(default_factory=lambda: WRONG)


@dataclass(frozen=True, slots=True)
class Misjoined:
    """A joined column that is not what was available: `kind` None where no wrong join explains it."""

    column: str
    symbol: str
    period: str
    rows: tuple[int, ...]
    count: int
    kind: str | None


# a joined value column and its right values -> wrong ways to come by it
More = Callable[[str, Array], Ways]


def misjoined(join: Join, more: More) -> Iterator[Misjoined]:
    """Joined columns of a symbol that differ from the independent join; `more` is asked where one does."""
    if join.fast.is_empty():
        return
    with duckdb.connect() as connection:
        connection.execute("set threads = 1")
        connection.register("fast", join.fast.select("timestamp", "available_at").to_arrow())
        connection.register("slow", slow_rows(join).to_arrow())
        right = _joined(connection, join, RIGHT)
        seen = _visible(join, right)
        for value, column in join.columns.items():
            yield from _column(connection, join, column, value, np.where(seen, _numbers(right, value), np.nan), more)
        if join.age is not None and join.age in join.fast.columns:
            hours = (right["f_at"] - right["d_at"]).cast(pl.Float64).to_numpy() / HOUR_MS
            stored = _numbers(join.fast, join.age)
            apart = apart32(stored, np.where(right["d_at"].is_null().to_numpy(), np.nan, hours))
            if apart.any():
                yield _found(join, join.age, apart, None)


def note_misjoined(found: Misjoined, evidence: Evidence) -> None:
    """A leak where a wrong join explains it, else a column that is not as it should be."""
    group = found.symbol, found.period
    if found.kind is None:
        evidence.stale.append(Stale("fused", found.column, *group, found.count, found.rows[0]))
    else:
        how = f"{found.count:,} stored rows are, or lie towards, what that gives"
        evidence.suspect(found.column, group, found.rows, how, "fusion", found.kind)


def _column(
    connection: duckdb.DuckDBPyConnection, join: Join, column: str, value: str, expected: Array, more: More
) -> Iterator[Misjoined]:
    stored = _numbers(join.fast, column)
    apart = apart32(stored, expected)
    if join.max_stale is None:
        apart &= ~np.isnan(stored)  # nobody says how old a value may be
    if apart.any():
        ways = {kind: [_numbers(_joined(connection, join, how), value)] for kind, how in join.wrong.items()}
        for kind, some in more(value, expected).items():
            ways[kind] = [*ways.get(kind, []), *some]
        yield _found(join, column, apart, explained_by(stored, expected, apart, ways))


def slow_rows(join: Join) -> pl.DataFrame:
    """Of bars complete at one instant the latest; `previous_at`: when the bar before was complete."""
    rows = join.slow.sort("available_at", "timestamp").unique("available_at", keep="last", maintain_order=True)
    return rows.with_columns(previous_at=pl.col("available_at").shift(1))


def _joined(connection: duckdb.DuckDBPyConnection, join: Join, condition: str) -> pl.DataFrame:
    values = ", ".join(f'd."{value}"' for value in join.columns)
    query = (
        f"select f.available_at as f_at, d.available_at as d_at, d.timestamp as d_opened, {values} "
        f"from fast f asof left join slow d on {condition} order by f.timestamp"
    )
    found = pl.from_arrow(connection.sql(query).to_arrow_table())
    assert isinstance(found, pl.DataFrame)
    return found


def _visible(join: Join, joined: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Rows whose match is no older than it may be."""
    known = joined["d_at"].is_not_null().to_numpy()
    if join.max_stale is None or not known.any():
        return known
    at = joined["f_at"].to_numpy()
    opened = joined["d_opened"].fill_null(_NOT_SEEN).to_numpy()
    if join.due is not None:
        order = np.searchsorted(join.slow["timestamp"].to_numpy(), opened)
        late = at >= join.due[np.minimum(order, join.due.size - 1)]
        return known & ~late
    assert join.calendar is not None
    slots = join.calendar.slots(join.slow_period, int(opened[known].min()), int(at.max()))
    since = np.searchsorted(slots.due_ms, at, side="right") - np.searchsorted(slots.open_ms, opened, side="right")
    return known & (since <= join.max_stale)


def _found(join: Join, column: str, apart: npt.NDArray[np.bool_], kind: str | None) -> Misjoined:
    stamps = join.fast["timestamp"].to_numpy()[apart]
    return Misjoined(column, join.symbol, join.period, tuple(stamps[:8].tolist()), int(apart.sum()), kind)


def _numbers(frame: pl.DataFrame, name: str) -> Array:
    return frame[name].cast(pl.Float64).to_numpy()


def context_join(rows: pl.DataFrame, slow: pl.DataFrame, group: tuple[str, str], slow_period: str, names: Sequence[str],
                 calendar: Calendar, max_stale: int) -> Join:  # fmt: skip
    """What a symbol's fused rows show of a slower period. `slow`: its feature rows with is_filled."""
    return Join(
        *group,
        fast=rows,
        slow=slow.filter(~pl.col("is_filled")).select("timestamp", "available_at", *names),
        columns={name: context_column(name, slow_period) for name in names},
        age=age_column(slow_period),
        max_stale=max_stale,
        calendar=calendar,
        slow_period=slow_period,
    )
