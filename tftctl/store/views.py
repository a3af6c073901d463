"""SQL text of the views over one snapshot, for DuckDB."""

from __future__ import annotations

from collections.abc import Iterable

from tftctl.core.names import KEY_COLUMNS
from tftctl.store.frames import SORT_KEY
from tftctl.store.manifest import Segment, Table
from tftctl.store.storage import Storage

DATETIME = "datetime"
_KEY = ", ".join(SORT_KEY)


def view_sql(storage: Storage, table: Table) -> str | None:
    """A SELECT over all periods of a table with one column more, `datetime`, made from `timestamp` (UTC).

    None when the table has no files.
    """
    parts = [_period_sql(storage, table.of(period)) for period in table.periods]
    if not parts:
        return None
    union = "\nUNION ALL BY NAME\n".join(parts)
    columns = list(table.columns)
    listed = ", ".join(quoted(name) for name in columns)
    if DATETIME in columns:
        return f"SELECT {listed} FROM (\n{union}\n)"
    head = ", ".join(KEY_COLUMNS)
    rest = "".join(f", {quoted(name)}" for name in columns if name not in KEY_COLUMNS)
    return f"SELECT {head}, make_timestamp_ms(timestamp) AS {DATETIME}{rest} FROM (\n{union}\n)"


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _period_sql(storage: Storage, segments: list[Segment]) -> str:
    base = [segment for segment in segments if segment.kind == "base"]
    changes = [segment for segment in segments if segment.kind != "base"]
    rows = f"SELECT * FROM {_files(storage, base)}"
    if not changes:
        return rows
    union = "\nUNION ALL BY NAME\n".join(_change(storage, segment) for segment in changes)
    latest = f"SELECT * FROM (\n{union}\n) QUALIFY row_number() OVER (PARTITION BY {_KEY} ORDER BY _sequence DESC) = 1"
    return (
        f"({rows} ANTI JOIN (SELECT {_KEY} FROM ({latest})) USING ({_KEY})\nUNION ALL BY NAME\n"
        f"SELECT * EXCLUDE (_sequence, _deleted) FROM ({latest}) WHERE NOT _deleted)"
    )


def _change(storage: Storage, segment: Segment) -> str:
    deleted = "true" if segment.kind == "tombstone" else "false"
    return f"SELECT *, {segment.sequence} AS _sequence, {deleted} AS _deleted FROM {_files(storage, [segment])}"


def _files(storage: Storage, segments: Iterable[Segment]) -> str:
    paths = ", ".join("'" + storage.locate(item.path).replace("'", "''") + "'" for item in segments)
    return f"read_parquet([{paths}], hive_partitioning = false, union_by_name = true)"
