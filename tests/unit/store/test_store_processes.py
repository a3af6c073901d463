"""Competing writers, readers beside them, and writers that are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from store_tables import bars, seen, write

from tftctl.core.errors import StoreError
from tftctl.store import Store, lease, lock
from tftctl.store.verify import verify

COMMITS = 15
WRITER = f"""
import sys
from pathlib import Path
import polars as pl
from tftctl.store import Store
name = sys.argv[2]
for step in range({COMMITS}):
    with Store(Path(sys.argv[1])).write(f"{{name}} {{step}}") as change:
        rows = change.base.rows("bars") if change.base.has("bars") else 0
        change.upsert("bars", "1h", pl.DataFrame({{"symbol": [name], "timestamp": [step], "close": [float(step)]}}))
        change.set_meta("bars", {{"rows": rows + 1}})
        change.commit()
"""
HOLDER = """
import sys, time
from pathlib import Path
from tftctl.store import Store
with Store(Path(sys.argv[1])).write("holds the lock"):
    print("held", flush=True)
    time.sleep(60)
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_writers_lose_no_commit_and_a_reader_sees_whole_snapshots(store: Store) -> None:
    writers = [start(WRITER, store.root, name) for name in ("A", "B")]
    snapshots = set()
    while any(writer.poll() is None for writer in writers):
        with store.read() as snapshot:
            if snapshot.has("bars"):
                rows = snapshot.scan("bars").collect()
                assert rows.height == snapshot.meta("bars")["rows"] == snapshot.rows("bars")
                snapshots.add(snapshot.number)
        time.sleep(0.01)
    for writer in writers:
        _, errors = writer.communicate()
        assert writer.returncode == 0, errors
    assert seen(store) == [(name, step, float(step)) for name in ("A", "B") for step in range(COMMITS)]
    assert store.current() == 2 * COMMITS
    assert len(snapshots) > 3
    assert verify(store).problems == ()
    assert not list((store.root / "_leases").iterdir())


def crash(folder: Path, kills: int) -> int:
    """Kill two competing writers and a reader again and again; the number of commits that were made."""
    worker = Path(__file__).with_name("crash_worker.py")
    command = [sys.executable, str(worker), str(folder / "store"), str(kills), "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["commits"]


def test_killed_writers_leave_the_store_before_or_after(tmp_path: Path) -> None:
    assert crash(tmp_path, kills=3) >= 3


@pytest.mark.slow
def test_sixty_killed_pairs_of_writers_leave_the_store_before_or_after(tmp_path: Path) -> None:
    assert crash(tmp_path, kills=60) >= 60


def test_a_waiting_writer_says_who_holds_the_lock(store: Store) -> None:
    write(store, bars([("A", 1, 1.0)]))
    holder = start(HOLDER, store.root)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=f"being written by process {holder.pid} on "):
            write(Store(store.root, wait_seconds=0.2), bars([("A", 1, 2.0)]))
        assert seen(store) == [("A", 1, 1.0)]
    finally:
        holder.kill()
        holder.communicate()
    assert write(store, bars([("A", 1, 2.0)])) == 2


def test_the_base_must_still_be_current_at_the_swap(store: Store) -> None:
    write(store, bars([("A", 1, 1.0)]))
    write(store, bars([("A", 1, 2.0)]))
    with pytest.raises(StoreError, match="another writer"), store.write("test") as change:
        change.upsert("bars", "1h", bars([("A", 2, 1.0)]))
        (store.root / "CURRENT").write_text("1\n")
        change.commit()
    assert store.storage.manifests() == [1, 2]


def test_network_file_systems_are_refused_unless_allowed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\ntmpfs {tmp_path}/stor tmpfs rw 0 0\n")
    monkeypatch.setattr(lock, "MOUNTS", mounts)
    with pytest.raises(StoreError, match="network file system \\(nfs4\\)") as refused:
        write(store, bars([("A", 1, 1.0)]))
    assert "--unsafe-lock" in refused.value.hint
    assert write(Store(store.root, unsafe_lock=True), bars([("A", 1, 1.0)])) == 1
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path}x cifs rw 0 0\n")
    assert write(store, bars([("A", 1, 2.0)])) == 2


def test_leases_exist_while_read_and_end_with_the_reader(store: Store) -> None:
    write(store, bars([("A", 1, 1.0)]))
    leases = store.root / "_leases"
    snapshot = store.read()
    (path,) = leases.iterdir()
    assert json.loads(path.read_text())["snapshot"] == 1
    snapshot.close()
    assert not list(leases.iterdir())
    forgotten = store.read()
    del forgotten
    assert not list(leases.iterdir())


def test_a_lease_beats_while_its_reader_lives(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.01)
    write(store, bars([("A", 1, 1.0)]))
    with store.read():
        (path,) = (store.root / "_leases").iterdir()
        os.utime(path, (0, 0))
        waited = time.monotonic() + 5
        while path.stat().st_mtime == 0 and time.monotonic() < waited:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


def test_a_forked_child_does_not_end_its_parents_lease(store: Store) -> None:
    write(store, bars([("A", 1, 1.0)]))
    with store.read() as snapshot:
        child = os.fork()
        if child == 0:
            snapshot.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert len(list((store.root / "_leases").iterdir())) == 1


def test_a_reader_retries_when_its_snapshot_goes_while_it_opens(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store, bars([("A", 1, 1.0)]))
    write(store, bars([("A", 1, 2.0)]))
    answers = iter([1, 2, 2, 2])
    monkeypatch.setattr(store.storage, "current", lambda: next(answers))
    store.storage.delete("_manifests/manifest-00000001.json")
    with store.read() as snapshot:
        assert snapshot.number == 2
        assert len(list((store.root / "_leases").iterdir())) == 1
