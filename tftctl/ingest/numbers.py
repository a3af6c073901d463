"""Numbers as vendors write them: `5,134.8`, `5.134,8`, `566.38K`, `1.2M`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import polars as pl

from tftctl.core.errors import DataError

Mark = Literal[".", ","]

_BLANK = ("", "-", ".", "null", "none", "nan", "na", "n/a", "nat")
_SUFFIX = {"k": 1e3, "m": 1e6, "b": 1e9}
# a blank, a narrow one, a straight or a curved apostrophe
_SPACED = r"(\d)[ '\x{2019}\x{a0}\x{202f}](\d{3})"
_SIGN, _UNIT = r"^[-+]?", r"[kmb]?$"
# what only a decimal point explains, and what only a decimal comma does; 1,234 and 1.234 tell nothing
_POINT = (
    rf"{_SIGN}\d*\.(\d{{1,2}}|\d{{4,}}){_UNIT}", rf"{_SIGN}(0|\d{{4,}})\.\d+{_UNIT}", r",\d{3}\.\d", r"\d,\d{3},\d{3}",
)  # fmt: skip
_COMMA = (
    rf"{_SIGN}\d+,(\d{{1,2}}|\d{{4,}}){_UNIT}", rf"{_SIGN}(0|\d{{4,}}),\d+{_UNIT}", r"\.\d{3},\d", r"\d\.\d{3}\.\d{3}",
)  # fmt: skip


def decimal_mark(columns: Sequence[pl.Series]) -> Mark:
    """Whether the numbers of a table are written with a decimal point or comma, as most of them show.

    Raises DataError where there are commas and nothing tells what they are: 5,134 may be five or five thousand.
    """
    texts = [_plain(values) for values in columns if values.dtype == pl.String]
    point, comma = (sum(_count(text, "|".join(forms)) for text in texts) for forms in (_POINT, _COMMA))
    if comma > point:
        return ","
    if not point:
        for text in texts:
            for found in text.filter(text.str.contains(r"\d,\d").fill_null(False)).head(1):
                raise DataError(f"{found!r}: decimals or thousands? nothing decides", "write numbers like 5134.5")
    return "."


def parse_numbers(values: pl.Series, mark: Mark = ".") -> tuple[pl.Series, pl.Series]:
    """Float64 values (null where blank or unreadable), and which texts are there but no number.

    The other mark than `mark` groups thousands; where it does not stand in front of three digits, there is no number.
    """
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        return values.cast(pl.Float64).fill_nan(None), pl.repeat(False, len(values), eager=True)
    text = _plain(values)
    text = text.set(text.is_in(_BLANK).fill_null(False), None)
    plain = _ungrouped(text, mark)
    numbers = plain.cast(pl.Float64, strict=False)
    if (numbers.is_null() & plain.is_not_null()).any():
        numbers = numbers.fill_null(_suffixed(plain))
    bad = numbers.is_null() & text.is_not_null()
    return numbers.fill_nan(None), bad


def _plain(values: pl.Series) -> pl.Series:
    """Lower case, without blanks around, currency signs, and the blanks and quotes that group thousands."""
    text = values.cast(pl.String).str.strip_chars(' "\t\r').str.to_lowercase().str.replace(r"^[$€£¥] ?", "")
    if not text.str.contains(_SPACED).any():
        return text
    return text.str.replace_all(_SPACED, "$1$2")


def _ungrouped(text: pl.Series, mark: Mark) -> pl.Series:
    """With a decimal point and without thousands marks; one that groups nothing stays, and no number comes of it."""
    group = "," if mark == "." else r"\."
    if not text.str.contains(group).any():
        return text if mark == "." else text.str.replace(",", ".", literal=True)
    grouped = text.str.contains(rf"{_SIGN}\d{{1,3}}({group}\d{{3}})+([.,]\d*)?{_UNIT}").fill_null(False)
    bare = text.str.replace_all(group, "").str.replace(",", ".", literal=True)
    odd = text.str.contains(group).fill_null(False) & ~grouped
    return bare.zip_with(~odd, text.str.replace(group, "?"))


def _suffixed(plain: pl.Series) -> pl.Series:
    parts = plain.str.extract_groups(r"^([-+]?[\d.]+)([kmb])$").struct.unnest()
    factor = parts.to_series(1).replace_strict(_SUFFIX, default=None, return_dtype=pl.Float64)
    return parts.to_series(0).cast(pl.Float64, strict=False) * factor


def _count(text: pl.Series, forms: str) -> int:
    return int(text.str.contains(forms).sum())
