"""How the times of a file are written: as numbers of which unit, as texts with which offset."""

from __future__ import annotations

import polars as pl

_OFFSET = r"(?i)\d:\d{2}(?:\.\d+)?\s*([+-]\d{2}:?\d{2})$"
# as the reader of times tells them apart; what lies between is a date without marks, or no time
_UNITS = (("s", 1e8, 4.1e9), ("ms", 4.1e9, 4.1e12), ("us", 1e14, 4.1e15), ("ns", 1e17, 1e19))
_COMPACT = ((1.9e7, 2.1e7), (1.9e11, 2.1e11), (1.9e13, 2.1e13))


def how_written(values: pl.Series) -> tuple[dict[str, int], dict[str, int]]:
    """Rows by unit (`s`, `ms`, `us`, `ns`), and rows by the offset that their text ends with."""
    if values.dtype == pl.String:
        text = values.str.strip_chars().str.strip_chars('"')
        numbers = text.cast(pl.Float64, strict=False)
        offsets = _counts(text.filter(numbers.is_null()).str.extract(_OFFSET, 1))
        return _counts(pl.select(_unit(numbers)).to_series()), offsets
    return _counts(pl.select(_unit(values.cast(pl.Float64))).to_series()) if values.dtype.is_numeric() else {}, {}


def as_numbers(values: pl.Series) -> pl.Series:
    """Plain numbers as such, which are read ten times as fast; anything else, such as 20240111, as it is."""
    if values.dtype != pl.String and not values.dtype.is_integer():
        return values
    numbers = values.cast(pl.Float64, strict=False)
    if numbers.null_count() or not numbers.is_finite().all():
        return values
    dates = any(bool(numbers.is_between(low, high).any()) for low, high in _COMPACT)
    return values if dates else numbers


def _unit(numbers: pl.Series) -> pl.Expr:
    """The unit of each number; null for what is no number, or none of a time."""
    size = pl.lit(numbers).abs()
    units = [pl.when(size.is_between(low, high, closed="left")).then(pl.lit(name)) for name, low, high in _UNITS]
    return pl.coalesce(units)


def _counts(words: pl.Series) -> dict[str, int]:
    return dict(words.drop_nulls().value_counts().iter_rows())
