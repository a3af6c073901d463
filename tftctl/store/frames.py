"""The shape of a frame that the store takes: key columns first, known types, sorted by symbol and timestamp."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from tftctl.core.errors import StoreError, UsageError, choices
from tftctl.core.names import KEY_COLUMNS
from tftctl.core.periods import period_ms

SORT_KEY = ("symbol", "timestamp")
TYPES: dict[str, pl.DataType] = {
    str(dtype): dtype
    for dtype in (
        *(pl.Int8(), pl.Int16(), pl.Int32(), pl.Int64(), pl.UInt8(), pl.UInt16(), pl.UInt32()),
        *(pl.Float32(), pl.Float64(), pl.Boolean(), pl.String(), pl.Date()),
    )
}


def period_order(period: str) -> tuple[float, str]:
    """Sort key of periods and macro frequencies: short to long, then names such as `1mo` in their order."""
    try:
        return period_ms(period), period
    except UsageError:
        return float("inf"), period


def column_types(frame: pl.DataFrame) -> dict[str, str]:
    """Name and type name of every column."""
    return {name: str(dtype) for name, dtype in frame.schema.items()}


def polars_schema(columns: Mapping[str, str]) -> dict[str, pl.DataType]:
    """Polars types of stored columns."""
    return {name: TYPES[dtype] for name, dtype in columns.items()}


def conform(frame: pl.DataFrame, period: str, where: str) -> pl.DataFrame:
    """The frame with its key columns first, `period` filled in, and text instead of categories.

    `where` names the table and period in errors. Raises StoreError for a missing key column, a null in it, another
    period's rows, or a type that the store does not keep.
    """
    missing = [name for name in SORT_KEY if name not in frame.columns]
    if missing:
        raise StoreError(f"{where}: a frame has no column {missing[0]!r}", f"it has: {', '.join(frame.columns)}")
    if "period" in frame.columns and not (frame.get_column("period") == period).all(ignore_nulls=False):
        raise StoreError(f"{where}: a frame holds rows of another period", "write each period on its own")
    if not _has_the_shape(frame):
        rest = [name for name in frame.columns if name not in KEY_COLUMNS]
        frame = frame.select(
            pl.col("symbol").cast(pl.String),
            pl.lit(period).alias("period"),
            pl.col("timestamp"),
            *(_as_kept(name, frame.schema[name], where) for name in rest),
        )
    _check_key(frame, where)
    return frame


def match(frame: pl.DataFrame, columns: Mapping[str, str], where: str) -> pl.DataFrame:
    """The frame with exactly these columns and types; a column that it lacks is null.

    Raises StoreError for a column too many or a value that the type cannot hold.
    """
    if column_types(frame) == columns and list(columns) == frame.columns:
        return frame
    extra = [name for name in frame.columns if name not in columns]
    if extra:
        raise StoreError(
            f"{where}: column {extra[0]!r} is not in the first frame", choices(extra[0], columns, "columns")
        )
    try:
        return frame.select(
            (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in polars_schema(columns).items()
        )
    except pl.exceptions.PolarsError as error:
        raise StoreError(f"{where}: {error}", f"types kept: {_text(columns)}") from None


def check_sorted(frame: pl.DataFrame, before: tuple[str, int] | None, where: str) -> None:
    """Raise StoreError unless keys rise strictly, also from `before`, the last key of the frame before this one."""
    if frame.is_empty():
        return
    symbol, time = frame.get_column("symbol"), frame.get_column("timestamp")
    same = symbol == symbol.shift(1)
    rising = ((same & (time > time.shift(1))) | (symbol > symbol.shift(1))).fill_null(True)
    wrong = rising.arg_min() if not rising.all() else None
    if wrong is None and before is not None and (symbol[0], time[0]) <= before:
        wrong = 0
    if wrong is not None:
        raise StoreError(
            f"{where}: rows are not sorted by symbol and timestamp, or a key repeats, at {symbol[wrong]} {time[wrong]}",
            "sort by symbol and timestamp, one row per key",
        )


def _has_the_shape(frame: pl.DataFrame) -> bool:
    dtypes = frame.dtypes
    texts = dtypes[0] == dtypes[1] == pl.String
    return tuple(frame.columns[:3]) == KEY_COLUMNS and texts and all(str(dtype) in TYPES for dtype in dtypes)


def _as_kept(name: str, dtype: pl.DataType, where: str) -> pl.Expr:
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return pl.col(name).cast(pl.String)
    if str(dtype) not in TYPES:
        raise StoreError(
            f"{where}: column {name!r} is {dtype}, which the store does not keep", f"types: {_text(TYPES)}"
        )
    return pl.col(name)


def _check_key(frame: pl.DataFrame, where: str) -> None:
    if frame.schema["timestamp"] != pl.Int64:
        raise StoreError(f"{where}: timestamp is {frame.schema['timestamp']}", "it is Int64, milliseconds UTC")
    for name in SORT_KEY:
        if frame.get_column(name).null_count():
            raise StoreError(f"{where}: a row has no {name}", "every row needs its key")


def _text(names: Mapping[str, object]) -> str:
    return ", ".join(names)
