"""Where things lie in a store folder, and the two files that `tftctl init` puts there."""

from __future__ import annotations

from pathlib import Path

CURRENT = "CURRENT"
LOCK = "_lock"
CATALOG = "catalog.duckdb"
MANIFESTS = "_manifests"
TEMPORARY = "_tmp"
LEASES = "_leases"
CACHES = "_cache"

README = """\
# This folder is a tftctl store

It holds data, not code, and only `tftctl` writes to it. Nothing in it but this file and `.gitignore` belongs into git.

| path | what it is |
|---|---|
| `CURRENT` | the name of the manifest that is the truth |
| `_manifests/` | one JSON file per snapshot: segments, rows, schema, checksums, descriptions |
| `<table>/period=<p>/*.parquet` | immutable segments, sorted by symbol and timestamp (UTC, milliseconds) |
| `catalog.duckdb` | views of the current snapshot for any DuckDB client; derived, may be deleted |
| `_cache/`, `_leases/`, `_tmp/`, `_lock` | training caches, readers at work, unfinished files, the writer's lock |

A folder of Parquet files holds replaced and deleted rows too until `tftctl store gc`: read through a manifest.

    tftctl store status          what is in it
    tftctl store sql "SELECT symbol, count(*) FROM bars GROUP BY 1"
    tftctl store export bars --output bars.csv
    tftctl store verify          checksums, keys, order, schema
    tftctl store gc --dry-run    what no snapshot, run or reader needs any more
"""

GITIGNORE = "*\n!.gitignore\n!README.md\n"


def manifest_name(number: int) -> str:
    """Name of a manifest inside the store: `_manifests/manifest-00000007.json`."""
    return f"{MANIFESTS}/manifest-{number:08d}.json"


def manifest_number(name: str) -> int | None:
    """The snapshot number of a manifest's name or path; None when it is not one."""
    stem = name.removeprefix(f"{MANIFESTS}/").removeprefix("manifest-").removesuffix(".json")
    return int(stem) if stem.isdecimal() and name == manifest_name(int(stem)) else None


def segment_folder(table: str, period: str) -> str:
    """Folder of a table's segments of one period: `bars/period=1h`."""
    return f"{table}/period={period}"


def cache_dir(root: Path, snapshot: int, key: str) -> Path:
    """Folder of a training cache made from a snapshot, `_cache/snap7-<key>`; `gc` removes it with the snapshot."""
    return root / CACHES / f"snap{snapshot}-{key}"


def cache_snapshot(name: str) -> int | None:
    """The snapshot that a cache folder's name belongs to; None when the name is not a cache's."""
    head, dash, _ = name.partition("-")
    number = head.removeprefix("snap")
    return int(number) if dash and head.startswith("snap") and number.isdecimal() else None
