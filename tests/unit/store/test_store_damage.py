"""Reading files that are not what was written."""

from __future__ import annotations

import polars as pl
import pytest
from store_tables import bars, write

from tftctl.core.errors import StoreError
from tftctl.store import Store


def test_the_damaged_one_of_many_files_is_named(store: Store) -> None:
    """The others stay readable, and a write that needs its rows is refused too."""
    for period in ("1h", "4h", "1d"):
        write(store, bars(("A", t, float(t)) for t in range(100)), period=period)
    with store.read() as snapshot:
        (segment,) = snapshot.manifest.tables["bars"].of("4h")
        path = store.root / segment.path
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(StoreError) as refused:
            snapshot.collect(snapshot.scan("bars", "4h"))
        assert snapshot.collect(snapshot.scan("bars", "1h")).height == 100
    expected = f"{path}: has {segment.bytes - 1} bytes, the manifest says {segment.bytes}"
    assert refused.value.message == f"a file of the store is damaged: {expected}"
    with store.write("update") as change, pytest.raises(StoreError, match=segment.path):
        change.upsert("bars", "4h", bars([("A", 7, 0.0)]))


def test_a_query_that_is_wrong_is_not_the_stores_fault(store: Store) -> None:
    """Sound files: the error is that of the query."""
    write(store, bars([("A", 1, 1.0)]))
    with store.read() as snapshot, pytest.raises(pl.exceptions.ColumnNotFoundError, match="clsoe"):
        snapshot.collect(snapshot.scan("bars", "1h").select("clsoe"))
