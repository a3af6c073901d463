"""Reading a file of any size in blocks of rows, a few columns at a time."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import polars as pl

from tftctl.core.errors import DataError
from tftctl.ingest.reading import DAMAGED, GZIP, UTF16
from tftctl.ingest.text import TextLayout, layout_of

BLOCK_CHARACTERS = 1 << 24
BLOCK_ROWS = 1 << 19
_HEAD = 1 << 18
_TEXTS = (".csv", ".tsv", ".txt", ".gz", ".zip")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")


@dataclass(frozen=True, slots=True)
class BlockFile:
    """A CSV or Parquet file: the names of its columns, and how its text is laid out (None for Parquet)."""

    path: Path
    columns: tuple[str, ...]
    layout: TextLayout | None = None

    def blocks(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Rows in the order of the file; texts stay texts. Raises DataError for what cannot be read."""
        with _readable(self.path):
            yield from self._text_blocks(columns) if self.layout else self._parquet_blocks(columns)

    def _parquet_blocks(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=BLOCK_ROWS, columns=list(columns)):
                yield pl.DataFrame(pl.from_arrow(batch)).select(columns)

    def _text_blocks(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        assert self.layout is not None
        with _opened(self.path) as file:
            for _ in range(self.layout.first_line - 1):
                file.readline()
            while text := file.read(BLOCK_CHARACTERS):
                text = _BLANK_LINES.sub("\n", text + file.readline()).lstrip("\n")
                if text.strip():
                    yield self._table(text).select(columns)

    def _table(self, text: str) -> pl.DataFrame:
        assert self.layout is not None
        return pl.read_csv(
            io.BytesIO(text.encode()),
            has_header=False,
            schema=dict.fromkeys(self.columns, pl.String),
            separator=self.layout.delimiter,
            truncate_ragged_lines=True,
        )


def open_blocks(path: Path) -> BlockFile:
    """Look at the head of a file. Raises DataError with one line for what is no CSV or Parquet file, or empty."""
    suffix = path.suffix.lower()
    if suffix != ".parquet" and suffix not in _TEXTS:
        raise DataError(f"{path}: {suffix or 'such'} files are not audited", "CSV (also packed) and Parquet files are")
    with _readable(path):
        return _parquet(path) if suffix == ".parquet" else _text(path)


def _parquet(path: Path) -> BlockFile:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        if not file.metadata.num_rows:
            raise DataError(f"{path} has no rows", "nothing to read")
        return BlockFile(path, tuple(file.schema_arrow.names))


def _text(path: Path) -> BlockFile:
    with _opened(path) as file:
        head = file.read(_HEAD) + file.readline()
    layout = layout_of(str(path), head)
    return BlockFile(path, layout.columns, layout)


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    """The text of a file, unpacked as it is read, with newlines only."""
    with path.open("rb") as raw:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(raw) as archive, archive.open(_only_member(path, archive)) as member:
                yield _decoded(member)
        else:
            yield _decoded(gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == GZIP else raw)


def _decoded(binary: Any) -> io.TextIOWrapper:
    buffered = io.BufferedReader(binary)
    encoding = "utf-16" if buffered.peek(2)[:2] in UTF16 else "utf-8-sig"
    return io.TextIOWrapper(buffered, encoding=encoding)


def _only_member(path: Path, archive: zipfile.ZipFile) -> str:
    members = [name for name in archive.namelist() if name.lower().endswith((".csv", ".tsv", ".txt"))]
    if len(members) != 1:
        raise DataError(f"{path} holds {len(members)} CSV files", "unpack it and name the files in it")
    return members[0]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text", "save it as UTF-8 CSV, or use Parquet") from None
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", "check the path") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder", "name a file in it") from None
    except (*DAMAGED, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}", "is it complete?") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}", "may you read it?") from None
