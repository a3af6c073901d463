"""Feature selection: what it finds, what it finds in nothing, its time, and the plain way beside it.

    python benchmarks/selection.py recover [--seeds 10]     planted features of the synthetic market (a minute a seed)
    python benchmarks/selection.py null [--seeds 20]        the same with labels moved in time (half a minute a seed)
    python benchmarks/selection.py pipeline DATA/crypto     run-pipeline: six symbols, 1h/4h/1d, the whole catalogue
    python benchmarks/selection.py agreement DATA/crypto    sampled evidence beside unsampled, and the plain way

`recover` and `null` judge target_logreturn and target_binarytrend at 1h, 4h and 1d with the settings of the command.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from leakage import command
from leakage import workspace as catalogue_workspace
from main_job import peak_mib
from measure import machine

TARGETS = ("target_logreturn", "target_binarytrend")
SIX = (
    "target_logreturn", "target_binarytrend", "target_logsharpe_ratio", "target_realized_vol", "target_max_drawdown",
    "target_drawdown_prob",
)  # fmt: skip
SIGNALS = {f"signal_{number}" for number in range(1, 6)}
DECOYS = 40
# nothing that is made of past returns, which tell a little themselves (docs/synthetic.md)
PLANTED_ONLY = {"indicators": ["day_clock", "week_clock"], "context": {}, "context_features": [], "normalise": {},
                "anomalies": {}}  # fmt: skip


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run, seeds in (("recover", recover, 10), ("null", find_nothing, 20)):
        command_ = commands.add_parser(name)
        command_.add_argument("--seeds", type=int, default=seeds)
        if name == "null":
            command_.add_argument("--periods", default="1h,4h,1d")
        command_.set_defaults(run=run)
    for name, run in (("pipeline", time_pipeline), ("agreement", compare)):
        command_ = commands.add_parser(name)
        command_.add_argument("data", type=Path)
        command_.set_defaults(run=run)
    arguments = parser.parse_args()
    print(machine(), flush=True)
    arguments.run(arguments)


def recover(arguments: argparse.Namespace) -> None:
    """Precision and recall of the core on the planted columns alone, and what the default features add to it."""
    figures = []
    for seed in range(1, arguments.seeds + 1):
        with market(seed, planted_only=True) as root:
            selected, pool = core_of(root)
            strict, _ = core_of(root, "-o", "evidence=together")
        figures.append([*accuracy(selected), *accuracy(strict)])
        print(f"seed {seed}: pool {pool}, selected {len(selected)}, wrong {sorted(selected - SIGNALS)}; together "
              f"{len(strict)}, wrong {sorted(strict - SIGNALS)}", flush=True)  # fmt: skip
    for name, (precision, recall) in zip(("each", "together"), np.mean(figures, axis=0).reshape(2, 2), strict=True):
        print(f"planted columns alone, {arguments.seeds} markets, evidence: {name}: precision {precision:.3f}, recall "
              f"{recall:.3f}", flush=True)  # fmt: skip
    wrong, missed = 0, 0
    for seed in range(1, min(arguments.seeds, 5) + 1):
        with market(seed, planted_only=False) as root:
            selected, pool = core_of(root)
        decoys = {name for name in selected if name.startswith(("decoy", "hour_", "day_", "week"))}
        wrong, missed = wrong + len(decoys), missed + len(SIGNALS - selected)
        others = sorted(selected - SIGNALS - decoys)
        print(f"seed {seed}, default features: pool {pool}, missed {sorted(SIGNALS - selected)}, decoys and clocks "
              f"{sorted(decoys)}, made of past bars {others}", flush=True)  # fmt: skip
    print(f"default features: {missed} signals missed, {wrong} decoys or clocks selected")


def find_nothing(arguments: argparse.Namespace) -> None:
    """Cells in which any feature passes the threshold, with labels moved by a third to two thirds of the history."""
    from tftctl.select.aggregate_core import Rules, aggregate
    from tftctl.select.tree_perm import judge

    cells, any_above, features, cores = 0, 0, 0, 0
    level = 0.05
    for seed in range(1, arguments.seeds + 1):
        with market(seed, planted_only=False) as root, opened(root, TARGETS, arguments.periods.split(",")) as (
            pool, settings,
        ):  # fmt: skip
            found = judge(moved(pool, seed), TARGETS, settings.selection.model_copy(update={"seed": seed}), None)
            above = [
                int(cell.features.select((pl.col("above") | pl.col("cluster_above").fill_null(False)).sum()).item())
                for cell in found.cells
            ]
            cores += bool(aggregate(found.cells, Rules({}, together=True)).selected)
        cells, any_above, features = cells + len(above), any_above + sum(n > 0 for n in above), features + sum(above)
        print(f"seed {seed}: features above the threshold per cell {above}", flush=True)
    print(f"{any_above} of {cells} cells have any feature above the threshold ({any_above / cells:.3f}, stated level "
          f"{level}), {features} features in all; evidence: together has a core in {cores} of {arguments.seeds}",
          flush=True)  # fmt: skip


def moved(pool: Any, seed: int) -> Any:
    """The pool with every symbol's labels turned by the same share of its history: by an independent np.roll."""
    labels = pool.panel.labels.copy()
    share = np.random.default_rng(seed).uniform(1 / 3, 2 / 3)
    for group in pool.panel.groups:
        stop = group.start + int((pool.panel.available_at[group.start : group.stop] <= pool.until).sum())
        rows = slice(group.start, stop)
        labels[rows] = np.roll(labels[rows], round(share * (stop - group.start)), axis=0)
    return replace(pool, panel=replace(pool.panel, labels=labels))


def time_pipeline(arguments: argparse.Namespace) -> None:
    """The whole command on six symbols: seconds, peak memory, and its result."""
    with six_symbols(arguments.data) as root:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "tftctl", "-w", str(root), "select", "run-pipeline", "--targets", ",".join(SIX),
             "--json"], stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        text = process.stdout.read()  # type: ignore[union-attr]
        _, _, usage = os.wait4(process.pid, 0)
        seconds, found = time.perf_counter() - started, json.loads(text)
        if "error" in found:
            sys.exit(found["error"]["message"])
        print(f"run-pipeline: {seconds:.0f} s, peak {peak_mib(usage):.0f} MiB; {len(found['selected'])} of "
              f"{found['pool']} features; stages {[(s['name'], s['seconds']) for s in found['stages']]}")  # fmt: skip
        search, rolling = found["optimize"], found["rolling"]
        print(
            f"core {len(found['core']['selected'])}, search {search['trials']} trials ({search['stopped_by']}), skill "
            f"{search['skill']:.4f} (core {search['pool_skill']:.4f}), nested gain {search['nested']['gain']}"
        )
        print(
            f"walk-forward sets of {[len(fold['selected']) for fold in rolling['folds']]}, gains {rolling['gains']}, "
            f"Jaccard {rolling['stability']['jaccard']}, Kuncheva {rolling['stability']['kuncheva']}"
        )
        print(f"selected: {', '.join(found['selected'])}")
        started = time.perf_counter()
        command(root, "select", "run-pipeline", "--targets", ",".join(SIX))
        print(f"again, everything fresh: {time.perf_counter() - started:.0f} s")


def compare(arguments: argparse.Namespace) -> None:
    """At 1h: the rank correlation of the aggregated evidence, sampled and unsampled; and the plain way's."""
    from scipy.stats import spearmanr

    from tftctl.select.aggregate_core import Rules, aggregate, cell_scores
    from tftctl.select.tree_perm import judge

    with six_symbols(arguments.data) as root, opened(root, SIX, ["1h"]) as (pool, settings):
        scores, seconds, cells = [], [], []
        for rows in (settings.selection.folds.train_rows, 10_000_000):
            folds = settings.selection.folds.model_copy(
                update={"train_rows": rows, "test_rows": max(rows // 4, settings.selection.folds.test_rows)}
            )
            started = time.perf_counter()
            found = judge(pool, SIX, settings.selection.model_copy(update={"folds": folds}), None)
            seconds.append(time.perf_counter() - started)
            table = aggregate(found.cells, Rules({})).summary
            scores.append(dict(table.select("feature", "trees").iter_rows()))
            cells.append(found.cells)
        names = sorted(scores[0])
        together = spearmanr(*([values[name] for name in names] for values in scores)).statistic
        print(f"1h, six targets: sampled {seconds[0]:.0f} s, unsampled {seconds[1]:.0f} s; rank correlation of the "
              f"period's scores {together:.3f}", flush=True)  # fmt: skip
        for sampled, whole in zip(*cells, strict=True):
            both = [cell_scores(cell) for cell in (sampled, whole)]
            alone = spearmanr(*([values[name] for name in names] for values in both)).statistic
            print(f"  {sampled.target}: {alone:.3f}", flush=True)
        plain_way(pool, settings, "target_realized_vol")


def plain_way(pool: Any, settings: Any, target: str, train_rows: int = 6000, test_rows: int = 3000) -> None:
    """300-tree forests and scikit-learn's permutation_importance with 10 repeats, on a sample of the same rows.

    Both get the newest fold, the same rows, one thread; ours the features alone beside its probes, as always.
    """
    from scipy.stats import spearmanr
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.inspection import permutation_importance

    from tftctl.select.cell import measure_cell
    from tftctl.select.folds import describe_cell, make_folds
    from tftctl.select.importance import scaled_labels

    folds = settings.selection.folds.model_copy(update={"folds": 1, "train_rows": train_rows, "test_rows": test_rows})
    selection = settings.selection.model_copy(update={"folds": folds, "repeats": 10})
    cell = describe_cell(pool, target, "1h")
    started = time.perf_counter()
    mine = measure_cell(pool, cell, [], selection, [1])
    our_seconds = time.perf_counter() - started
    (fold,) = make_folds(pool, cell, folds, [1])
    columns = pool.columns("1h")
    train, test = (pool.panel.features[rows][:, columns] for rows in (fold.train, fold.test))
    labels = [scaled_labels(pool, cell, fold.train, rows) for rows in (fold.train, fold.test)]
    binary = pool.kinds[target] == "binary"
    started = time.perf_counter()
    if binary:
        forest = RandomForestClassifier(300, random_state=1, n_jobs=1).fit(train, labels[0])
    else:
        forest = RandomForestRegressor(300, random_state=1, n_jobs=1, max_features=1 / 3).fit(train, labels[0])
    scoring = "neg_log_loss" if binary else "neg_mean_squared_error"
    plain = permutation_importance(forest, test, labels[1], n_repeats=10, random_state=1, n_jobs=1, scoring=scoring)
    plain_seconds = time.perf_counter() - started
    ours = dict(mine.features.select("feature", "importance").iter_rows())
    names = pool.periods["1h"]
    agree = spearmanr([ours[name] for name in names], plain.importances_mean).statistic
    top = [set(np.array(names)[np.argsort(values)[::-1][:15]].tolist())
           for values in ([ours[name] for name in names], plain.importances_mean)]  # fmt: skip
    print(f"plain way, {target} at 1h, {fold.train.size} + {fold.test.size} rows, {len(names)} features: "
          f"{plain_seconds:.0f} s, ours {our_seconds:.1f} s (ratio {plain_seconds / our_seconds:.0f}); rank "
          f"correlation {agree:.2f}, {len(top[0] & top[1])} of the best 15 in common", flush=True)  # fmt: skip


def accuracy(selected: set[str]) -> tuple[float, float]:
    """Precision and recall."""
    right = len(selected & SIGNALS)
    return right / max(len(selected), 1), right / len(SIGNALS)


def core_of(root: Path, *overrides: str) -> tuple[set[str], int]:
    """Selected features, and how many there are, by the two commands; evidence that is there is read again."""
    command(root, "select", "tree-perm", "--targets", ",".join(TARGETS))
    command(root, "select", "aggregate-core", *overrides)
    found = json.loads((root / "reports/feature_evidence/aggregated_core.json").read_text())
    return set(found["selected"]), int(found["pool"])


@contextmanager
def opened(root: Path, targets: Sequence[str], periods: Sequence[str] | None = None) -> Iterator[tuple[Any, Any]]:
    """The pool of a workspace with its settings."""
    from tftctl.core.workspace import open_workspace
    from tftctl.start.select_settings import Asked, load_settings, opened_pool

    workspace = open_workspace(root)
    settings = load_settings(workspace, Asked(targets=targets, periods=periods))
    with opened_pool(workspace, settings, lambda line: None) as pool:
        yield pool, settings


@contextmanager
def market(seed: int, *, planted_only: bool) -> Iterator[Path]:
    """A synthetic market with its features built, removed afterwards."""
    from tftctl.core.config.yaml import dump_yaml, read_yaml

    with tempfile.TemporaryDirectory(prefix="tftctl-bench-") as folder:
        root = Path(folder) / "workspace"
        subprocess.run([sys.executable, "-m", "tftctl", "init", str(root)], check=True, capture_output=True)
        if planted_only:
            place = root / "configs" / "features.yaml"
            place.write_text(dump_yaml({**read_yaml(place), **PLANTED_ONLY}))
        command(root, "data", "sample", "synthetic", "-o", f"seed={seed}", "-o", f"decoys={DECOYS}")
        command(root, "features", "build")
        yield root


@contextmanager
def six_symbols(data: Path) -> Iterator[Path]:
    """The main data with the whole catalogue, removed afterwards."""
    with catalogue_workspace(["1h", "4h", "1d"]) as root:
        command(root, "data", "import", *(str(data / period) for period in ("1h", "4h", "1d")))
        command(root, "features", "build")
        yield root


if __name__ == "__main__":
    main()
