"""A write that fails at any point, once or for good, leaves the store as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from store_tables import bars, seen, visible_files, write

from tftctl.core.errors import StoreError
from tftctl.store import Store, writer
from tftctl.store.gc import collect_garbage
from tftctl.store.status import status
from tftctl.store.verify import verify

OPERATIONS = ("open", "fsync", "rename", "replace", "mkdir", "unlink")
BEFORE = [("A", t, float(t)) for t in range(8)]
AFTER = [("A", 1, 10.0), *[("A", t, float(t)) for t in range(3, 8)], ("B", 1, 1.0)]


class Faults:
    """Counts file operations and fails the one numbered `at`, or all from there on when `for_good`."""

    def __init__(self, at: int, for_good: bool) -> None:
        self.at, self.for_good, self.count, self.names = at, for_good, 0, []

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            self.names.append(name)
            if self.count == self.at or (self.for_good and self.count > self.at):
                raise OSError(28, "No space left on device", str(args[0]))
            return real(*args, **kwargs)

        return operation

    def inject(self, patched: pytest.MonkeyPatch) -> None:
        for name in OPERATIONS:
            patched.setattr(os, name, self.wrap(name, getattr(os, name)))
        patched.setattr(writer._Sink, "write", self.wrap("write", writer._Sink.write))
        patched.setattr(writer.io, "FileIO", self.wrap("create", writer.io.FileIO))


def change_much(store: Store) -> None:
    """A delta and a tombstone that are compacted, a new table, a dropped one."""
    with store.write("test") as change:
        change.upsert("bars", "1h", bars([("A", 1, 10.0), ("B", 1, 1.0)]))
        change.delete("bars", "1h", bars([("A", 0, None), ("A", 2, None)]))
        change.replace("macro", "1d", bars([("m2", 1, 1.0)]))
        change.drop("old")
        change.commit()


@pytest.fixture
def written(store: Store) -> Store:
    write(store, bars(BEFORE))
    with store.write("another table") as change:
        change.replace("old", "1d", bars([("A", 1, 1.0)]))
        change.commit()
    return store


def operations_of_a_commit(store: Store, copy: Path) -> list[str]:
    shutil.copytree(store.root, copy)
    faults = Faults(0, False)
    with pytest.MonkeyPatch.context() as patched:
        faults.inject(patched)
        change_much(Store(copy))
    assert seen(Store(copy)) == AFTER
    return faults.names


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("for_good", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_each_operation_of_a_commit_may_fail(written: Store, tmp_path: Path, for_good: bool) -> None:
    names = operations_of_a_commit(written, tmp_path / "dry")
    assert {"open", "fsync", "rename", "replace", "mkdir", "unlink", "write", "create"} <= set(names)
    before, files = seen(written), visible_files(written.root)
    outcomes = set()
    for at in range(1, len(names) + 1):
        copy = Store(tmp_path / f"copy{at}")
        shutil.copytree(written.root, copy.root)
        failed = _fails(copy, Faults(at, for_good))
        rows = seen(copy)
        outcomes.add((failed, rows == AFTER))
        assert rows in (before, AFTER)
        assert verify(copy).problems == (), f"operation {at}, {names[at - 1]}"
        if failed and not for_good:
            assert rows == before, f"operation {at}, {names[at - 1]}"
            assert visible_files(copy.root) - files == set(), f"operation {at}, {names[at - 1]}"
        if at % 4 == 0:
            change_much(copy)
            assert seen(copy) == AFTER
        shutil.rmtree(copy.root)
    assert (True, False) in outcomes


def _fails(store: Store, faults: Faults) -> bool:
    with pytest.MonkeyPatch.context() as patched:
        faults.inject(patched)
        try:
            change_much(store)
        except StoreError as error:
            assert "No space left on device" in error.message
            assert "\n" not in error.message
            return True
    return False


def test_first_write_into_a_new_folder_may_fail_anywhere(tmp_path: Path) -> None:
    faults = Faults(0, False)
    with pytest.MonkeyPatch.context() as patched:
        faults.inject(patched)
        write(Store(tmp_path / "dry"), bars(BEFORE))
    for at in range(1, faults.count + 1):
        store = Store(tmp_path / f"new{at}")
        with pytest.MonkeyPatch.context() as patched:
            Faults(at, False).inject(patched)
            try:
                write(store, bars(BEFORE))
            except StoreError:
                with store.read() as snapshot:
                    assert snapshot.number == 0
                assert not list(store.root.glob("bars/*/*.parquet"))
        write(store, bars(BEFORE))
        assert seen(store) == BEFORE


@pytest.fixture
def guest() -> Iterator[Path]:
    """A folder that everyone may read, and for the test a user who may not write to it."""
    folder = Path(tempfile.mkdtemp())
    yield folder
    os.seteuid(os.getuid())
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_read_only_store_is_one_line_and_reading_still_works(guest: Path, tmp_path: Path) -> None:
    store = Store(guest / "store")
    write(store, bars(BEFORE))
    before = visible_files(store.root)
    for path in sorted([guest, *guest.rglob("*")], reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    if os.getuid() == 0:
        os.seteuid(65534)
    for attempt in (lambda: change_much(store), lambda: collect_garbage(store, tmp_path, keep=1)):
        with pytest.raises(StoreError, match=r"cannot write the store: .*: Permission denied") as refused:
            attempt()
        assert "\n" not in refused.value.message
    assert seen(store) == BEFORE
    assert verify(store).problems == ()
    assert status(store)["snapshot"] == 1
    assert visible_files(store.root) == before


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
import polars as pl
from tftctl.core.errors import TftctlError
from tftctl.store import Store
from tftctl.store.export import Selection, export_table
store, out = Store(Path(sys.argv[1])), Path(sys.argv[2])
close = np.random.default_rng(1).normal(size=200_000)
rows = pl.DataFrame({"symbol": "A", "timestamp": range(close.size), "close": close})
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
def write():
    with store.write("too much") as change:
        change.upsert("bars", "1h", rows)
        change.commit()
def export(name):
    with store.read() as snapshot:
        export_table(snapshot, "large", out / name, Selection())
for attempt in (write, *(lambda name=name: export(name) for name in ("o.parquet", "o.csv", "o.pkl"))):
    try:
        attempt()
        print("done")
    except TftctlError as error:
        print(error.exit_code, error.message.count(chr(10)), error.message.partition(":")[0])
"""


def test_files_that_cannot_grow_are_one_line_whoever_writes_them(written: Store, tmp_path: Path) -> None:
    """The operating system itself stops Arrow, Polars and pandas in the middle of a file."""
    values = np.random.default_rng(1).normal(size=200_000)
    rows = pl.DataFrame({"symbol": "A", "timestamp": range(values.size), "x": values})
    with written.write("large") as change:
        change.replace("large", "1h", rows)
        change.commit()
    before = visible_files(written.root)
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-c", FULL_DISK, str(written.root), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    outcomes = done.stdout.splitlines()
    assert outcomes[0] == "3 0 cannot write the store"
    assert outcomes[1:] == [f"3 0 cannot write {tmp_path}/out/o.{suffix}" for suffix in ("parquet", "csv", "pkl")]
    assert not list((tmp_path / "out").iterdir())
    assert visible_files(written.root) == before
    assert verify(written).problems == ()


def test_a_path_below_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write the store: .*file") as refused:
        write(Store(tmp_path / "file" / "store"), bars(BEFORE))
    assert "\n" not in refused.value.message
