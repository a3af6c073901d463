"""`store/catalog.duckdb`: views and descriptions of the current snapshot for any DuckDB client; derived."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from tftctl.store.layout import CATALOG
from tftctl.store.manifest import Manifest
from tftctl.store.storage import Storage
from tftctl.store.views import quoted, view_sql

_LOG = logging.getLogger(__name__)
_REVISION = 1
_TABLES = {
    "snapshots": "number BIGINT, parent BIGINT, created TIMESTAMP, why VARCHAR",
    "lineage": "snapshot BIGINT, table_name VARCHAR, period VARCHAR, data_version VARCHAR, rows BIGINT",
    "columns": "table_name VARCHAR, column_name VARCHAR, type VARCHAR, description JSON",
    "_catalog": "current_snapshot BIGINT, folder VARCHAR, snapshots VARCHAR, revision INTEGER",
}


def refresh_catalog(
    root: Path, storage: Storage, numbers: Sequence[int], load: Callable[[int], Manifest | None]
) -> bool:
    """Bring the catalogue to the last of these snapshots, the others being its history; return whether it is there.

    `load` reads a manifest where it can. The catalogue is left alone while another program holds it, and made anew
    when it is damaged. What goes wrong is a warning and no error: the data are safe without it.
    """
    path = root / CATALOG
    try:
        return _refresh(path, storage, numbers, load)
    except (duckdb.Error, OSError) as error:
        if "lock" in str(error).lower():
            _LOG.warning("%s is held by another program and stays as it is", path)
            return False
    try:
        for file in (path, path.with_name(f"{CATALOG}.wal")):
            file.unlink(missing_ok=True)
        return _refresh(path, storage, numbers, load)
    except (duckdb.Error, OSError) as error:
        _LOG.warning("%s could not be made: %s", path, str(error).splitlines()[0])
        return False


def _refresh(path: Path, storage: Storage, numbers: Sequence[int], load: Callable[[int], Manifest | None]) -> bool:
    mark = (numbers[-1], str(path.parent.resolve()), ",".join(map(str, numbers)), _REVISION)
    with duckdb.connect(str(path)) as connection:
        if _mark(connection) == mark:
            return True
        manifests = [manifest for number in numbers if (manifest := load(number)) is not None]
        if not manifests or manifests[-1].number != numbers[-1]:
            return False
        connection.execute("BEGIN")
        _drop_all(connection)
        for name, columns in _TABLES.items():
            connection.execute(f"CREATE TABLE {name} ({columns})")
        _insert(connection, "snapshots", [_snapshot_row(manifest) for manifest in manifests])
        _insert(connection, "lineage", [row for manifest in manifests for row in _lineage_rows(manifest)])
        _insert(connection, "columns", list(_column_rows(manifests[-1])))
        _create_views(connection, storage, manifests[-1])
        _insert(connection, "_catalog", [mark])
        connection.execute("COMMIT")
    return True


def _mark(connection: duckdb.DuckDBPyConnection) -> tuple[Any, ...] | None:
    try:
        return connection.execute("SELECT * FROM _catalog").fetchone()
    except duckdb.CatalogException:
        return None


def _drop_all(connection: duckdb.DuckDBPyConnection) -> None:
    listing = "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'main'"
    for name, kind in connection.execute(listing).fetchall():
        connection.execute(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} {quoted(name)}")


def _create_views(connection: duckdb.DuckDBPyConnection, storage: Storage, manifest: Manifest) -> None:
    for name, table in manifest.tables.items():
        sql = view_sql(storage, table)
        if sql is not None and name not in _TABLES:
            connection.execute(f"CREATE VIEW {quoted(name)} AS {sql}")


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:  # as one frame: hundreds of parameters take DuckDB twenty times as long
        connection.register("_rows", pl.DataFrame(rows, orient="row", infer_schema_length=None).to_arrow())
        connection.execute(f"INSERT INTO {table} SELECT * FROM _rows")
        connection.unregister("_rows")


def _snapshot_row(manifest: Manifest) -> tuple[Any, ...]:
    return manifest.number, manifest.parent, manifest.created[:19], manifest.why


def _column_rows(manifest: Manifest) -> Iterator[tuple[Any, ...]]:
    for name, table in manifest.tables.items():
        described = table.meta.get("columns")
        for column, dtype in table.columns.items():
            about = described.get(column) if isinstance(described, dict) else None
            yield name, column, dtype, None if about is None else json.dumps(about)


def _lineage_rows(manifest: Manifest) -> Iterator[tuple[Any, ...]]:
    for name, table in manifest.tables.items():
        for period in table.periods:
            part = table.parts[period]
            yield manifest.number, name, period, part.data_version, part.rows
