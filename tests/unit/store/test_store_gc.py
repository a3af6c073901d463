"""What `gc` removes and what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from store_tables import bars, seen, visible_files, write

from tftctl.core.errors import StoreError
from tftctl.store import Store, cache_dir
from tftctl.store.gc import collect_garbage
from tftctl.store.lease import STALE_SECONDS
from tftctl.store.verify import verify


@pytest.fixture
def history(store: Store) -> Store:
    """Six snapshots, each with rows of its own."""
    for number in range(1, 7):
        assert write(store, bars([("A", 1, float(number))])) == number
    return store


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """An empty folder of runs."""
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def run_of(runs: Path, name: str, snapshot: object) -> None:
    (runs / name).mkdir()
    (runs / name / "manifest.json").write_text(json.dumps({"snapshot": snapshot}))


def test_the_newest_are_kept_and_all_else_goes(history: Store, runs: Path) -> None:
    removal = collect_garbage(history, runs, keep=2)
    assert (removal.kept, removal.snapshots) == ((5, 6), (1, 2, 3, 4))
    assert removal.bytes > 0
    assert history.storage.manifests() == [5, 6]
    assert len(list(history.root.glob("bars/*/*.parquet"))) == 2
    assert seen(history, number=5) == [("A", 1, 5.0)]
    assert verify(history).problems == ()
    with pytest.raises(StoreError, match="no snapshot 2"):
        history.read(2)


def test_dry_run_says_the_same_and_removes_nothing(history: Store, runs: Path) -> None:
    before = visible_files(history.root)
    planned = collect_garbage(history, runs, keep=1, dry_run=True)
    assert visible_files(history.root) == before
    assert collect_garbage(history, runs, keep=1) == planned


def test_runs_and_readers_keep_their_snapshots(history: Store, runs: Path) -> None:
    run_of(runs, "train-1", 2)
    run_of(runs, "train-2", None)
    with history.read(3) as reader:
        assert collect_garbage(history, runs, keep=1).kept == (2, 3, 6)
        assert reader.scan("bars").collect()["close"].to_list() == [3.0]
    assert collect_garbage(history, runs, keep=1).snapshots == (3,)


def test_a_run_that_cannot_be_read_stops_gc(history: Store, runs: Path) -> None:
    run_of(runs, "train-1", 2)
    (runs / "train-1" / "manifest.json").write_text('{"snapshot": ')
    before = visible_files(history.root)
    with pytest.raises(StoreError, match=r"train-1/manifest\.json"):
        collect_garbage(history, runs, keep=1)
    assert visible_files(history.root) == before


def test_leases_of_dead_readers_hold_nothing(history: Store, runs: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with history.read(1) as own:
        (path,) = (history.root / "_leases").iterdir()
        lease = json.loads(path.read_text())
        (path.parent / "dead.json").write_text(json.dumps({**lease, "snapshot": 2, "pid": gone.pid}))
        (path.parent / "remote.json").write_text(json.dumps({**lease, "snapshot": 3, "machine": "elsewhere"}))
        silent = path.parent / "silent.json"
        silent.write_text(json.dumps({**lease, "snapshot": 4, "machine": "elsewhere"}))
        os.utime(silent, (0, path.stat().st_mtime - STALE_SECONDS - 1))
        (path.parent / "reused.json").write_text(json.dumps({**lease, "snapshot": 5, "birth": "1"}))
        unfinished, present = path.parent / "unfinished.tmp", path.parent / "present.tmp"
        for half in (unfinished, present):
            half.write_text('{"pid": ')
        os.utime(unfinished, (0, path.stat().st_mtime - STALE_SECONDS - 1))
        assert collect_garbage(history, runs, keep=1).kept == (1, 3, 6)
        assert own.number == 1
        assert {item.name for item in path.parent.iterdir()} == {path.name, "remote.json", "present.tmp"}


def test_a_reader_that_died_but_was_not_waited_for_holds_nothing(history: Store, runs: Path) -> None:
    program = "import sys; from pathlib import Path; from tftctl.store import lease; "
    program += "lease.take_lease(Path(sys.argv[1]), 2); print('leased', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(history.root)]
    reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "leased\n"
    assert collect_garbage(history, runs, keep=1, dry_run=True).kept == (2, 6)
    reader.kill()
    os.waitid(os.P_PID, reader.pid, os.WEXITED | os.WNOWAIT)
    assert collect_garbage(history, runs, keep=1).kept == (6,)
    reader.communicate()


def test_debris_of_killed_writers_goes(history: Store, runs: Path) -> None:
    root = history.root
    kept = visible_files(root)
    (root / "_tmp" / "half.parquet").write_bytes(b"PAR1")
    (root / "bars" / "period=1h" / "orphan.parquet").write_bytes(b"PAR1")
    (root / "_manifests" / "manifest-00000007.json").write_text("{half")
    (root / "README.md").write_text("stays")
    removal = collect_garbage(history, runs, keep=6)
    assert removal.snapshots == (7,)
    assert set(removal.files) == {"_tmp/half.parquet", "bars/period=1h/orphan.parquet"}
    assert visible_files(root) == kept | {"README.md"}


def test_caches_go_with_their_snapshot(history: Store, runs: Path) -> None:
    for number in (1, 6):
        folder = cache_dir(history.root, number, "abc-1")
        folder.mkdir(parents=True)
        (folder / "rows.npy").write_bytes(b"0" * 100)
    (history.root / "_cache" / "snapshots-of-mine").mkdir()
    removal = collect_garbage(history, runs, keep=3)
    assert "_cache/snap1-abc-1" in removal.files
    assert sorted(path.name for path in (history.root / "_cache").iterdir()) == ["snap6-abc-1", "snapshots-of-mine"]


def test_a_reader_that_comes_while_manifests_go_keeps_its_files(
    history: Store, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader leases and re-reads snapshot 2 after gc has looked at the leases (P3)."""
    late = []
    honest = history.storage.delete

    def delete(name: str) -> None:
        if not late:
            late.append(Store(history.root).read(2))
        honest(name)

    monkeypatch.setattr(history.storage, "delete", delete)
    removal = collect_garbage(history, runs, keep=1)
    assert (removal.kept, removal.snapshots) == ((2, 6), (1, 3, 4, 5))
    assert collect_garbage(history, runs, keep=1).kept == (2, 6)
    assert late[0].scan("bars").collect()["close"].to_list() == [2.0]
    assert verify(history).problems == ()
    late[0].close()
    assert len(collect_garbage(history, runs, keep=1).files) == 1
    assert history.storage.manifests() == [6]


def test_an_empty_store_has_no_garbage(store: Store, runs: Path) -> None:
    assert collect_garbage(store, runs).files == ()
    assert not store.root.exists()
