"""A tiny market that windows, losses and trainings are tested on, and panels made by hand.

`market(tmp_path_factory)` builds the workspace once for all test processes; nothing may write to its store.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import forked
import numpy as np
import polars as pl
from filelock import FileLock

from tftctl.builtins.synthetic import SyntheticParams, synthetic_market
from tftctl.core.config.loading import load_model_config
from tftctl.core.periods import period_ms
from tftctl.core.workspace import Workspace
from tftctl.data.assemble import Prepared, prepare_training
from tftctl.data.inputs import choose_inputs
from tftctl.data.panel import Group, Panel
from tftctl.plugins import load_registry
from tftctl.start.jobs import build_job
from tftctl.start.scaffold import create_workspace
from tftctl.store import Store
from tftctl.train.losses import choose_targets

HOUR = 3_600_000
DAY = 24 * HOUR
ENCODER = 24
STEPS = 12
TARGETS = ("target_binarytrend", "target_logreturn", "target_max_drawdown")
FEATURES = """\
periods: [1h, 4h, 1d]
extra_columns: {signal_1: free, signal_2: free, signal_3: free, signal_4: free, signal_5: free}
indicators: [log_return, {name: rsi, period: 6}, day_clock, week_clock]
targets: [target_logreturn, target_binarytrend, target_max_drawdown]
context: {1h: [4h, 1d], 4h: [1d]}
context_features: [log_return, rsi_6]
"""
MODEL = f"""\
targets: [{", ".join(TARGETS)}]
max_encoder_length: {ENCODER}
hidden_size: 8
lstm_layers: 1
attention_head_size: 2
dropout: 0.1
batch_size: 64
max_epochs: 3
precision: 32-true
"""
WEIGHTS = "stage_1: {target_binarytrend: 1.0, target_logreturn: 1.0, target_max_drawdown: 0.5}\n"
COMPOSITE = """\
val_target_binarytrend_roc_auc@1h: 0.4
val_target_logreturn_rmse@1h: -0.2
val_target_logreturn_rmse@1d: -0.2
val_loss_for_ckpt: -0.4
"""


def once(tmp_path_factory: Any, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that one of the test processes makes, and the others wait for."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, done = base / name, base / f"{name}.done"
    with FileLock(base / f"{name}.lock"):
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def market(tmp_path_factory: Any) -> Workspace:
    """Three symbols at 1h, 4h and 1d over 120 days; 1d is too short to train on, SYN02 has holes at 1h."""
    return Workspace(once(tmp_path_factory, "market", make_market))


def make_market(root: Path, until: int | None = None) -> None:
    """Write configuration and bars of a workspace, those that are complete at `until`, and build its features."""
    create_workspace(root)
    write_configs(root)
    write_bars(Store(root / "store"), until=until)
    build_job(Workspace(root))


def write_configs(root: Path) -> None:
    """The four files of `configs/` in their small form."""
    texts = {"features": FEATURES, "model_config": MODEL, "weights_config": WEIGHTS, "composite_score": COMPOSITE}
    for name, text in texts.items():
        (root / "configs" / f"{name}.yaml").write_text(text, encoding="utf-8")


def write_bars(
    store: Store, symbols: int = 3, days: int = 120, until: int | None = None, late: Mapping[str, int] | None = None
) -> None:
    """The synthetic market as an import writes it, with two holes: of 2 bars (filled) and of 10 (a new segment).

    `late` symbols have no bar in their first so many days.
    """
    parts: dict[str, list[pl.DataFrame]] = {}
    extras: dict[str, Any] = {}
    for source in synthetic_market(SyntheticParams(symbols=symbols, days=days, decoys=0)):
        frame = source.frame
        if (source.symbol, source.period) == ("SYN02", "1h"):
            frame = pl.concat([frame[:600], frame[602:1400], frame[1410:]])
        begin = frame["timestamp"][0] + (late or {}).get(source.symbol, 0) * DAY
        frame = frame.filter(pl.col("timestamp") >= begin)
        prices = [pl.col(name) for name in frame.columns if name != "timestamp"]
        parts.setdefault(source.period, []).append(
            frame.select(
                pl.lit(source.symbol).alias("symbol"),
                pl.lit(source.period).alias("period"),
                "timestamp",
                (pl.col("timestamp") + period_ms(source.period)).alias("available_at"),
                pl.lit(0, dtype=pl.Int64).alias("ingested_at"),
                *prices,
            )
        )
        extras |= source.extras
    names = [f"SYN{number:02d}" for number in range(1, symbols + 1)]
    known = {name: {"calendar": "24x7", "basis": "raw", "anchor": {}, "delay_ms": 0} for name in names}
    with store.write("synthetic bars") as txn:
        for period, frames in parts.items():
            rows = pl.concat(frames).sort("symbol", "timestamp")
            txn.replace("bars", period, rows if until is None else rows.filter(pl.col("available_at") <= until))
        txn.set_meta("bars", {"symbols": known, "extras": extras, "calendar_versions": {}})
        txn.commit()


def prepare(workspace: Workspace, *overrides: str) -> Prepared:
    """Windows of a training with the workspace's configuration and overrides."""
    config = load_model_config(workspace, None, list(overrides))
    registry = load_registry(workspace)
    with Store(workspace.store).read() as snapshot:
        targets = choose_targets(config.targets, snapshot.meta("targets")["targets"], config, registry)
        inputs = choose_inputs(snapshot.meta("fused")["columns"], config.reals, None)
        return prepare_training(workspace.store, snapshot, config, inputs, targets, registry)


def table(workspace: Workspace, name: str, symbol: str, period: str) -> pl.DataFrame:
    """Rows of one group as a reader sees them."""
    with Store(workspace.store).read() as snapshot:
        return snapshot.scan(name, period, symbols=[symbol]).collect(engine="in-memory").sort("timestamp")


def tftctl(workspace: Workspace, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line as a process that has torch already."""
    return forked.run(["-w", str(workspace.root), *arguments])


def fresh(workspace: Workspace, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line as a process of a new interpreter, on one thread."""
    command = [sys.executable, "-m", "tftctl", "-w", str(workspace.root), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def document(done: subprocess.CompletedProcess[str], code: int = 0) -> Any:
    """The JSON document of a finished process with this exit code."""
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def said_of(trained: Workspace) -> dict[str, Any]:
    """What the training printed on both streams."""
    return json.loads((trained.root / "train.json").read_text())


def epochs_of(workspace: Workspace, run: str) -> list[dict[str, Any]]:
    """Rows of metrics.jsonl."""
    lines = (workspace.runs / run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def untimed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what a clock has measured."""
    return [{k: value for k, value in row.items() if k not in ("seconds", "windows_per_second")} for row in rows]


def linked(trained: Workspace, root: Path) -> Workspace:
    """The same store and configuration without runs."""
    for entry in ("configs", "store", "tftctl.toml"):
        (root / entry).symlink_to(trained.root / entry)
    return Workspace(root)


def quiet(_: str) -> None:
    """Says nothing."""


def hand_panel(
    sizes: Sequence[int],
    *,
    symbols: Sequence[str] | None = None,
    periods: Sequence[str] | None = None,
    features: int = 2,
    targets: Sequence[str] = ("target_x",),
    horizon: int = 3,
    seed: int = 0,
) -> Panel:
    """Groups of random features and labels, without gaps; the last `horizon` rows have no label."""
    rng = np.random.default_rng(seed)
    symbols = symbols or [f"S{number}" for number in range(len(sizes))]
    periods = periods or ["1h"] * len(sizes)
    stops = np.cumsum(sizes)
    rows = int(stops[-1])
    step = np.repeat([period_ms(period) for period in periods], sizes)
    place = np.concatenate([np.arange(size) for size in sizes])
    timestamp = 1_600_041_600_000 // DAY * DAY + place * step
    labels = rng.standard_normal((rows, len(targets))).astype(np.float32)
    open_end = np.repeat(sizes, sizes) - place <= horizon
    labels[open_end] = np.nan
    label_end = np.where(open_end, -1, timestamp + (1 + horizon) * step)
    return Panel(
        groups=tuple(
            Group(symbol, period, int(stop - size), int(stop))
            for symbol, period, stop, size in zip(symbols, periods, stops, sizes, strict=True)
        ),
        columns=tuple(f"f{number}" for number in range(features)),
        targets=tuple(targets),
        features=rng.standard_normal((rows, features)).astype(np.float32),
        labels=labels,
        label_end=np.repeat(label_end[:, None], len(targets), axis=1),
        timestamp=timestamp,
        available_at=timestamp + step,
        next_timestamp=timestamp + step,
        segment=np.zeros(rows, np.int32),
        is_filled=np.zeros(rows, bool),
        group=np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
    )
