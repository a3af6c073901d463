"""Run as a program: kills writers of a store again and again and looks at what they leave.

usage: crash_worker.py STORE KILLS. Nothing here touches Polars before the fork: its threads do not survive one.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import polars as pl

from tftctl.store import Store
from tftctl.store.verify import verify


def write_for_ever(root: Path, acknowledged: int) -> None:
    """Commit tables in which every value is the number of the commit, and tell each number."""
    store = Store(root)
    with store.read() as snapshot:
        value = snapshot.meta("bars").get("value", 0)
    while True:
        value += 1
        with store.write(f"value {value}") as change:
            for period in ("1h", "4h"):
                change.replace("bars", period, table(value, 3000))
                change.upsert("bars", period, table(value, 10, symbol="B"))
            change.set_meta("bars", {"value": value})
            change.commit()
        os.write(acknowledged, value.to_bytes(4, "little"))


def table(value: int, rows: int, symbol: str = "A") -> pl.DataFrame:
    """Rows that all hold one value."""
    return pl.DataFrame({"symbol": [symbol] * rows, "timestamp": range(rows), "close": [float(value)] * rows})


def check(root: Path, acknowledged: int) -> None:
    """Exit with 1 unless the store is whole and at the last acknowledged commit or the one after it."""
    store = Store(root)
    problems = list(verify(store).problems)
    with store.read() as snapshot:
        value = snapshot.meta("bars").get("value", 0)
        if value not in (acknowledged, acknowledged + 1):
            problems.append(f"value {value}, acknowledged {acknowledged}")
        found = set(snapshot.scan("bars").collect()["close"]) if value else {0.0}
    if found != {float(value)}:
        problems.append(f"values {found}, expected {value}")
    for problem in problems:
        sys.stderr.write(problem + "\n")
    sys.stderr.flush()
    os._exit(1 if problems else 0)


def in_child(work: object, *args: object) -> int:
    """Fork a process that runs `work`; its number."""
    pid = os.fork()
    if pid == 0:
        try:
            work(*args)
        finally:
            os._exit(2)
    return pid


def kill_one(root: Path, chance: random.Random, last: int) -> int:
    """Start a writer, kill it somewhere within its second or third commit; the last number it told."""
    reading, writing = os.pipe()
    pid = in_child(write_for_ever, root, writing)
    os.close(writing)
    told = os.read(reading, 4)
    time.sleep(chance.uniform(0.0, 0.12))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while more := os.read(reading, 4):
        told = more
    os.close(reading)
    return int.from_bytes(told, "little") if told else last


def main() -> None:
    root, kills = Path(sys.argv[1]), int(sys.argv[2])
    chance, last = random.Random(5), 0
    for _ in range(kills):
        last = kill_one(root, chance, last)
        _, state = os.waitpid(in_child(check, root, last), 0)
        if state:
            sys.exit(f"after commit {last}: the store is not whole")
        last = last_value(root, last)
    sys.stdout.write(f"{last}\n")


def last_value(root: Path, last: int) -> int:
    """The value now stored, read without Polars."""
    import json

    number = int((root / "CURRENT").read_text())
    if not number:
        return last
    document = json.loads((root / "_manifests" / f"manifest-{number:08d}.json").read_text())
    return document["tables"]["bars"]["meta"]["value"]


if __name__ == "__main__":
    main()
