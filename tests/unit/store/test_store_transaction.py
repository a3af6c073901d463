"""Replacing, upserting, deleting, and what a commit keeps."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_tables import bars, seen, visible_files, write

from tftctl.core.errors import StoreError
from tftctl.store import Store, compaction, segments, writer
from tftctl.store.manifest import decode
from tftctl.store.verify import verify


def test_empty_store_is_snapshot_zero_and_reading_it_makes_nothing(store: Store) -> None:
    with store.read() as snapshot:
        assert (snapshot.number, snapshot.has("bars"), snapshot.meta("bars")) == (0, False, {})
        with pytest.raises(StoreError, match="no table 'bars'"):
            snapshot.scan("bars")
    assert not store.root.exists()


def test_replace_keeps_order_types_and_period(store: Store) -> None:
    frames = [bars([("A", 1, 1.0), ("A", 2, None)]), bars([("B", 1, float("nan"))])]
    with store.write("test") as change:
        assert change.replace("bars", "1h", iter(frames)) == 3
        change.replace("bars", "4h", bars([("A", 0, 9.0)]))
        change.set_meta("bars", {"basis": ["raw", None]})
        assert change.commit() == 1
    with store.read() as snapshot:
        rows = snapshot.scan("bars").collect()
        assert rows.columns == ["symbol", "period", "timestamp", "close"]
        assert rows.drop("close").rows() == [("A", "1h", 1), ("A", "1h", 2), ("B", "1h", 1), ("A", "4h", 0)]
        assert rows["close"].is_null().to_list() == [False, True, False, False]
        assert rows["close"].is_nan()[2]
        assert snapshot.periods("bars") == ["1h", "4h"]
        assert snapshot.symbols("bars", "1h") == ["A", "B"]
        assert (snapshot.rows("bars"), snapshot.rows("bars", "4h")) == (4, 1)
        assert snapshot.meta("bars") == {"basis": ["raw", None]}
        assert snapshot.columns("bars")["close"] == "Float64"


def test_scan_chooses_symbols_and_columns_and_names_what_exists(store: Store) -> None:
    write(store, bars([("A", 1, 1.0), ("B", 1, 2.0), ("C", 1, 3.0)]).with_columns(volume=pl.lit(5.0)))
    with store.read() as snapshot:
        rows = snapshot.scan("bars", "1h", symbols=["A", "C", "Z"], columns=["volume"]).collect()
        assert rows.columns == ["symbol", "period", "timestamp", "volume"]
        assert rows["symbol"].to_list() == ["A", "C"]
        with pytest.raises(StoreError) as missing:
            snapshot.scan("bars", "1h", columns=["volum"])
        assert "volume" in missing.value.hint
        with pytest.raises(StoreError, match="no period '2h'"):
            snapshot.scan("bars", "2h")


def test_macro_frequencies_are_periods_too(store: Store) -> None:
    with store.write("test") as change:
        for frequency in ("1mo", "1d", "1w"):
            change.replace("macro", frequency, bars([("m2", 0, 1.0)]))
        change.commit()
    with store.read() as snapshot:
        assert snapshot.periods("macro") == ["1d", "1w", "1mo"]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (bars([("B", 1, 1.0), ("A", 1, 1.0)]), "not sorted"),
        (bars([("A", 2, 1.0), ("A", 1, 1.0)]), "not sorted"),
        (bars([("A", 1, 1.0), ("A", 1, 2.0)]), "a key repeats, at A 1"),
        (bars([("A", 1, 1.0)]).drop("symbol"), "no column 'symbol'"),
        (bars([("A", 1, 1.0)]).with_columns(symbol=pl.lit(None, pl.String)), "a row has no symbol"),
        (bars([("A", 1, 1.0)]).with_columns(period=pl.lit("4h")), "another period"),
        (bars([("A", 1, 1.0)]).with_columns(pl.col("timestamp").cast(pl.Datetime("ms"))), "timestamp is Datetime"),
        (bars([("A", 1, 1.0)]).with_columns(untyped=pl.lit(None)), "column 'untyped' is Null"),
    ],
)
def test_frames_that_cannot_be_kept_are_refused_and_leave_nothing(
    store: Store, frame: pl.DataFrame, message: str
) -> None:
    write(store, bars([("A", 1, 5.0)]))
    before = visible_files(store.root)
    with pytest.raises(StoreError, match=message):
        write(store, frame)
    assert visible_files(store.root) == before
    assert seen(store) == [("A", 1, 5.0)]


def test_order_is_checked_across_frames_and_columns_follow_the_first(store: Store) -> None:
    with store.write("test") as change, pytest.raises(StoreError, match="at A 2"):
        change.replace("bars", "1h", [bars([("A", 1, 1.0), ("A", 2, 1.0)]), bars([("A", 2, 1.0)])])
    with store.write("test") as change, pytest.raises(StoreError, match="column 'extra' is not in the first frame"):
        change.replace("bars", "1h", [bars([("A", 1, 1.0)]), bars([("B", 1, 1.0)]).with_columns(extra=pl.lit(1.0))])


def test_many_frames_become_whole_row_groups_and_few_files(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    for module in (segments, writer):
        monkeypatch.setattr(module, "ROW_GROUP_ROWS", 100)
    monkeypatch.setattr(segments, "BLOCK_ROWS", 200)
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 1000)
    frames = [bars((f"S{s:02d}", t, float(t)) for t in range(37)) for s in range(70)]
    with store.write("test") as change:
        assert change.replace("bars", "1h", frames) == 70 * 37
        change.commit()
    with store.read() as snapshot:
        files = snapshot.manifest.tables["bars"].segments
        assert [item.rows for item in files] == [1000, 1000, 590]
        sizes = [pq.ParquetFile(store.root / files[0].path).metadata.row_group(i).num_rows for i in range(10)]
        assert sizes == [100] * 10
        assert (
            snapshot.scan("bars")
            .collect()
            .equals(pl.concat(frames).select("symbol", pl.lit("1h").alias("period"), "timestamp", "close"))
        )


def test_nothing_changed_makes_no_snapshot(store: Store) -> None:
    first = write(store, bars([("A", 1, 1.0), ("A", 2, 2.0)]))
    files = visible_files(store.root)
    with store.write("again") as change:
        change.replace("bars", "1h", bars([("A", 1, 1.0), ("A", 2, 2.0)]))
        change.upsert("bars", "1h", bars([("A", 2, 2.0)]))
        change.delete("bars", "1h", bars([("A", 9, None)]))
        assert change.commit() == first
    assert visible_files(store.root) == files


def test_data_version_follows_rows_only(store: Store) -> None:
    def version() -> str:
        with store.read() as snapshot:
            return snapshot.data_version("bars", "1h")

    rows = bars((f"S{i}", t, float(t)) for i in range(3) for t in range(50))
    write(store, rows)
    first = version()
    with store.write("described") as change:
        change.set_meta("bars", {"note": "other words"})
        change.commit()
    assert version() == first
    with store.write("changed") as change:
        change.upsert("bars", "1h", bars([("S1", 7, -1.0)]))
        change.commit()
    assert version() != first
    with store.write("changed back, another history") as change:
        change.upsert("bars", "1h", bars([("S1", 7, 7.0)]))
        change.commit()
    assert version() == first


def test_compaction_keeps_rows_and_data_version(store: Store) -> None:
    write(store, bars(("A", t, float(t)) for t in range(100)))
    versions, kinds = [], []
    for step in range(12):
        with store.write("append") as change:
            change.upsert("bars", "1h", bars([("A", 100 + step, 0.5)]))
            change.commit()
        with store.read() as snapshot:
            versions.append(snapshot.data_version("bars"))
            kinds.append([segment.kind for segment in snapshot.manifest.tables["bars"].segments])
    assert len(set(versions)) == 12
    assert kinds[7] == ["base"] + ["delta"] * 8
    assert kinds[8] == kinds[9][:2] == ["base", "delta"]  # folded: nine changes are many files
    assert kinds[10] == ["base"]  # and eleven rows more than a tenth
    assert len(seen(store)) == 112
    other = Store(store.root.parent / "other")
    write(other, bars(seen(store)))
    with other.read() as snapshot:
        assert snapshot.data_version("bars") == versions[-1]


def test_many_changes_are_folded_into_one_and_mean_the_same(store: Store) -> None:
    """The newest change of a key wins after folding, too, be it a row or a deletion, and the base stays as it is."""
    write(store, bars((symbol, t, float(t)) for symbol in "AB" for t in range(500)))
    model = {(symbol, t): float(t) for symbol in "AB" for t in range(500)}
    for step in range(9):
        with store.write("changes") as change:
            if step % 3 == 2:
                gone = [("A", step - 1), ("B", 900 + step - 1), ("A", 100 + step)]
                change.delete("bars", "1h", bars((*key, None) for key in gone))
                model = {key: value for key, value in model.items() if key not in gone}
            else:
                rows = {("A", step): -1.0, ("A", 100 + step - 1): -2.0, ("B", 900 + step): float(step), ("A", 5): step}
                change.upsert("bars", "1h", bars((*key, float(value)) for key, value in rows.items()))
                model.update({key: float(value) for key, value in rows.items()})
            change.commit()
        assert seen(store) == [(*key, model[key]) for key in sorted(model)]
    with store.read() as snapshot:
        files = snapshot.manifest.tables["bars"].segments
        assert [item.kind for item in files] == ["base", "delta", "tombstone"]
        version, base = snapshot.data_version("bars"), files[0]
    assert verify(store).problems == ()
    with store.read(1) as first:
        assert first.manifest.tables["bars"].segments[0] == base
    other = Store(store.root.parent / "other")
    write(other, _frame(model))
    with other.read() as snapshot:
        assert snapshot.data_version("bars") == version


def test_folding_refuses_to_change_rows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store, bars(("A", t, float(t)) for t in range(200)))
    for step in range(8):
        with store.write("append") as change:
            change.upsert("bars", "1h", bars([("A", 200 + step, 0.5)]))
            change.commit()
    honest, calls = compaction.latest_changes, []

    def first_time_wrong(*args: Any) -> pl.LazyFrame:
        calls.append(args)
        return honest(*args).with_columns(close=pl.lit(0.0)) if len(calls) == 1 else honest(*args)

    monkeypatch.setattr(compaction, "latest_changes", first_time_wrong)
    before = visible_files(store.root)
    with store.write("append") as change, pytest.raises(StoreError, match="folding its changes would change its rows"):
        change.upsert("bars", "1h", bars([("A", 300, 0.5)]))
        change.commit()
    assert visible_files(store.root) == before
    assert len(seen(store)) == 208


def test_compaction_refuses_rows_that_are_not_the_manifests(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store, bars(("A", t, float(t)) for t in range(10)))
    honest = compaction.scan_segments
    monkeypatch.setattr(compaction, "scan_segments", lambda *args: honest(*args).with_columns(close=pl.lit(0.0)))
    before = visible_files(store.root)
    with store.write("append") as change, pytest.raises(StoreError, match="compaction would give"):
        change.upsert("bars", "1h", bars([("A", t, -1.0) for t in range(5)]))
        change.commit()
    assert visible_files(store.root) == before
    assert seen(store)[0] == ("A", 0, 0.0)


def test_new_column_is_null_in_older_rows_and_a_lost_one_in_newer(store: Store) -> None:
    write(store, bars(("A", t, 1.0) for t in range(30)).with_columns(old=pl.lit(2.0)))
    with store.write("extra") as change:
        change.upsert("bars", "1h", bars([("A", 30, 3.0)]).with_columns(extra=pl.lit(4.0)))
        change.commit()
    with store.read() as snapshot:
        rows = snapshot.scan("bars").collect()
        assert rows.columns == ["symbol", "period", "timestamp", "close", "old", "extra"]
        assert rows[29].row(0)[3:] == (1.0, 2.0, None)
        assert rows[30].row(0)[3:] == (3.0, None, 4.0)


def test_one_type_per_column_in_all_periods(store: Store) -> None:
    write(store, bars([("A", 1, 1.0)]))
    with pytest.raises(StoreError, match="column 'close' is Float"):
        write(store, bars([("A", 1, 1.0)]).cast({"close": pl.Float32}), period="4h")


def test_leaving_without_commit_or_by_an_error_changes_nothing(store: Store) -> None:
    write(store, bars([("A", 1, 1.0)]))
    before = visible_files(store.root)
    with store.write("no commit") as change:
        change.replace("bars", "1h", bars([("A", 1, 2.0)]))
    with pytest.raises(ZeroDivisionError), store.write("fails") as change:
        change.replace("bars", "4h", (bars([("A", i, 1.0 / (i - 3))]) for i in range(5)))
    assert visible_files(store.root) == before
    with pytest.raises(StoreError, match="transaction is over"):
        change.commit()


def test_pending_shows_what_was_written_so_far(store: Store) -> None:
    with store.write("test") as change:
        change.replace("bars", "1h", bars([("A", 1, 1.0)]))
        early = change.pending()
        change.upsert("bars", "1h", bars([("B", 1, 1.0)]))
        assert early.rows("bars") == 1
        assert change.pending().scan("bars").collect().height == 2
        assert not change.base.has("bars")


def test_drop_removes_a_period_or_a_table(store: Store) -> None:
    write(store, bars([("A", 1, 1.0)]))
    write(store, bars([("A", 1, 1.0)]), period="4h")
    with store.write("drop") as change:
        change.drop("bars", "4h")
        change.commit()
    with store.read() as snapshot:
        assert snapshot.periods("bars") == ["1h"]
    with store.write("drop") as change:
        change.drop("bars")
        change.commit()
    with store.read() as snapshot:
        assert not snapshot.has("bars")
    assert seen(store, number=2, period="4h") == [("A", 1, 1.0)]


def test_manifest_is_the_documented_json(store: Store) -> None:
    write(store, bars([("A", 5, 1.0), ("B", 6, 2.0)]), why="data import x.csv")
    document = json.loads((store.root / "_manifests" / "manifest-00000001.json").read_text())
    assert (document["format"], document["number"], document["parent"]) == (1, 1, 0)
    assert document["why"] == "data import x.csv"
    segment = document["tables"]["bars"]["segments"][0]
    assert segment["groups"] == {"A": 1, "B": 1}
    assert (segment["kind"], segment["rows"], segment["first"], segment["last"]) == ("base", 2, 5, 6)
    assert (store.root / segment["path"]).stat().st_size == segment["bytes"]
    with pytest.raises(StoreError, match="format 2"):
        decode(json.dumps({**document, "format": 2}).encode(), "manifest")


def test_an_interrupted_writers_manifest_is_passed_over(store: Store) -> None:
    write(store, bars([("A", 1, 1.0)]))
    (store.root / "_manifests" / "manifest-00000002.json").write_text("{half")
    assert seen(store) == [("A", 1, 1.0)]
    assert write(store, bars([("A", 1, 2.0)])) == 3
    assert store.storage.manifests() == [1, 3]


def test_a_snapshot_above_the_current_one_is_not_there(store: Store) -> None:
    """A killed writer's manifest may be whole: what CURRENT never named was never committed (P1)."""
    write(store, bars([("A", 1, 1.0)]))
    write(store, bars([("A", 1, 2.0)]))
    (store.root / "CURRENT").write_text("1\n")
    for number in (2, 3, -1):
        with pytest.raises(StoreError, match=f"no snapshot {number}") as missing:
            store.read(number)
        assert missing.value.hint == "snapshots: 1"


@pytest.mark.parametrize("content", ["two", "", "1.5"])
def test_a_current_that_is_no_number_is_damage_for_readers_and_writers(store: Store, content: str) -> None:
    write(store, bars([("A", 1, 1.0)]))
    (store.root / "CURRENT").write_text(content)
    before = visible_files(store.root)
    for attempt in (store.read, lambda: write(store, bars([("A", 1, 2.0)]))):
        with pytest.raises(StoreError, match=r"cannot read .*CURRENT"):
            attempt()
    assert visible_files(store.root) == before


def test_a_lost_current_is_damage_and_not_an_empty_store(store: Store) -> None:
    write(store, bars([("A", 1, 1.0)]))
    (store.root / "CURRENT").unlink()
    for attempt in (store.read, lambda: write(store, bars([("A", 1, 2.0)]))):
        with pytest.raises(StoreError, match="CURRENT is missing"):
            attempt()
    (store.root / "CURRENT").write_text("1\n")
    assert seen(store) == [("A", 1, 1.0)]


KEYS = st.tuples(st.sampled_from("ABC"), st.integers(0, 9))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("upsert"), st.dictionaries(KEYS, st.sampled_from([0.0, 1.5, None]), min_size=1, max_size=6)),
        st.tuples(st.just("delete"), st.sets(KEYS, min_size=1, max_size=6)),
        st.tuples(st.just("replace"), st.dictionaries(KEYS, st.floats(0, 1), max_size=12)),
        st.tuples(st.just("commit"), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_any_history_reads_like_a_dict(steps: list[tuple[str, object]]) -> None:
    """The oracle is a Python dict; deltas stay uncompacted half of the time because the base is large."""
    folder = Path(tempfile.mkdtemp())
    try:
        _check_history(Store(folder / "store"), steps)
    finally:
        shutil.rmtree(folder)


def _check_history(store: Store, steps: list[tuple[str, object]]) -> None:
    ballast = {("D", t): float(t) for t in range(300)}
    model: dict[tuple[str, int], float | None] = dict(ballast)
    write(store, _frame(model))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compaction, "MOST_CHANGES", 2)
        change_context = store.write("history")
        change = change_context.__enter__()
        for kind, argument in [*steps, ("commit", None)]:
            if kind == "upsert":
                change.upsert("bars", "1h", _frame(argument).sample(fraction=1, shuffle=True, seed=1))
                model.update(argument)
            elif kind == "delete":
                change.delete("bars", "1h", pl.DataFrame(list(argument), schema=["symbol", "timestamp"], orient="row"))
                model = {key: value for key, value in model.items() if key not in argument}
            elif kind == "replace":
                model = {**argument, **ballast}
                change.replace("bars", "1h", _frame(model))
            else:
                change.commit()
                change_context.__exit__(None, None, None)
                assert seen(store) == _frame(model).rows()
                change_context = store.write("history")
                change = change_context.__enter__()
        change_context.__exit__(None, None, None)
    with store.read() as snapshot:
        assert snapshot.rows("bars") == len(model)
        counted = pl.Series([symbol for symbol, _ in model]).value_counts()
        assert dict(snapshot.groups("bars", "1h")) == dict(counted.iter_rows())
        assert snapshot.data_version("bars") == _fresh_version(store, model)


def _fresh_version(store: Store, model: dict[tuple[str, int], float | None]) -> str:
    other = Store(store.root.parent / "fresh")
    write(other, _frame(model))
    with other.read() as snapshot:
        return snapshot.data_version("bars")


def _frame(rows: dict[tuple[str, int], float | None]) -> pl.DataFrame:
    return bars((symbol, time, rows[symbol, time]) for symbol, time in sorted(rows))


def test_rows_survive_bit_by_bit(store: Store) -> None:
    rng = np.random.default_rng(7)
    words = rng.integers(0, 2**32, 5000, dtype=np.uint64).astype(np.uint32)
    frame = bars(("A", t, 0.0) for t in range(5000)).with_columns(pl.Series("single", words.view(np.float32)))
    write(store, frame)
    with store.read() as snapshot:
        back = snapshot.scan("bars").collect()["single"].to_numpy()
    assert (back.view(np.uint32) == words).all()
