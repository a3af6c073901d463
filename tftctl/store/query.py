"""`store sql`: one SELECT over the current snapshot, in memory (P5)."""

from __future__ import annotations

import datetime as dt
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from tftctl.core.errors import StoreError, UsageError
from tftctl.store.damage import find_damage
from tftctl.store.scan import unreadable
from tftctl.store.snapshot import Snapshot
from tftctl.store.views import quoted, view_sql


@dataclass(frozen=True, slots=True)
class Answer:
    """Columns and rows of a query. Times are ISO 8601 text with `Z`; NULL is None."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def objects(self) -> list[dict[str, Any]]:
        """The rows as mappings."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def texts(self) -> list[list[str | None]]:
        """The rows for a table, with all digits of every number."""
        return [[None if value is None else str(value) for value in row] for row in self.rows]


def run_query(snapshot: Snapshot, query: str) -> Answer:
    """Run one SELECT-like statement over views named like the tables.

    It can read the snapshot's own files and nothing else. Raises UsageError for anything but one SELECT, for SQL that
    is wrong and for a table or column that is not there; StoreError when a file cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="tftctl-sql-") as spill, duckdb.connect(":memory:") as connection:
        _prepare(connection, snapshot, spill)
        try:
            _check_select(connection, query)
            relation = connection.sql(query)
            if relation is None:
                raise UsageError("the query gives no rows", "write a SELECT")
            rows = tuple(tuple(plain(value) for value in row) for row in relation.fetchall())
            return Answer(_unique(relation.columns), rows)
        except duckdb.Error as error:
            if _is_the_stores_fault(error, snapshot):
                raise _damaged(error, snapshot) from None
            raise UsageError(_line(error), f"tables: {', '.join(snapshot.tables) or 'none yet'}") from None


def plain(value: Any) -> Any:
    """A value of DuckDB as JSON has it: times as ISO 8601 with `Z`, decimals as numbers, bytes as hex."""
    if isinstance(value, dt.datetime):
        moment = value if value.tzinfo is None else value.astimezone(dt.UTC).replace(tzinfo=None)
        thousandths = moment.microsecond and not moment.microsecond % 1000
        return moment.isoformat(timespec="milliseconds" if thousandths else "auto") + "Z"
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _prepare(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, spill: str) -> None:
    """Views, then a closed door: only the snapshot's files, and no way to open it again.

    DuckDB lets a query read the folder that it spills to, so that is an empty one of its own.
    """
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET temp_directory = $folder", {"folder": spill})
    for name in snapshot.tables:
        sql = view_sql(snapshot.storage, snapshot.table(name))
        if sql is not None:
            try:
                connection.execute(f"CREATE VIEW {quoted(name)} AS {sql}")
            except duckdb.Error as error:
                raise _damaged(error, snapshot) from None
    paths = [str(Path(snapshot.storage.locate(path))) for path in sorted(snapshot.manifest.paths())]
    connection.execute("SET allowed_paths = $paths", {"paths": paths})
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _damaged(error: duckdb.Error, snapshot: Snapshot) -> StoreError:
    return find_damage(snapshot.storage, snapshot.manifest.segments()) or unreadable(error)


def _is_the_stores_fault(error: duckdb.Error, snapshot: Snapshot) -> bool:
    """A damaged file is named in the message; a file that the query names itself is a permission error."""
    readable = isinstance(error, duckdb.IOException | duckdb.InvalidInputException)
    return readable and any(snapshot.storage.locate(path) in str(error) for path in snapshot.manifest.paths())


def _check_select(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    statements = connection.extract_statements(query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UsageError("store sql takes one SELECT and changes nothing", "for a copy: tftctl store export TABLE")


def _unique(columns: list[str]) -> tuple[str, ...]:
    """Column names with `_2`, `_3` after repeated ones, so that no value is lost in a row object."""
    names: list[str] = []
    for name in columns:
        candidate, count = name, 2
        while candidate in names:
            candidate, count = f"{name}_{count}", count + 1
        names.append(candidate)
    return tuple(names)


def _line(error: Exception) -> str:
    """The first paragraph of DuckDB's message, on one line, without its own tables among the suggestions."""
    line = " ".join(str(error).split("\n\n")[0].split())
    return re.sub(r' Did you mean "(pg_|duckdb_|pragma_|sqlite_|information_schema)[^"]*"\?', "", line)
