"""One Parquet segment under way."""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from tftctl.core.errors import StoreError
from tftctl.core.names import NAME
from tftctl.core.times import now_ms
from tftctl.store.layout import segment_folder
from tftctl.store.manifest import Kind, Segment
from tftctl.store.rowhash import RowHash, hash_rows, total
from tftctl.store.storage import Storage, writing

ROW_GROUP_ROWS = 20_480
# of a page that holds no wanted row a reader decodes nothing: 8,192 rows of a Float32 column
PAGE_BYTES = 32_768
_PERIOD = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a segment belongs: its table and period, its kind and its sequence number."""

    table: str
    period: str
    kind: Kind = "base"
    sequence: int = 0

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.table) or not _PERIOD.fullmatch(self.period):
            raise StoreError(
                f"{self.table!r} {self.period!r} cannot be a table and a period",
                "a table is named like bars, a period like 1h or 1mo",
            )

    def __str__(self) -> str:
        return f"{self.table} {self.period}"


def count_groups(frame: pl.DataFrame) -> dict[str, int]:
    """Rows per symbol, in the order of the symbols."""
    return dict(frame.group_by("symbol").len().sort("symbol").iter_rows())


class _Sink:
    """A new file that counts and hashes what is written to it."""

    def __init__(self, path: Path) -> None:
        self._file = io.BufferedWriter(io.FileIO(path, "xb"))
        self._sha256 = hashlib.sha256()
        self.bytes = 0

    @property
    def closed(self) -> bool:
        return self._file.closed

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def write(self, content: Any) -> int:
        written = self._file.write(content)
        self._sha256.update(content)
        self.bytes += written
        return written

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        self._file.flush()

    def sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


@dataclass
class Tally:
    """What a segment's record says of its rows, counted frame by frame."""

    rows: int = 0
    groups: Counter[str] = field(default_factory=Counter)
    first: int | None = None
    last: int | None = None
    row_hash: RowHash = field(default_factory=RowHash)

    def add(self, frame: pl.DataFrame) -> None:
        """Count the rows of one more frame."""
        if frame.is_empty():
            return
        low, high = frame.select(pl.col("timestamp").min().alias("low"), pl.col("timestamp").max().alias("high")).row(0)
        self.rows += frame.height
        self.groups.update(count_groups(frame))
        self.first = low if self.first is None else min(self.first, low)
        self.last = high if self.last is None else max(self.last, high)
        self.row_hash += total(hash_rows(frame))


class SegmentWriter:
    """One segment under way: a temporary file outside every glob, renamed when it is whole."""

    def __init__(self, storage: Storage, place: Place, first: pl.DataFrame) -> None:
        import pyarrow.parquet as pq

        self._storage, self._place = storage, place
        self._id = f"{now_ms():012x}-{secrets.token_hex(5)}"
        self._temporary = storage.staging / f"{self._id}.parquet"
        self._tally = Tally()
        texts = [name for name, dtype in first.schema.items() if dtype == pl.String]
        # row groups are chosen by symbols and instants, never by the extremes of a feature
        chosen_by = [name for name, dtype in first.schema.items() if not dtype.is_float()]
        schema = first.clear().to_arrow().schema
        with writing(storage.staging):
            self._sink = _Sink(self._temporary)
            try:
                self._parquet = pq.ParquetWriter(
                    self._sink,
                    schema,
                    compression="zstd",
                    compression_level=1,
                    use_dictionary=texts,
                    write_statistics=chosen_by,
                    data_page_size=PAGE_BYTES,
                )
            except BaseException:
                self._drop_file()
                raise

    @property
    def rows(self) -> int:
        return self._tally.rows

    def write(self, frame: pl.DataFrame) -> None:
        with writing(self._storage.staging):
            self._parquet.write_table(frame.to_arrow(), row_group_size=ROW_GROUP_ROWS)
        self._tally.add(frame)

    def finish(self) -> Segment:
        path = f"{segment_folder(self._place.table, self._place.period)}/{self._id}.parquet"
        with writing(self._storage.staging):
            self._parquet.close()
            self._sink.sync()
            self._sink.close()
            self._storage.write_if_absent(path, self._temporary)
        tally = self._tally
        return Segment(
            id=self._id, path=path, period=self._place.period, kind=self._place.kind, sequence=self._place.sequence,
            rows=tally.rows, groups=dict(tally.groups), first=tally.first, last=tally.last, bytes=self._sink.bytes,
            sha256=self._sink.sha256, row_hash=str(tally.row_hash),
        )  # fmt: skip

    def abandon(self) -> None:
        """Close and remove the unfinished file."""
        with suppress(OSError, ValueError):  # Arrow writes the footer on closing, to a disk that may be full
            self._parquet.close()
        self._parquet.is_open = False
        self._drop_file()

    def _drop_file(self) -> None:
        with suppress(OSError):
            self._sink.close()
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)
