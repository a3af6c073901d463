"""Learning is real: how much of the signal planted in the synthetic market a network finds on its test part.

    python benchmarks/learning.py [--seeds 2025 2026 2027] [--steps 540] [--workspace DIR]

For each seed the quickstart's configuration is trained twice by the public job, on the labels and on labels moved far
in time. The first must reach 60 % of what the oracle reaches at the same origins (R2 of target_logreturn, AUC - 1/2
of target_binarytrend), the second must show no skill. The criterion pools the periods, of which the daily one alone
has too few test origins to say anything. About 15 minutes on one thread. Prints markdown, and ends with 1 where a
criterion is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from measure import machine, one_thread_each, table

if TYPE_CHECKING:
    from oracle import Score

    from tftctl.core.workspace import Workspace

LEAST_SHARE = 0.6
MOVES = (2 / 9, 4 / 9, 6 / 9)  # of the sample's length
SETTINGS = ("max_epochs=2", "max_encoder_length=12", "test_ratio=0.2", "val_ratio=0.1")


@dataclass(frozen=True, slots=True)
class Lesson:
    """One training and its scores on the test part; labels were moved by so many days, 0 where they were not."""

    seed: int
    days: int
    scores: list[Score]


def main() -> None:
    """Sample, build, train, and say what was found."""
    one_thread_each()  # before torch is loaded
    arguments = _arguments()
    print(f"`learning` on {machine()}, one thread\n", flush=True)
    from sample import move_labels, sampled

    from tftctl.store import Store

    root = arguments.workspace or Path(tempfile.mkdtemp(prefix="tftctl-learning-")) / "workspace"
    workspace = sampled(root, arguments.symbols, arguments.days)
    snapshot = Store(workspace.store).current()
    settings = [*SETTINGS, f"max_steps={arguments.steps}"]
    print(f"quickstart_model.yaml with {', '.join(settings)}; {arguments.symbols} symbols, {arguments.days} days\n")
    found, moved = [], []
    for number, seed in enumerate(arguments.seeds):
        days = round(MOVES[number % len(MOVES)] * arguments.days)
        found.append(learnt(workspace, snapshot, settings, seed, 0))
        moved.append(learnt(workspace, move_labels(workspace, snapshot, days), settings, seed, days))
    print(f"\nLabels as they are:\n\n{_found_table(found)}\n\nLabels moved in time:\n\n{_moved_table(moved)}\n")
    sys.exit(0 if _verdict(found, moved) else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2025, 2026, 2027])
    parser.add_argument("--steps", type=int, default=540, help="optimiser steps of each training (default 540)")
    parser.add_argument("--symbols", type=int, default=6)
    parser.add_argument("--days", type=int, default=540)
    parser.add_argument("--workspace", type=Path, help="a new folder; a temporary one without it")
    return parser.parse_args()


def learnt(workspace: Workspace, snapshot: int, settings: Sequence[str], seed: int, days: int) -> Lesson:
    """Train on a snapshot and forecast its test part."""
    import oracle
    import polars as pl

    from tftctl.builtins.synthetic import SyntheticParams
    from tftctl.start.jobs import eval_job, train_job
    from tftctl.start.quickstart import CONFIG
    from tftctl.store import Store

    started = time.perf_counter()
    settings = [*settings, f"seed={seed}", f"data_path={snapshot}"]
    training = train_job(workspace, workspace.configs / CONFIG, settings, "cpu", lambda line: None)
    evaluation = eval_job(workspace, training.run, "test", "best")
    predictions = pl.read_parquet(workspace.root / evaluation.predictions)
    with Store(workspace.store).read() as stored:
        bars = stored.collect(stored.scan("bars", columns=list(oracle.SIGNALS)))
    scores = list(oracle.scores(oracle.with_oracle(predictions, bars, SyntheticParams().r2)))
    seconds = time.perf_counter() - started
    labels = f"labels moved by {days} days" if days else "labels as they are"
    print(f"- seed {seed}, {labels}: val_loss {training.val_loss:.4f}, {seconds:.0f} s", flush=True)
    return Lesson(seed, days, scores)


def _found_table(found: Sequence[Lesson]) -> str:
    header = ["seed", "target", "period", "origins", "network", "95 %", "oracle", "share", "95 %"]
    rows = [
        [
            str(lesson.seed), f"{score.target} {score.measure}", score.period, score.origins, f"{score.model:.4f}",
            _range(score.interval), f"{score.oracle:.4f}", f"{score.share:.0%}",
            f"{score.share_interval[0]:.0%} to {score.share_interval[1]:.0%}",
        ]
        for lesson in found
        for score in lesson.scores
    ]  # fmt: skip
    return table(header, rows)


def _moved_table(moved: Sequence[Lesson]) -> str:
    header = ["seed", "moved by days", "target", "period", "origins", "network", "95 %", "99 %", "oracle"]
    rows = [
        [
            str(lesson.seed), lesson.days, f"{score.target} {score.measure}", score.period, score.origins,
            f"{score.model:.4f}", _range(score.interval), _range(score.wide_interval), f"{score.oracle:.4f}",
        ]
        for lesson in moved
        for score in lesson.scores
    ]  # fmt: skip
    return table(header, rows)


def _range(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.4f} to {interval[1]:.4f}"


def _verdict(found: Sequence[Lesson], moved: Sequence[Lesson]) -> bool:
    """Say and return whether both criteria are met by every seed, periods pooled."""
    from oracle import POOLED

    least = min(score.share for lesson in found for score in lesson.scores if score.period == POOLED)
    nulls = [score for lesson in moved for score in lesson.scores if score.period == POOLED]
    learns, honest = least >= LEAST_SHARE, not any(score.is_skilled for score in nulls)
    print(f"Signal found: {'yes' if learns else 'NO'} (smallest pooled share {least:.0%}, asked {LEAST_SHARE:.0%}).")
    print(f"No skill on moved labels: {'yes' if honest else 'NO'} (pooled, 99 %).")
    return learns and honest


if __name__ == "__main__":
    main()
