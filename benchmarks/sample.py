"""Workspaces of the synthetic market for the benchmarks that train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from tftctl.core.config.loading import load_model_config
from tftctl.core.workspace import Workspace, open_workspace
from tftctl.ingest.importer import ImportOptions
from tftctl.start.data_jobs import fetch_job, import_job
from tftctl.start.jobs import build_job
from tftctl.start.quickstart import CONFIG
from tftctl.start.scaffold import create_workspace, template, write_new
from tftctl.store import Store

BARS_PER_DAY = {"1h": 24, "4h": 6, "1d": 1}


def sampled(root: Path, symbols: int, days: int) -> Workspace:
    """`tftctl init`, `data sample synthetic`, `features build`, with the quickstart's configuration beside."""
    workspace = _created(root)
    fetch_job(workspace, "synthetic", [f"symbols={symbols}", f"days={days}"], sample=True)
    build_job(workspace, jobs=1)
    return workspace


def imported(root: Path, files: Sequence[Path]) -> Workspace:
    """`tftctl init`, `data import`, `features build`, with the quickstart's configuration beside."""
    workspace = _created(root)
    import_job(workspace, files, ImportOptions())
    build_job(workspace, jobs=1)
    return workspace


def _created(root: Path) -> Workspace:
    create_workspace(root)
    write_new(root / "configs" / CONFIG, template(CONFIG))
    return open_workspace(root)


def quickstart_inputs(workspace: Workspace) -> list[str]:
    """`reals` of the quickstart's configuration."""
    return list(load_model_config(workspace, workspace.configs / CONFIG).reals or ())


def move_labels(workspace: Workspace, snapshot: int, days: int) -> int:
    """A snapshot with the labels of another one moved in time, all symbols and periods together; its number.

    A label stands `days` later, those at the end come round to the beginning; rows without one stay without.
    """
    store = Store(workspace.store)
    with store.read(snapshot) as base, store.write(f"labels moved by {days} days") as txn:
        names = list(base.meta("targets")["targets"])
        for period in base.periods("targets"):
            rows = base.collect(base.scan("targets", period))
            parts = rows.partition_by("symbol", maintain_order=True)
            txn.replace("targets", period, [_moved(part, names, days * BARS_PER_DAY[period]) for part in parts])
        txn.commit()
    return store.current()


def _moved(rows: pl.DataFrame, names: list[str], bars: int) -> pl.DataFrame:
    columns = []
    for name in names:
        order = np.arange(rows.height)
        labelled = rows[name].is_not_null().arg_true().to_numpy()
        order[labelled] = np.roll(labelled, bars)
        columns.append(rows[name].gather(order))
    return rows.with_columns(columns)
