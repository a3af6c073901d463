"""A fused table made by hand, of whose columns everything is known, and naive oracles of what training rows are."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tftctl.audit.prune.inputs import Inputs
from tftctl.audit.prune.prune import Pruned, prune, try_out
from tftctl.audit.prune.rules import ColumnRules, RowRules, Rules
from tftctl.core.config.model import ModelConfig
from tftctl.core.times import now_ms
from tftctl.store import Store

HOUR = 3_600_000
DAY = 24 * HOUR
START = 1_600_041_600_000  # a midnight
STEP = {"1h": HOUR, "4h": 4 * HOUR}
ROWS = {"1h": 2400, "4h": 600}
SYMBOLS = ("AAA", "BBB", "CCC")
HORIZON = {"target_x": 4, "target_y": 24}
CONFIG = ModelConfig(targets=["target_x"], max_encoder_length=24, hidden_size=8, attention_head_size=2)
SCALES = {"level": "price", "level_twin": "price"}
# of the columns beside bars, keys and ages
PLANTED = (
    "noise", "signal", "signal_again", "signal_mirrored", "signal_near", "signal_nearer", "flat", "empty", "mostly_one",
    "sparse", "late", "moved", "moved_in_test", "level", "level_twin", "noise__4h", "flat_at_4h",
)  # fmt: skip


def instants(period: str, symbol: str) -> pl.DataFrame:
    """Row columns of one group; AAA has a hole and three filled rows at 1h."""
    step = STEP[period]
    stamps = START + step * np.arange(ROWS[period], dtype=np.int64)
    segment = np.zeros(stamps.size, np.int32)
    filled = np.zeros(stamps.size, bool)
    if (symbol, period) == ("AAA", "1h"):
        keep = np.r_[0:700, 720:2400]
        stamps, segment = stamps[keep], np.repeat([0, 1], [700, 1680]).astype(np.int32)
        filled = np.isin(np.arange(keep.size), [100, 101, 300])
    available = stamps + step
    available[filled] = [
        available[np.flatnonzero(~filled & (np.arange(stamps.size) > i))[0]] for i in np.flatnonzero(filled)
    ]
    return pl.DataFrame(
        {
            "symbol": symbol, "period": period, "timestamp": stamps, "available_at": available,
            "next_timestamp": stamps + step, "segment": segment, "bar_index": np.arange(stamps.size),
            "is_filled": filled,
        }
    )  # fmt: skip


def values(rows: pl.DataFrame, seed: int) -> dict[str, np.ndarray]:
    """The planted columns of one group, NaN where null."""
    random = np.random.default_rng(seed)
    size, fast = rows.height, rows["period"][0] == "1h"
    at = (rows["timestamp"].to_numpy() - START) / (100 * DAY)
    noise, signal = random.normal(size=size), random.normal(size=size)
    price = np.exp(0.01 * random.normal(size=size).cumsum()) * 100 ** (1 + seed % 3)
    made = {
        "open": price, "high": price * 1.01, "low": price * 0.99, "close": price, "volume": random.random(size),
        "noise": noise,
        "signal": signal,
        "signal_again": signal.copy(),
        "signal_mirrored": -signal,
        "signal_near": signal + 0.1 * random.normal(size=size),  # r about 0.995
        "signal_nearer": signal + 0.03 * random.normal(size=size),
        "flat": np.full(size, 7.0),
        "empty": np.full(size, np.nan),
        "mostly_one": np.where(random.random(size) < 0.97, 1.0, random.normal(size=size)),
        "sparse": np.where(random.random(size) < 0.6, np.nan, random.normal(size=size)),
        "late": np.where(np.arange(size) < (300 if fast else 400), np.nan, random.normal(size=size)),
        "moved": random.normal(size=size) + 3.0 * (at > 0.7),
        "moved_in_test": random.normal(size=size) + 3.0 * (at > 0.85),
        "level": price * (1 + 0.001 * random.random(size)),
        "level_twin": price * (1 + 0.001 * random.random(size)),
        "noise__4h": random.normal(size=size) if fast else np.full(size, np.nan),
        "flat_at_4h": random.normal(size=size) if fast else np.full(size, 2.0),
        "age__4h": np.full(size, 1.0) if fast else np.full(size, np.nan),
    }  # fmt: skip
    return {name: column.astype(np.float32) for name, column in made.items()}


def labels(rows: pl.DataFrame, columns: dict[str, np.ndarray]) -> pl.DataFrame:
    """Two targets; `target_x` is the noise of its row, so that a label prefers that column."""
    available = rows["available_at"].to_numpy()
    made: dict[str, Any] = {name: rows[name] for name in ("symbol", "period", "timestamp")}
    for name, bars in HORIZON.items():
        end = np.full(rows.height, -1)
        end[:-bars] = available[bars:]
        missing = end < 0
        made[name] = pl.Series(np.where(missing, np.nan, columns["noise"])).fill_nan(None).cast(pl.Float32)
        made[f"label_end__{name}"] = pl.Series(end).replace(-1, None)
    return pl.DataFrame(made)


def describe(name: str) -> dict[str, Any]:
    """The entry of a column in the table's description."""
    bars = ("open", "high", "low", "close", "volume")
    source, _, context = name.partition("__")
    role = "bar" if name in bars else "age" if source == "age" else "context" if context else "own"
    scale = "price" if name in bars else SCALES.get(name, "free")
    return {"role": role, "scale": scale, "source": source, "context_period": context or None, "summary": ""}


def make_store(root: Path, change: Any = None) -> Store:
    """A store with the planted table as snapshot 1; `change(rows)` returns other rows of a group."""
    store = Store(root / "store")
    with store.write("by hand") as txn:
        for period in STEP:
            fused, targets = [], []
            for number, symbol in enumerate(SYMBOLS):
                rows = instants(period, symbol)
                columns = values(rows, 10 * number + len(period) + (period == "4h"))
                table = rows.with_columns(pl.Series(name, column).fill_nan(None) for name, column in columns.items())
                fused.append(change(table) if change else table)
                targets.append(labels(rows, columns))
            txn.replace("fused", period, pl.concat(fused))
            txn.replace("targets", period, pl.concat(targets))
        names = [name for name in fused[0].columns if name not in rows.columns]
        absent = ["noise__4h", "age__4h"]
        marks = {p: {name: "absent" if p == "4h" and name in absent else "made" for name in names} for p in STEP}
        txn.set_meta("fused", {"columns": {n: describe(n) for n in names}, "definitions": marks, "origin": "built"})
        entries = {n: {"kind": "regression", "horizon": dict.fromkeys(STEP, h)} for n, h in HORIZON.items()}
        txn.set_meta("targets", {"targets": entries, "definitions": {p: dict.fromkeys(HORIZON, "made") for p in STEP}})
        txn.commit()
    return store


def tried(
    store: Store, config: ModelConfig = CONFIG, rows: RowRules | None = None, all_targets: bool = False, **columns: Any
) -> Pruned:
    """A trial with these column rules."""
    rules = Rules(columns=ColumnRules(**columns), rows=rows or RowRules(), all_targets=all_targets)
    return try_out(store, rules, config, Inputs())


def pruned(store: Store, rules: Rules, config: ModelConfig = CONFIG) -> Pruned:
    """The real thing."""
    return prune(store, rules, config, Inputs(), store.root.parent / "reports", now_ms())


def dropped(found: Pruned) -> dict[str, str]:
    """Column -> reason."""
    return {entry.column: entry.reason for entry in found.pruning.dropped}


def table(store: Store, name: str = "fused", number: int | None = None) -> dict[str, pl.DataFrame]:
    """All rows of a table by period."""
    with store.read(number) as snapshot:
        return {p: snapshot.collect(snapshot.scan(name, p)) for p in snapshot.periods(name)}


def naive_cuts(store: Store, val: float = 0.15, test: float = 0.15) -> tuple[int, int]:
    """Ends of training and validation: shares of the days that have rows, midnight being the end of a day."""
    days = sorted({(at - 1) // DAY for rows in table(store).values() for at in rows["available_at"].to_list()})
    test_days, val_days = round(len(days) * test), round(len(days) * val)
    return days[len(days) - test_days - val_days] * DAY, days[len(days) - test_days] * DAY


def naive_parts(store: Store, targets: tuple[str, ...] = ("target_x",)) -> dict[str, list[str]]:
    """`train`, `val`, `test` or `none` of every row by period, in the order of the table, one row at a time."""
    return _naive_parts(store, store.current(), targets)


@cache
def _naive_parts(store: Store, number: int, targets: tuple[str, ...]) -> dict[str, list[str]]:
    first, second = naive_cuts(store)
    fused, ends, found = table(store, "fused", number), table(store, "targets", number), {}
    for period, rows in fused.items():
        found[period] = []
        for row, label in zip(rows.iter_rows(named=True), ends[period].iter_rows(named=True), strict=True):
            begin = row["available_at"]
            end = max([begin, *(label[f"label_end__{t}"] for t in targets if label[f"label_end__{t}"] is not None)])
            part = "train" if end <= first else "val" if begin >= first and end <= second else "none"
            part = "test" if begin >= second else part
            found[period].append("none" if row["is_filled"] else part)
    return found


def column(store: Store, name: str, period: str, part: str = "train") -> np.ndarray:
    """Values of one column in a part, NaN where null."""
    return _column(store, store.current(), name, period, part)


@cache
def _column(store: Store, number: int, name: str, period: str, part: str) -> np.ndarray:
    mask = np.array(_naive_parts(store, number, ("target_x",))[period]) == part
    return table(store, "fused", number)[period][name].cast(pl.Float64).fill_null(float("nan")).to_numpy()[mask]
