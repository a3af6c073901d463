"""`fusion`: contexts and a macro series joined by what was available, beside DuckDB's ASOF join."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from markets import HOUR_MS, HOURS, START_MS
from measure import median, one_thread_each, seconds_of, served, table

if TYPE_CHECKING:
    import polars as pl

CONTEXTS = ("4h", "1d")
MAX_STALE = 1
HOLES = 0.01  # of the slower bars are missing, so that some values are stale


def fusion(symbols: int, rows: int, columns: int, threads: int, repeats: int) -> str:
    """Three ways in turns; the markdown report."""
    sides = {
        f"tftctl, {threads} Polars threads, symbol by symbol": (in_turn, threads),
        f"tftctl, {threads} threads over symbols": (side_by_side, 1),
        f"DuckDB ASOF, {threads} threads": (duckdb_asof, threads),
    }
    with ExitStack() as stack:
        running = {}
        for name, (start, width) in sides.items():
            one_thread_each(width)
            running[name] = stack.enter_context(served(start, symbols, rows, columns // 3, threads))
        first = [process.call("run") for process in running.values()]
        times: dict[str, list[float]] = {name: [] for name in running}
        for _ in range(repeats):
            for name, process in running.items():
                times[name].append(process.call("run")[0])
        sums = [process.call("sums") for process in running.values()]
    ours = median(times[next(iter(times))])
    total, width = first[0][1]
    lines = [
        [name, median(values), total / median(values) / 1e6, median(values) / ours, apart(found, sums[-1])]
        for (name, values), found in zip(times.items(), sums, strict=True)
    ]
    header = ["side", "median s", "million rows/s", "time / first", "largest difference of column sums to DuckDB's"]
    note = (
        f"{symbols} symbols x {rows:,} hours, {columns // 3} own columns and as many of 4h and of 1d, one macro "
        f"series: {total:,} rows x {width} columns, with ages, null when more than {MAX_STALE} later bar is due; "
        f"median of {repeats} rounds in turns."
    )
    return f"{note}\n\n{table(header, lines)}"


def apart(found: dict[str, tuple[int, float]], expected: dict[str, tuple[int, float]]) -> float:
    """Relative; infinite where counts of values differ."""
    if {name: count for name, (count, _) in found.items()} != {name: count for name, (count, _) in expected.items()}:
        return float("inf")
    return max(abs(found[name][1] - total) / max(abs(total), 1.0) for name, (_, total) in expected.items())


def market(symbols: int, rows: int, columns: int) -> tuple[dict[str, list[pl.DataFrame]], pl.DataFrame]:
    """Feature rows by period, a frame per symbol, and a daily macro series. Float32 noise."""
    rng = np.random.default_rng(3)
    periods = {p: [feature_rows(rng, s, p, rows, columns) for s in range(symbols)] for p in HOURS}
    return periods, feature_rows(rng, 0, "1d", rows, 1).select("timestamp", "available_at", value="f00")


def feature_rows(rng: np.random.Generator, symbol: int, period: str, hours: int, columns: int) -> pl.DataFrame:
    """Of one symbol."""
    import polars as pl

    length = HOURS[period] * HOUR_MS
    kept = np.flatnonzero(rng.random(hours // HOURS[period]) >= (HOLES if period in CONTEXTS else 0))
    stamps = START_MS + length * kept
    return pl.DataFrame({"symbol": [f"W{symbol:04d}"] * kept.size}).with_columns(
        timestamp=pl.Series(stamps, dtype=pl.Int64),
        available_at=pl.Series(stamps + length, dtype=pl.Int64),
        is_filled=pl.lit(False),
        **{f"f{k:02d}": pl.Series(rng.standard_normal(kept.size, dtype=np.float32)) for k in range(columns)},
    )


def _fuse(rows: pl.DataFrame, contexts: list[pl.DataFrame], macro: pl.DataFrame) -> pl.DataFrame:
    from tftctl.core.calendars import open_calendar
    from tftctl.features.fuse import Context, MacroSeries, fuse_context, fuse_macro

    names = tuple(name for name in rows.columns if name.startswith("f"))
    for period, context in zip(CONTEXTS, contexts, strict=True):
        rows = fuse_context(rows, Context(period, context, names, open_calendar("24x7")), MAX_STALE)
    return fuse_macro(rows, MacroSeries("macro", macro, "1d"), MAX_STALE)


def _tftctl(symbols: int, rows: int, columns: int, mapped: Callable[..., Any]) -> Callable[[str], Any]:
    periods, macro = market(symbols, rows, columns)
    jobs = [(periods["1h"][s], [periods[p][s] for p in CONTEXTS], macro) for s in range(symbols)]
    made: list[pl.DataFrame] = []

    def answer(question: str) -> Any:
        if question == "sums":
            import polars as pl

            return sums(pl.concat(made))
        made.clear()
        seconds, frames = seconds_of(lambda: list(mapped(lambda job: _fuse(*job), jobs)))
        made.extend(frames)
        return seconds, (sum(frame.height for frame in made), made[0].width)

    return answer


def in_turn(symbols: int, rows: int, columns: int, threads: int) -> Callable[[str], Any]:
    """One symbol after the other; Polars has the threads."""
    return _tftctl(symbols, rows, columns, map)


def side_by_side(symbols: int, rows: int, columns: int, threads: int) -> Callable[[str], Any]:
    """Symbols on threads; Polars has one each."""
    return _tftctl(symbols, rows, columns, ThreadPoolExecutor(threads).map)


def sums(frame: pl.DataFrame) -> dict[str, tuple[int, float]]:
    """Values and their sum by fused column."""
    import polars as pl

    names = [name for name in frame.columns if "__" in name or name == "macro"]
    return {name: (frame[name].count(), float(frame[name].cast(pl.Float64).sum())) for name in names}


def duckdb_asof(symbols: int, rows: int, columns: int, threads: int) -> Callable[[str], Any]:
    """All symbols in one statement, from tables into a table."""
    import duckdb
    import polars as pl

    periods, macro = market(symbols, rows, columns)
    database = duckdb.connect()
    database.execute(f"SET threads = {threads}")
    for period, frames in periods.items():
        database.register("coming", pl.concat(frames).to_arrow())
        database.execute(f'CREATE TABLE "{period}" AS SELECT * FROM coming').fetchall()
    database.register("coming", macro.to_arrow())
    database.execute("CREATE TABLE macro AS SELECT * FROM coming").fetchall()
    statement = asof_statement(columns)

    def answer(question: str) -> Any:
        if question == "sums":
            return sums(database.table("fused").pl())
        create = f"CREATE OR REPLACE TABLE fused AS {statement}"
        seconds, _ = seconds_of(lambda: database.execute(create).fetchall())
        width = len(database.execute("DESCRIBE fused").fetchall())
        ((count,),) = database.execute("SELECT count(*) FROM fused").fetchall()
        return seconds, (count, width)

    return answer


def asof_statement(columns: int) -> str:
    """The same values: on a market that never closes, floor(age / period) later bars are due."""
    picked, joins = ["own.*"], []
    for period in CONTEXTS:
        age = f'(own.available_at - "q{period}".available_at)'
        fresh = f"{age} < {(MAX_STALE + 1) * HOURS[period] * HOUR_MS}"
        picked += [f'CASE WHEN {fresh} THEN "q{period}".f{k:02d} END AS "f{k:02d}__{period}"' for k in range(columns)]
        picked.append(f'{age} / {HOUR_MS}.0 AS "age__{period}"')
        joins.append(
            f'ASOF LEFT JOIN "{period}" AS "q{period}" ON own.symbol = "q{period}".symbol '
            f'AND own.available_at >= "q{period}".available_at'
        )
    age = "(own.available_at - macro.available_at)"
    picked.append(f"CASE WHEN {age} < {(MAX_STALE + 1) * HOURS['1d'] * HOUR_MS} THEN macro.value END AS macro")
    picked.append(f"{age} / {HOUR_MS}.0 AS age__macro")
    joins.append("ASOF LEFT JOIN macro ON own.available_at >= macro.available_at")
    return f'SELECT {", ".join(picked)} FROM "1h" AS own {" ".join(joins)}'
