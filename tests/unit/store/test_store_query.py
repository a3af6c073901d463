"""SQL over a snapshot, the catalogue file, and exports."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from store_tables import bars, write

from tftctl.core.errors import DataError, StoreError, UsageError
from tftctl.store import Store
from tftctl.store.export import Selection, export_table
from tftctl.store.query import Answer, run_query
from tftctl.store.status import status
from tftctl.store.verify import verify

MIDNIGHT = 1_704_067_200_000


@pytest.fixture(autouse=True)
def with_catalogue(uncatalogued: Callable[[Store], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Here commits bring the catalogue along, as they do for users."""
    monkeypatch.setattr(Store, "refresh_catalog", uncatalogued)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two periods of random rows with deltas and tombstones, one column in one period only; without a catalogue."""
    store = Store(tmp_path_factory.mktemp("made") / "store")
    rng = np.random.default_rng(3)
    for period, count in (("1h", 2000), ("4h", 500)):
        rows = bars((f"S{i % 4}", MIDNIGHT + i, float(rng.normal())) for i in range(count)).sort("symbol", "timestamp")
        write(store, rows.with_columns(extra=pl.lit(1.5)) if period == "4h" else rows, period)
    with store.write("changes") as change:
        for offset in (0, 7, 13):
            keys = [(f"S{(i + offset) % 4}", MIDNIGHT + i + offset) for i in range(0, 60, 3)]
            change.upsert("bars", "1h", bars((symbol, time, float(offset)) for symbol, time in keys))
            change.delete("bars", "1h", bars((symbol, time, None) for symbol, time in keys[::4]))
        change.commit()
    with store.read() as snapshot:
        assert {item.kind for item in snapshot.manifest.tables["bars"].segments} == {"base", "delta", "tombstone"}
    return store


@pytest.fixture
def filled(made: Store, store: Store) -> Store:
    """A copy with the catalogue."""
    shutil.copytree(made.root, store.root)
    assert store.refresh_catalog()
    return store


def ask(store: Store, query: str) -> Answer:
    with store.read() as snapshot:
        return run_query(snapshot, query)


def test_duckdb_and_polars_see_the_same_rows(filled: Store) -> None:
    with filled.read() as snapshot:
        expected = snapshot.scan("bars").collect()
    answer = ask(filled, "SELECT * EXCLUDE (datetime) FROM bars ORDER BY period, symbol, timestamp")
    found = pl.DataFrame(list(answer.rows), schema=expected.schema, orient="row")
    assert answer.columns == tuple(expected.columns)
    assert_frame_equal(found, expected.sort("period", "symbol", "timestamp"), check_exact=True)
    one = ask(filled, f"SELECT datetime, timestamp FROM bars WHERE timestamp = {MIDNIGHT + 100}").objects()[0]
    assert one == {"datetime": "2024-01-01T00:00:00.100Z", "timestamp": MIDNIGHT + 100}


def test_values_become_plain_json(filled: Store) -> None:
    query = """SELECT TIMESTAMP '2024-01-02 03:04:05' t, TIMESTAMPTZ '2024-01-02 03:04:05+02' z, DATE '2024-01-02' d,
               1.5::DECIMAL(4, 1) n, [1, 2] l, {'a': DATE '2024-01-03'} s, NULL nothing, true b, 1 t"""
    assert ask(filled, query).objects() == [
        {"t": "2024-01-02T03:04:05Z", "z": "2024-01-02T01:04:05Z", "d": "2024-01-02", "n": 1.5, "l": [1, 2],
         "s": {"a": "2024-01-03"}, "nothing": None, "b": True, "t_2": 1},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM bras", "bras"),
        ("SELECT closing FROM bars", "closing"),
        ("SELECT CAST('x' AS INT)", "Could not convert"),
        ("", "one SELECT"),
        ("SELECT 1; SELECT 2", "one SELECT"),
        ("COPY bars TO 'OUT'", "one SELECT"),
        ("SET enable_external_access = true", "one SELECT"),
        ("CREATE TABLE t (a INT)", "one SELECT"),
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO 'OUT'", "one SELECT"),
        ("ATTACH 'OUT' AS o", "one SELECT"),
        ("SELECT * FROM read_csv('SECRET')", "disabled"),
        ("SELECT * FROM read_text('SECRET')", "disabled"),
        ("SELECT * FROM glob('/*')", "disabled"),
    ],
)
def test_a_bad_query_is_one_line_and_touches_no_file(filled: Store, tmp_path: Path, query: str, message: str) -> None:
    secret, out = tmp_path / "secret.csv", tmp_path / "out"
    secret.write_text("a\nsecret\n")
    with pytest.raises(UsageError, match=message) as refused:
        ask(filled, query.replace("SECRET", str(secret)).replace("OUT", str(out)))
    assert "\n" not in refused.value.message
    assert "secret\n" not in refused.value.message
    assert not out.exists()


def test_an_unknown_table_says_what_exists(filled: Store) -> None:
    for name in ("bras", "snapshot"):
        with pytest.raises(UsageError) as refused:
            ask(filled, f"SELECT * FROM {name}")
        assert "tables: bars" in refused.value.hint
        assert "pg_" not in refused.value.message


@pytest.mark.parametrize("damage", ["lost", "empty", "short", "spoilt", "foreign"])
def test_a_damaged_file_is_the_stores_fault_whoever_reads_it(filled: Store, tmp_path: Path, damage: str) -> None:
    with filled.read() as snapshot:
        path = filled.root / snapshot.manifest.tables["bars"].of("1h")[0].path
        content = path.read_bytes()
        spoilt = {"empty": b"", "short": content[:-9], "spoilt": content[:200] + bytes(6000) + content[6200:]}
        if damage in spoilt:
            path.write_bytes(spoilt[damage])
        elif damage == "foreign":
            pl.DataFrame({"symbol": [1]}).write_parquet(path)
        else:
            path.unlink()
        attempts = [lambda: run_query(snapshot, "SELECT sum(close), count(DISTINCT symbol) FROM bars")]
        for name in ("o.parquet", "o.csv", "o.pkl"):
            attempts.append(lambda name=name: export_table(snapshot, "bars", tmp_path / name, Selection()))
        attempts.append(lambda: write_over(filled))
        for attempt in attempts:
            with pytest.raises(StoreError, match=f"a file of the store is damaged: {path}: ") as refused:
                attempt()
            assert refused.value.hint == "see: tftctl store verify"
            assert "\n" not in refused.value.message
        assert not list(tmp_path.glob("*.*"))


def write_over(store: Store) -> None:
    with store.write("over") as change:
        change.upsert("bars", "1h", bars([("S1", MIDNIGHT + 401, 0.5)]))
        change.commit()


def test_a_query_that_names_a_file_itself_is_the_users_fault(filled: Store) -> None:
    with filled.read() as snapshot:
        path = snapshot.storage.locate(snapshot.manifest.tables["bars"].segments[0].path)
    assert ask(filled, f"SELECT count(*) AS n FROM read_parquet('{path}')").objects()[0]["n"] > 0
    for name in ("CURRENT", "_manifests/manifest-00000001.json", "catalog.duckdb"):
        with pytest.raises(UsageError, match="disabled"):
            ask(filled, f"SELECT * FROM read_blob('{filled.root / name}')")


def test_a_large_query_spills_outside_the_current_folder(filled: Store) -> None:
    (folder,) = ask(filled, "SELECT current_setting('temp_directory')").rows[0]
    assert Path(folder).parent == Path(tempfile.gettempdir())
    assert not Path(folder).exists()


def catalogued(store: Store, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(store.root / "catalog.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_the_catalogue_has_views_history_and_columns(filled: Store) -> None:
    with filled.read() as snapshot:
        rows, version = snapshot.rows("bars"), snapshot.data_version("bars", "1h")
    assert catalogued(filled, "SELECT count(*) FROM bars") == [(rows,)]
    assert catalogued(filled, "SELECT number, parent, why FROM snapshots ORDER BY 1") == [
        (1, 0, "test"),
        (2, 1, "test"),
        (3, 2, "changes"),
    ]
    assert catalogued(filled, "SELECT data_version FROM lineage WHERE snapshot = 3 AND period = '1h'") == [(version,)]
    assert ("bars", "close", "Float64", None) in catalogued(filled, "SELECT * FROM columns")


def test_the_catalogue_is_made_anew_when_missing_damaged_or_moved(filled: Store) -> None:
    path = filled.root / "catalog.duckdb"
    path.unlink()
    status(filled)
    assert catalogued(filled, "SELECT count(*) FROM snapshots") == [(3,)]
    path.write_bytes(b"not a database, and long enough to be taken for one" * 400)
    write(filled, bars([("A", 1, 1.0)]))
    assert catalogued(filled, "SELECT max(number) FROM snapshots") == [(4,)]
    moved = Store(filled.root.rename(filled.root.parent / "moved"))
    status(moved)
    assert catalogued(moved, "SELECT count(*) FROM bars WHERE period = '1h'") == [(1,)]


HOLDER = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('held', flush=True); time.sleep(60)"


def test_a_held_catalogue_is_a_warning_and_the_commit_stands(filled: Store, caplog: pytest.LogCaptureFixture) -> None:
    path = filled.root / "catalog.duckdb"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with caplog.at_level(logging.WARNING):
            assert write(filled, bars([("A", 1, 1.0)])) == 4
        assert "held by another program" in caplog.text
    finally:
        holder.kill()
        holder.communicate()
    assert filled.refresh_catalog()
    assert catalogued(filled, "SELECT max(number) FROM snapshots") == [(4,)]


def test_export_writes_the_same_rows_in_three_formats(filled: Store, tmp_path: Path) -> None:
    with filled.read() as snapshot:
        expected = snapshot.scan("bars").collect()
        for name in ("o.parquet", "o.csv", "o.pkl"):
            assert export_table(snapshot, "bars", tmp_path / name, Selection()) == expected.height
    assert_frame_equal(pl.read_parquet(tmp_path / "o.parquet"), expected, check_exact=True)
    assert_frame_equal(pl.read_csv(tmp_path / "o.csv", schema=expected.schema), expected, check_exact=True)
    assert_frame_equal(pl.from_pandas(pd.read_pickle(tmp_path / "o.pkl")), expected, check_exact=True)


def test_an_export_never_goes_into_the_store(filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(filled.root)
    with filled.read() as snapshot:
        segment = snapshot.manifest.tables["bars"].segments[0].path
        (tmp_path / "link").symlink_to(filled.root / "bars")
        for output in (Path(segment), filled.root / "x.csv", tmp_path / "link" / "x.csv", Path("_cache") / "x.pkl"):
            with pytest.raises(UsageError, match="lies in the store"):
                export_table(snapshot, "bars", output, Selection(), force=True)
    assert verify(filled).problems == ()


def test_export_onto_a_full_disk_is_one_line(filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = pl.exceptions.ComputeError("parquet: underlying IO error: No space left on device (os error 28)")
    with filled.read() as snapshot, monkeypatch.context() as patched:
        patched.setattr(pl.LazyFrame, "sink_parquet", lambda *args, **more: (_ for _ in ()).throw(full))
        with pytest.raises(DataError, match=r"cannot write .*o.parquet: .*No space left"):
            export_table(snapshot, "bars", tmp_path / "o.parquet", Selection())


def test_export_selects_and_refuses(filled: Store, tmp_path: Path) -> None:
    output = tmp_path / "o.csv"
    with filled.read() as snapshot:
        chosen = Selection(symbols=["S1"], periods=["4h"], columns=["extra"])
        assert export_table(snapshot, "bars", output, chosen) == 125
        assert output.read_text().splitlines()[:2] == ["symbol,period,timestamp,extra", f"S1,4h,{MIDNIGHT + 1},1.5"]
        with pytest.raises(UsageError, match="exists already"):
            export_table(snapshot, "bars", output, chosen)
        export_table(snapshot, "bars", output, Selection(symbols=["S2"]), force=True)
        for wrong, message in (
            (Selection(symbols=["S9"]), "no rows of symbol 'S9'"),
            (Selection(periods=["1d"]), "no period '1d'"),
            (Selection(columns=["clos"]), "no column 'clos'"),
        ):
            with pytest.raises(StoreError, match=message):
                export_table(snapshot, "bars", tmp_path / "n.csv", wrong)
        with pytest.raises(UsageError, match="format"):
            export_table(snapshot, "bars", tmp_path / "n.xlsx", Selection())
        with pytest.raises(Exception, match="cannot write"):
            export_table(snapshot, "bars", tmp_path / "none" / "n.csv", Selection())
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["o.csv"]
