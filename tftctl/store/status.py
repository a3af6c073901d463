"""What `store status` tells."""

from __future__ import annotations

from typing import Any

from tftctl.core.names import KEY_COLUMNS
from tftctl.core.times import iso
from tftctl.store.manifest import Table
from tftctl.store.store import Store


def status(store: Store) -> dict[str, Any]:
    """The current snapshot and its tables, as a JSON-able document. `first` and `last` are bar open times.

    Mends the catalogue on the way when it is missing or stale.
    """
    store.refresh_catalog()
    with store.read() as snapshot:
        manifest = snapshot.manifest
        return {
            "snapshot": snapshot.number,
            "created": manifest.created or None,
            "why": manifest.why or None,
            "snapshots": [number for number in store.storage.manifests() if number <= snapshot.number],
            "tables": [
                {"name": name, "rows": snapshot.rows(name), "data_version": snapshot.data_version(name)}
                | _details(manifest.tables[name])
                for name in snapshot.tables
            ],
        }


def _details(table: Table) -> dict[str, Any]:
    firsts = [segment.first for segment in table.segments if segment.first is not None]
    lasts = [segment.last for segment in table.segments if segment.last is not None]
    return {
        "periods": {period: table.parts[period].rows for period in table.periods},
        "symbols": len({symbol for part in table.parts.values() for symbol in part.groups}),
        "columns": len([name for name in table.columns if name not in KEY_COLUMNS]),
        "first": iso(min(firsts)) if firsts else None,
        "last": iso(max(lasts)) if lasts else None,
        "files": len(table.segments),
        "bytes": sum(segment.bytes for segment in table.segments),
    }
