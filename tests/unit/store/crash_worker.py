"""Run as a program: kills competing writers of a store again and again and looks at what they leave.

usage: crash_worker.py STORE KILLS SEED. Commit number k does what `random.Random(k)` says, whoever makes it, so the
rows of every snapshot are known. Nothing here touches Polars before the fork: its threads do not survive one.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from tftctl.store import Place, SegmentSink, Store, Transaction
from tftctl.store.gc import collect_garbage
from tftctl.store.verify import verify

Rows = dict[tuple[str, int], float]
PERIODS = ("1h", "4h")
KINDS = ("upsert", "upsert", "upsert", "delete", "replace", "adopt", "rewrite")


def change_rows(number: int, period: str, rows: Rows) -> tuple[str, Rows]:
    """What commit `number` does to a period: its kind, and the rows that it is about."""
    chance = random.Random(f"{number} {period}")
    kind = chance.choice(KINDS) if rows else "replace"
    if kind in ("replace", "adopt"):
        size = chance.randrange(300, 900)
        return kind, {(symbol, t): float(number) for symbol in "ABC" for t in range(size)}
    share = 0.4 if kind == "rewrite" else 0.02  # a large share makes the commit compact
    chosen = chance.sample(sorted(rows), max(1, int(share * len(rows))))
    fresh = [(symbol, 1000 + number) for symbol in "ABD"]
    return kind, dict.fromkeys(chosen if kind == "delete" else [*chosen, *fresh], float(number))


def applied(kind: str, about: Rows, rows: Rows) -> Rows:
    """The rows after a change."""
    if kind in ("replace", "adopt"):
        return about
    return {key: value for key, value in rows.items() if key not in about} if kind == "delete" else {**rows, **about}


class Model:
    """The rows after each commit, worked out once."""

    def __init__(self) -> None:
        self.number = 0
        self.rows: dict[str, Rows] = {period: {} for period in PERIODS}

    def at(self, number: int) -> dict[str, Rows]:
        """Rows per period after commit `number`; numbers may only rise."""
        while self.number < number:
            self.number += 1
            for period in PERIODS:
                kind, about = change_rows(self.number, period, self.rows[period])
                self.rows[period] = applied(kind, about, self.rows[period])
        return self.rows


def frame(rows: Rows) -> pl.DataFrame:
    """Sorted rows as the store takes them."""
    keys = sorted(rows)
    columns = {"symbol": [s for s, _ in keys], "timestamp": [t for _, t in keys], "close": [rows[key] for key in keys]}
    return pl.DataFrame(columns)


def commit_next(store: Store, model: Model) -> int:
    """Make the commit after the current one; its number."""
    with store.write("crash test") as change:
        number = change.base.meta("bars").get("number", 0) + 1
        rows = dict(model.at(number - 1))
        for period in PERIODS:
            kind, about = change_rows(number, period, rows[period])
            make(change, kind, period, frame(about))
        change.set_meta("bars", {"number": number})
        change.commit()
    return number


def make(change: Transaction, kind: str, period: str, rows: pl.DataFrame) -> None:
    """Tell the store."""
    if kind == "replace":
        change.replace("bars", period, rows)
    elif kind == "adopt":
        sink = SegmentSink(change.storage, Place("bars", period))
        sink.add(rows)
        change.adopt("bars", period, sink.columns, [sink.finish()] if sink.columns else [])
    elif kind == "delete":
        change.delete("bars", period, rows)
    else:
        change.upsert("bars", period, rows)


def write_for_ever(root: Path, told: int) -> None:
    """Commit, tell the number, and clean up now and then."""
    store, model = Store(root), Model()
    while True:
        number = commit_next(store, model)
        os.write(told, number.to_bytes(4, "little"))
        if number % 5 == 0:
            collect_garbage(store, root / "no runs", keep=2)


def read_for_ever(root: Path, told: int) -> None:
    """Read whole snapshots; exit with 3 when one does not hold the rows of its number."""
    model = Model()
    while True:
        problem = content_problem(Store(root), model)
        if problem:
            sys.stderr.write(problem + "\n")
            os._exit(3)
        os.write(told, b"read")


def content_problem(store: Store, model: Model) -> str | None:
    """What is wrong with the rows of the current snapshot."""
    with store.read() as snapshot:
        number = snapshot.meta("bars").get("number", 0)
        expected = model.at(number)
        for period in PERIODS if number else ():
            found = snapshot.scan("bars", period).select("symbol", "timestamp", "close").collect()
            if found.rows() != frame(expected[period]).rows():
                return f"snapshot {snapshot.number}, commit {number}, {period}: not its rows"
            if snapshot.rows("bars", period) != found.height:
                return f"snapshot {snapshot.number}: {period} has another number of rows than it says"
    return None


def check(root: Path, last: int) -> None:
    """Exit with 1 unless the store is whole, holds its rows and nothing older than the last commit that was told."""
    store = Store(root)
    problems = list(verify(store).problems)
    problem = content_problem(store, Model())
    with store.read() as snapshot:
        number = snapshot.meta("bars").get("number", 0)
    if number < last:
        problems.append(f"commit {number} is the current one, {last} was told")
    for text in [*problems, *([problem] if problem else [])]:
        sys.stderr.write(text + "\n")
    sys.stderr.flush()
    os._exit(1 if problems or problem else 0)


def in_child(work: Callable[..., None], *arguments: Any) -> int:
    """Fork a process that runs `work`; its number."""
    pid = os.fork()
    if pid == 0:
        try:
            work(*arguments)
        except BaseException as error:  # noqa: BLE001 - a forked child must not go on as its parent
            sys.stderr.write(f"{work.__name__}: {error!r}\n")
        finally:
            sys.stderr.flush()
            os._exit(2)
    return pid


def kill_round(root: Path, chance: random.Random) -> list[int]:
    """Start two writers and a reader, kill them somewhere; the numbers of the commits that they told."""
    reading, writing = os.pipe()
    seen, seeing = os.pipe()
    writers = [in_child(write_for_ever, root, writing) for _ in range(2)]
    reader = in_child(read_for_ever, root, seeing)
    for end in (writing, seeing):
        os.close(end)
    numbers = b"".join(os.read(reading, 4) for _ in range(chance.randrange(1, 5)))
    time.sleep(chance.uniform(0.0, 0.3))
    os.kill(writers[0], signal.SIGKILL)
    time.sleep(chance.choice([0.0, chance.uniform(0.0, 0.3)]))
    os.kill(writers[1], signal.SIGKILL)
    os.kill(reader, signal.SIGKILL)
    states = [os.waitpid(pid, 0)[1] for pid in (*writers, reader)]
    if any(os.WIFEXITED(state) for state in states):
        sys.exit(f"a writer or the reader ended by itself: {states}")
    while more := os.read(reading, 4096):
        numbers += more
    for end in (reading, seen):
        os.close(end)
    return [int.from_bytes(numbers[i : i + 4], "little") for i in range(0, len(numbers) // 4 * 4, 4)]


def main() -> None:
    root, kills, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    told: list[int] = []
    for _ in range(kills):
        told += kill_round(root, chance)
        if len(set(told)) < len(told):
            sys.exit(f"one commit was told twice, so another was lost: {sorted(told)}")
        _, state = os.waitpid(in_child(check, root, max(told)), 0)
        if state:
            sys.exit(f"after commit {max(told)}: the store is not whole")
    kinds = {segment["kind"] for name in (root / "_manifests").iterdir() for segment in _segments(name)}
    sys.stdout.write(json.dumps({"commits": max(told), "kinds": sorted(kinds)}) + "\n")


def _segments(manifest: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(manifest.read_text())["tables"]["bars"]["segments"]
    except (ValueError, KeyError):
        return []


if __name__ == "__main__":
    main()
