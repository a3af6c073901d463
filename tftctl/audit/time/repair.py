"""Doing what a plan proposes: a repaired copy beside each file, and the rows that are not in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import polars as pl

from tftctl.audit.time.files import (
    MS,
    PERIOD,
    SYMBOL,
    TROUBLE,
    TimedFile,
    canonical_period,
    canonical_symbol,
    open_timed,
)
from tftctl.audit.time.plan import Plan, Repair, check_unchanged, group_key
from tftctl.core.errors import StoreError

_ROW, _REASON, _KEY = "__row", "__reason", "__key"


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was written. `rows` of the copy, `dropped` equal ones, `rejected` those in the file of rejects."""

    path: str
    output: str
    rejects: str | None
    rows: int
    dropped: int
    rejected: int


def apply_plan(plan: Plan) -> list[Repaired]:
    """Raises DataError, before anything is written, when a file changed or an output is there already."""
    for repair in plan.repairs:
        check_unchanged(repair)
    return [_repair(repair) for repair in plan.repairs]


def _repair(repair: Repair) -> Repaired:
    timed = open_timed(Path(repair.path), repair.options)
    columns = list(timed.file.columns)
    judged = _judged(timed, repair)
    kept = judged.filter(pl.col(_REASON).is_null())
    once = kept.unique([_KEY, MS], keep="first", maintain_order=True).sort(_KEY, MS, maintain_order=True)
    rejected = judged.filter(pl.col(_REASON).is_not_null())
    _write(Path(repair.output), _body(once, timed, repair).select(columns))
    if rejected.height:
        _write(
            Path(repair.rejects), rejected.select(pl.col(_ROW).alias("row"), pl.col(_REASON).alias("reason"), *columns)
        )
    return Repaired(
        path=repair.path,
        output=repair.output,
        rejects=repair.rejects if rejected.height else None,
        rows=once.height,
        dropped=kept.height - once.height,
        rejected=rejected.height,
    )


def _judged(timed: TimedFile, repair: Repair) -> pl.DataFrame:
    """All rows with their number, group and the reason for which they are refused."""
    columns = list(timed.file.columns)
    others = [name for name in columns if name not in timed.times]
    rows = pl.concat(list(timed.blocks(columns))).with_row_index(_ROW, 1)
    groups = rows.select(SYMBOL, PERIOD).unique(maintain_order=True)
    keys = [group_key(canonical_symbol(a), canonical_period(b)) for a, b in groups.iter_rows()]
    until = [repair.until_ms.get(key) for key in keys]
    named = groups.with_columns(pl.Series(_KEY, keys), pl.Series("__until", until, dtype=pl.Int64))
    rows = rows.join(named, on=[SYMBOL, PERIOD], how="left", nulls_equal=True, maintain_order="left")
    differing = pl.struct(others).n_unique().over(_KEY, MS) > 1 if others else pl.lit(False)
    return rows.with_columns(
        pl.coalesce(
            pl.when(pl.col(TROUBLE).is_not_null()).then(TROUBLE),
            pl.when(pl.col(MS).is_null()).then(pl.lit("no readable time")),
            pl.when(pl.col(MS) > pl.col("__until")).then(pl.lit("not over yet")),
            pl.when(differing).then(pl.lit("rows of one time say different things")),
        ).alias(_REASON)
    )


def _body(rows: pl.DataFrame, timed: TimedFile, repair: Repair) -> pl.DataFrame:
    """With the time column in one unit, where it had several."""
    if not repair.rewrite:
        return rows
    when = timed.times[0]
    return rows.with_columns(pl.col(MS).cast(pl.String if rows.schema[when] == pl.String else pl.Int64).alias(when))


def _write(path: Path, rows: pl.DataFrame) -> None:
    """A file that was not there. Raises StoreError, and leaves nothing behind."""
    into: Callable[[IO[bytes]], object] = rows.write_parquet if path.suffix == ".parquet" else rows.write_csv
    try:
        with path.open("xb") as file:
            into(file)
    except FileExistsError:
        raise StoreError(f"{path} is there already, and is not overwritten", "move it away") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        path.unlink(missing_ok=True)
        raise StoreError(f"{path} cannot be written: {error}", "the source is unchanged") from None
