"""Reading by time and symbol, and what a write reads of the rows that are there."""

from __future__ import annotations

import random

import numpy as np
import polars as pl
import pytest
from store_tables import bars, write

from tftctl.store import Store, scan, segments, writer


@pytest.fixture
def layered(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Rows of three symbols in several base files and small row groups, with deltas and tombstones over them."""
    for module in (segments, writer):
        monkeypatch.setattr(module, "ROW_GROUP_ROWS", 50)
    monkeypatch.setattr(segments, "BLOCK_ROWS", 100)
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 300)
    write(store, bars((f"S{s}", t, float(t)) for s in range(3) for t in range(s * 100, 400)))
    chance = random.Random(3)
    for step in range(3):
        keys = [(f"S{chance.randrange(3)}", chance.randrange(420)) for _ in range(12)]
        with store.write("changes") as change:
            change.upsert("bars", "1h", bars((symbol, time, -float(step)) for symbol, time in sorted({*keys[:8]})))
            change.delete("bars", "1h", bars((symbol, time, None) for symbol, time in sorted({*keys[8:]})))
            change.commit()
    with store.read() as snapshot:
        kinds = [segment.kind for segment in snapshot.manifest.tables["bars"].segments]
    assert kinds.count("base") == 3
    assert {"delta", "tombstone"} <= set(kinds)
    return store


@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_since_is_inclusive_and_until_exclusive_whatever_lies_where(layered: Store, engine: str) -> None:
    bounds = [None, 0, 99, 100, 250, 399, 400, 419, 500]
    with layered.read() as snapshot:
        every = snapshot.scan("bars", "1h").collect()
        for since in bounds:
            for until in bounds:
                for symbols in (None, ["S1"], ["S2", "S0"], []):
                    found = snapshot.scan("bars", "1h", symbols=symbols, since=since, until=until)
                    expected = [
                        row
                        for row in every.rows()
                        if (since is None or row[2] >= since)
                        and (until is None or row[2] < until)
                        and (symbols is None or row[0] in symbols)
                    ]
                    assert found.collect(engine=engine).rows() == expected, (since, until, symbols)


def test_files_and_row_groups_outside_the_bounds_are_not_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first file is gone and the first row group of the second is spoilt; the last rows are read all the same."""
    for module in (segments, writer):
        monkeypatch.setattr(module, "ROW_GROUP_ROWS", 1000)
    write(store, bars(("A", t, float(t)) for t in range(100)))
    with store.write("second file") as change:
        change.upsert("bars", "1h", bars(("A", t, float(t)) for t in range(100, 101)))
        change.commit()
    write(store, bars(("A", t, float(t)) for t in range(4000)), period="4h")
    with store.read() as snapshot:
        first, _ = snapshot.manifest.tables["bars"].of("1h")
        (store.root / first.path).unlink()
        assert snapshot.scan("bars", "1h", since=100).collect()["close"].to_list() == [100.0]
        (large,) = snapshot.manifest.tables["bars"].of("4h")
        path = store.root / large.path
        content = bytearray(path.read_bytes())
        content[4:2000] = bytes(1996)
        path.write_bytes(content)
        assert snapshot.scan("bars", "4h", since=3990).collect()["close"].to_list() == [*range(3990, 4000)]
        with pytest.raises(pl.exceptions.PolarsError):
            snapshot.scan("bars", "4h", until=10).collect()


def test_an_append_reads_keys_only_and_an_update_only_the_rows_it_meets(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, bars((f"S{s}", t, float(t)) for s in range(3) for t in range(500)))
    honest, reads = scan.scan_segments, []

    def recorded(storage: object, files: object, columns: dict[str, str], within: scan.Range) -> pl.LazyFrame:
        reads.append((sorted(columns), within.since, within.until))
        return honest(storage, files, columns, within)

    monkeypatch.setattr(scan, "scan_segments", recorded)
    keys, every = ["period", "symbol", "timestamp"], ["close", "period", "symbol", "timestamp"]
    with store.write("append") as change:
        change.upsert("bars", "1h", bars((f"S{s}", t, 1.0) for s in range(3) for t in (500, 501)))
        assert reads == [(keys, 500, 502)]
        change.commit()
    reads.clear()
    with store.write("update and append") as change:
        change.upsert("bars", "1h", bars([("S1", 7, -1.0), ("S1", 9, -1.0), ("S2", 600, 1.0)]))
        assert reads == [(keys, 7, 601), (every, 7, 10)]
        change.commit()


def test_upserts_over_many_layers_agree_with_a_dict(layered: Store) -> None:
    with layered.read() as snapshot:
        model = {(row[0], row[2]): row[3] for row in snapshot.scan("bars", "1h").collect().rows()}
    rng = np.random.default_rng(5)
    with layered.write("more") as change:
        for _ in range(12):
            keys = {(f"S{rng.integers(3)}", int(rng.integers(380, 440))) for _ in range(9)}
            rows = {key: float(rng.choice([1.0, 2.0])) for key in keys}
            change.upsert("bars", "1h", bars((*key, value) for key, value in rows.items()))
            model.update(rows)
            gone = {(f"S{rng.integers(3)}", int(rng.integers(440))) for _ in range(3)}
            change.delete("bars", "1h", pl.DataFrame(list(gone), schema=["symbol", "timestamp"], orient="row"))
            model = {key: value for key, value in model.items() if key not in gone}
            found = change.pending().scan("bars", "1h").collect()
            assert [(row[0], row[2], row[3]) for row in found.rows()] == [(*key, model[key]) for key in sorted(model)]
            assert change.pending().rows("bars") == len(model)
