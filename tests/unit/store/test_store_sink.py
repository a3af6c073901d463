"""Segments written frame by frame, also elsewhere, and adopted by a transaction (DESIGN 4, SEMANTICS P1)."""

from __future__ import annotations

import pickle
from pathlib import Path

import polars as pl
import pytest

from tftctl.core.errors import StoreError
from tftctl.store import Place, SegmentSink, Store


def rows(symbol: str, size: int, start: int = 0) -> pl.DataFrame:
    """Some rows of one symbol."""
    stamps = [1000 * (start + k) for k in range(size)]
    return pl.DataFrame({"symbol": symbol, "timestamp": stamps, "x": [float(k) for k in range(size)]})


def sink_of(store: Store, *frames: pl.DataFrame) -> SegmentSink:
    """A sink that has taken these frames."""
    with store.locked():
        sink = SegmentSink(store.storage, Place("numbers", "1h"))
        for frame in frames:
            sink.add(frame)
        sink.finish()
    return sink


def test_adopted_runs_equal_a_replacement(tmp_path: Path) -> None:
    """Two runs written side by side are what one replacement would be, down to the data version."""
    frames = [rows("AAA", 50_000), rows("BBB", 3), rows("CCC", 90_000)]
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    with one.write("test") as change:
        change.replace("numbers", "1h", frames)
        change.commit()
    first, second = sink_of(two, *frames[:2]), sink_of(two, frames[2])
    with two.write("test") as change:
        assert change.adopt("numbers", "1h", first.columns, [first.segments, second.segments]) == 140_003
        change.commit()
    with one.read() as a, two.read() as b:
        assert a.data_version("numbers") == b.data_version("numbers")
        assert a.scan("numbers").collect().equals(b.scan("numbers").collect())
        assert b.groups("numbers", "1h") == {"AAA": 50_000, "BBB": 3, "CCC": 90_000}


def test_rows_out_of_order_are_refused_within_and_between_frames(tmp_path: Path) -> None:
    """The same symbol may go on in the next frame, but only forwards."""
    store = Store(tmp_path)
    assert len(sink_of(store, rows("AAA", 5), rows("AAA", 5, start=5)).segments) == 1
    with pytest.raises(StoreError, match="not sorted"):
        sink_of(store, rows("AAA", 5), rows("AAA", 5, start=4))


def test_runs_that_overlap_are_refused_and_removed(tmp_path: Path) -> None:
    """Nothing becomes visible, and the files go with the transaction."""
    store = Store(tmp_path)
    first, second = sink_of(store, rows("AAA", 5), rows("CCC", 5)), sink_of(store, rows("BBB", 5))
    with pytest.raises(StoreError, match="BBB comes in two runs"), store.write("test") as change:
        change.adopt("numbers", "1h", first.columns, [first.segments, second.segments])
    assert store.current() == 0
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (rows("BBB", 5).with_columns(y=pl.lit(1.0)), "are not those of the first run: y"),
        (rows("BBB", 5).cast({"x": pl.Float32}), "are not those of the first run: x"),
        (rows("BBB", 5).drop("x"), "are not those of the first run: x"),
    ],
)
def test_runs_with_other_columns_are_refused_and_removed(tmp_path: Path, second: pl.DataFrame, message: str) -> None:
    """The files are asked, not the callers."""
    store = Store(tmp_path)
    first, other = sink_of(store, rows("AAA", 5)), sink_of(store, second)
    with pytest.raises(StoreError, match=message) as refused, store.write("test") as change:
        change.adopt("numbers", "1h", first.columns, [first.segments, other.segments])
    assert "\n" not in refused.value.message
    assert not list(tmp_path.rglob("*.parquet"))


def test_segments_of_another_place_are_refused_and_left_alone(tmp_path: Path) -> None:
    """A file of the current snapshot must not go because somebody handed it over by mistake."""
    store = Store(tmp_path)
    with store.write("test") as change:
        change.replace("bars", "1h", rows("AAA", 5))
        change.commit()
    with store.read() as snapshot:
        owned = snapshot.manifest.tables["bars"].segments
    for table, period in (("numbers", "1h"), ("bars", "4h")):
        with pytest.raises(StoreError, match="does not belong there"), store.write("test") as change:
            change.adopt(table, period, {}, [owned])
    with store.write("kept as it is") as change:
        change.adopt("bars", "1h", change.base.columns("bars"), [owned])
        assert change.commit() == 1
    with store.read() as snapshot:
        assert snapshot.scan("bars").collect().height == 5


def test_a_run_whose_file_is_gone_is_one_line(tmp_path: Path) -> None:
    store = Store(tmp_path)
    sink = sink_of(store, rows("AAA", 5))
    store.storage.delete(sink.segments[0].path)
    with pytest.raises(StoreError, match="cannot be read") as refused, store.write("test") as change:
        change.adopt("numbers", "1h", sink.columns, [sink.segments])
    assert "\n" not in refused.value.message


def test_segments_and_pending_snapshots_travel_between_processes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    sink = sink_of(store, rows("AAA", 5))
    with store.write("test") as change:
        change.adopt("numbers", "1h", sink.columns, [pickle.loads(pickle.dumps(sink.segments))])
        copy = pickle.loads(pickle.dumps(change.pending()))
        assert copy.scan("numbers", "1h").collect().height == 5


def test_an_abandoned_sink_leaves_no_file(tmp_path: Path) -> None:
    """As after an exception in a worker."""
    store = Store(tmp_path)
    with store.locked():
        sink = SegmentSink(store.storage, Place("numbers", "1h"))
        sink.add(rows("AAA", 100_000))
        sink.abandon()
    assert not list(tmp_path.rglob("*.parquet"))
