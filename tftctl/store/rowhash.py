"""A hash of a set of rows that does not depend on their order and can be added to and taken from (P4).

Every value is mixed with its column's name (splitmix64: Steele, Lea and Flood 2014) and summed over the row; rows are
mixed again in two lanes and summed modulo 2**64. Nulls count as nothing, so adding an empty column changes no hash.
The hash is defined here, not by a library, because it is stored and must mean the same after an upgrade.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

_WORD = 1 << 64
_CHUNK_ROWS = 1 << 16
# values from which on compiled loops are worth loading, unless they are
_WORTH_COMPILED = 1 << 20
_LANES = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03))


@dataclass(frozen=True, slots=True)
class RowHash:
    """Sum of the hashes of a set of rows, in two lanes of 64 bits."""

    high: int = 0
    low: int = 0

    def __add__(self, other: RowHash) -> RowHash:
        return RowHash((self.high + other.high) % _WORD, (self.low + other.low) % _WORD)

    def __sub__(self, other: RowHash) -> RowHash:
        return RowHash((self.high - other.high) % _WORD, (self.low - other.low) % _WORD)

    def __str__(self) -> str:
        return f"{self.high:016x}{self.low:016x}"

    @classmethod
    def parse(cls, text: str) -> RowHash:
        """Read what `str` wrote. Raises ValueError."""
        return cls(int(text[:16], 16), int(text[16:], 16))


def hash_rows(frame: pl.DataFrame) -> np.ndarray:
    """Hash each row: uint64 of shape (rows, 2)."""
    if frame.height * frame.width >= _WORTH_COMPILED or "tftctl.store.rowmix" in sys.modules:
        return hash_rows_compiled(frame)
    return hash_rows_plain(frame)


def hash_rows_plain(frame: pl.DataFrame) -> np.ndarray:
    """By NumPy alone."""
    hashes = np.empty((frame.height, 2), dtype=np.uint64)
    seeds = [np.uint64(_text_hash(name)) for name in frame.columns]
    for start in range(0, frame.height, _CHUNK_ROWS):
        part = frame.slice(start, _CHUNK_ROWS)
        sums = np.zeros(part.height, dtype=np.uint64)
        for (words, missing), seed in zip(_words(part), seeds, strict=True):
            mixed = _mix(words.astype(np.uint64) + seed)
            if missing is not None:
                mixed[missing] = 0
            sums += mixed
        for lane, salt in enumerate(_LANES):
            hashes[start : start + part.height, lane] = _mix(sums ^ salt)
    return hashes


def hash_rows_compiled(frame: pl.DataFrame) -> np.ndarray:
    """The same in one pass a column; worth loading numba for only where there is much to hash."""
    from tftctl.store.rowmix import add_column, add_column_with_nulls, finish

    sums = np.zeros(frame.height, dtype=np.uint64)
    seeds = [np.uint64(_text_hash(name)) for name in frame.columns]
    start = 0
    for batch in pl.DataFrame([_numbers(column) for column in frame]).to_arrow().to_batches():
        rows = sums[start : start + batch.num_rows]
        for array, seed in zip(batch.columns, seeds, strict=True):
            valid, values = array.buffers()
            size = array.type.bit_width // 8
            words = np.frombuffer(values, f"u{size}", count=len(array), offset=array.offset * size)
            if array.null_count:
                add_column_with_nulls(rows, words, np.frombuffer(valid, np.uint8), array.offset, seed)
            else:
                add_column(rows, words, seed)
        start += batch.num_rows
    lanes = [np.empty(frame.height, dtype=np.uint64) for _ in _LANES]
    for lane, salt in zip(lanes, _LANES, strict=True):
        finish(sums, salt, lane)
    return np.column_stack(lanes)


def total(hashes: np.ndarray) -> RowHash:
    """Sum of row hashes of shape (rows, 2)."""
    high, low = hashes.sum(axis=0, dtype=np.uint64)
    return RowHash(int(high), int(low))


def _words(frame: pl.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Unsigned numbers of each column, equal exactly where its values are, and where it is null (None: nowhere).

    All columns in one query each way: one by one they would cost more than the hash of a few thousand rows.
    """
    numbers = pl.DataFrame([_numbers(column) for column in frame])
    partial = [column.name for column in numbers if column.null_count()]
    missing = numbers.select(pl.col(partial).is_null())
    for column in numbers.with_columns(pl.col(partial).fill_null(0)):
        words = column.to_numpy().view(np.uint32 if column.dtype == pl.Float32 else np.uint64)
        yield words, missing[column.name].to_numpy() if column.name in missing.columns else None


def _numbers(column: pl.Series) -> pl.Series:
    """Floats as they are, texts as their hashes, all else as Int64; null where the column is."""
    if column.dtype.is_float():
        return column
    if column.dtype != pl.String:
        return column.to_physical().cast(pl.Int64)
    texts = column.unique().drop_nulls()
    codes = pl.Series([_text_hash(text) for text in texts], dtype=pl.UInt64)
    return column.replace_strict(texts, codes, default=None, return_dtype=pl.UInt64)


def _mix(words: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _text_hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
