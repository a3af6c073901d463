"""Numbers as vendors write them: `5,134.8`, `566.38K`, `1.2M`."""

from __future__ import annotations

import polars as pl

_BLANK = ("", "-", ".", "null", "none", "nan", "na", "n/a", "nat")
_SUFFIX = {"k": 1e3, "m": 1e6, "b": 1e9}


def parse_numbers(values: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Float64 values (null where blank or unreadable), and which texts are there but no number."""
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        return values.cast(pl.Float64).fill_nan(None), pl.repeat(False, len(values), eager=True)
    text = values.cast(pl.String).str.strip_chars().str.to_lowercase()
    text = text.set(text.is_in(_BLANK).fill_null(False), None)
    plain = text.str.replace_all(",", "").str.replace(r"^\$", "")
    numbers = plain.cast(pl.Float64, strict=False)
    unread = numbers.is_null() & plain.is_not_null()
    if unread.any():
        numbers = numbers.fill_null(_suffixed(plain))
    bad = numbers.is_null() & text.is_not_null()
    return numbers.fill_nan(None), bad


def _suffixed(plain: pl.Series) -> pl.Series:
    parts = plain.str.extract_groups(r"^([-+]?[\d.]+)([kmb])$").struct.unnest()
    factor = parts.to_series(1).replace_strict(_SUFFIX, default=None, return_dtype=pl.Float64)
    return parts.to_series(0).cast(pl.Float64, strict=False) * factor
