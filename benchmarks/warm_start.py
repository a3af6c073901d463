"""A warm start from three to five targets with two more features, beside a training from scratch of as many steps.

    python benchmarks/warm_start.py [DATA] [--seeds 2025 2026 2027] [--steps 60 150] [--parent-steps 600]

Without DATA on the synthetic market; DATA holds `1h/`, `4h/` and `1d/` folders of bars, of which BTCUSDT and ETHUSDT
are taken. A parent is trained on three targets; then for each seed, with two more targets and two more features,
`warm-start` from its best checkpoint and `train` from scratch make the same number of steps. Warm start has its
default schedule, loaded weights from a tenth of lr down and fresh ones from lr; training from scratch its own, one
cycle up to lr and down, at every `--lr`, of which the best in the mean of the seeds is taken. `val_loss` is the mean
over the five targets at the same validation origins after the last step (SEMANTICS M3). The criterion: the worst warm
start is better than the best training from scratch. About 15 minutes on one thread. Prints markdown, and ends with 1
where the criterion is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from measure import machine, one_thread_each, table

if TYPE_CHECKING:
    from tftctl.core.workspace import Workspace

OLD_TARGETS = ("target_logreturn", "target_binarytrend", "target_realized_vol")
NEW_TARGETS = ("target_drawdown_prob", "target_max_drawdown")
NEW_INPUTS = {"synthetic": ("signal_5", "volume_zscore"), "bars": ("bollinger_bandwidth", "volume_zscore")}
SYMBOLS = ("BTCUSDT", "ETHUSDT")
SETTINGS = ("max_epochs=20", "max_encoder_length=12", "monitor=val_loss", "monitor_mode=min")


@dataclass(frozen=True, slots=True)
class Trial:
    """One training of the five targets: its last step's losses by target, and what it said."""

    seed: int
    steps: int
    lr: str
    val_loss: float
    losses: dict[str, float]
    said: list[str]


def main() -> None:
    """A parent, then both ways to five targets, for every seed and number of steps."""
    one_thread_each()  # before torch is loaded
    arguments = _arguments()
    print(f"`warm_start` on {machine()}, one thread\n", flush=True)
    root = arguments.workspace or Path(tempfile.mkdtemp(prefix="tftctl-warm-start-")) / "workspace"
    workspace, inputs = _market(root, arguments.data)
    new = NEW_INPUTS["bars" if arguments.data else "synthetic"]
    old = [name for name in inputs if name not in new]
    settings = ", ".join([*SETTINGS, *arguments.options])
    sizes = f"{len(OLD_TARGETS)} targets, {len(old)} features, {arguments.parent_steps} steps"
    print(f"quickstart_model.yaml with {settings}; parent: {sizes}; then {', '.join([*NEW_TARGETS, *new])} more\n")
    begin = partial(trained, workspace, options=arguments.options)
    first = arguments.seeds[0]
    parent = arguments.parent or begin(OLD_TARGETS, old, arguments.parent_steps, seed=first)[0]
    cold, warm = [], []
    for seed in arguments.seeds:
        for steps in arguments.steps:
            asked = ((*OLD_TARGETS, *NEW_TARGETS), [*old, *new], steps)
            cold += [begin(*asked, seed=seed, lr=lr)[1] for lr in arguments.lr]
            warm.append(begin(*asked, seed=seed, parent=parent)[1])
    cold = _best_rates(cold)
    print("\n".join(["", *report_lines(warm[0]), ""]))
    print(_losses_table(cold, warm), _targets_table(cold, warm), sep="\n\n", end="\n\n")
    sys.exit(0 if _verdict(cold, warm) else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2025, 2026, 2027])
    parser.add_argument("--steps", type=int, nargs="+", default=[60, 150])
    parser.add_argument("--parent-steps", type=int, default=600)
    parser.add_argument("--parent", help="a run of the workspace, instead of a new parent")
    parser.add_argument("--lr", nargs="+", default=["1e-2"], help="peaks of lr that training from scratch tries")
    parser.add_argument("-o", "--options", action="append", default=[], help="key=value of the configuration, for all")
    parser.add_argument("--workspace", type=Path, help="a new folder; a temporary one without it")
    return parser.parse_args()


def _market(root: Path, data: Path | None) -> tuple[Workspace, list[str]]:
    """The workspace, and the quickstart's input columns that its market has."""
    from sample import imported, quickstart_inputs, sampled

    if data is None:
        workspace = sampled(root, symbols=6, days=540)
        return workspace, quickstart_inputs(workspace)
    files = [data / period / f"{symbol}.parquet" for period in ("1h", "4h", "1d") for symbol in SYMBOLS]
    workspace, planted = imported(root, files), ("signal_", "decoy_")
    return workspace, [name for name in quickstart_inputs(workspace) if not name.startswith(planted)]


def trained(
    workspace: Workspace,
    targets: Sequence[str],
    inputs: Sequence[str],
    steps: int,
    *,
    seed: int,
    options: Sequence[str],
    lr: str = "1e-2",
    parent: str | None = None,
) -> tuple[str, Trial]:
    """Train from scratch, or from a parent's best weights; the run and its last losses."""
    from tftctl.start.jobs import train_job, warm_start_job
    from tftctl.start.quickstart import CONFIG

    started, said = time.perf_counter(), []
    chosen = [f"targets=[{', '.join(targets)}]", f"reals=[{', '.join(inputs)}]"]
    settings = [*SETTINGS, *options, *chosen, f"max_steps={steps}", f"seed={seed}", f"lr={lr}"]
    begin = partial(warm_start_job, workspace, parent) if parent else partial(train_job, workspace)
    run = begin(workspace.configs / CONFIG, settings, "cpu", said.append).run
    last = json.loads((workspace.runs / run / "metrics.jsonl").read_text().splitlines()[-1])
    losses = {name: last[f"val_{name}_loss"] for name in targets}
    way = f"{'warm start' if parent else 'scratch'}, lr {lr}{' / 10' if parent else ''}"
    seconds = time.perf_counter() - started
    print(
        f"- seed {seed}, {len(targets)} targets, {way}: {last['step']} steps, val_loss {last['val_loss']:.4f}, "
        f"{seconds:.0f} s",
        flush=True,
    )
    return run, Trial(seed, last["step"], lr, last["val_loss"], losses, said)


def _best_rates(cold: Sequence[Trial]) -> list[Trial]:
    """The trainings from scratch at the rate whose mean over the seeds is lowest, for each number of steps."""

    def mean(steps: int, lr: str) -> float:
        return statistics.mean(trial.val_loss for trial in cold if (trial.steps, trial.lr) == (steps, lr))

    best = {trial.steps: min({other.lr for other in cold}, key=partial(mean, trial.steps)) for trial in cold}
    return [trial for trial in cold if trial.lr == best[trial.steps]]


def report_lines(trial: Trial) -> list[str]:
    """What the warm start said of loaded, fresh and dropped parts."""
    first = next(number for number, line in enumerate(trial.said) if line.startswith("warm start:"))
    after = [line for line in trial.said[first + 1 :] if line.startswith("  ")]
    return [f"    {line}" for line in [trial.said[first], *after]]


def _losses_table(cold: Sequence[Trial], warm: Sequence[Trial]) -> str:
    rows = []
    for steps in sorted({trial.steps for trial in cold}):
        pairs = [pair for pair in zip(cold, warm, strict=True) if pair[0].steps == steps]
        gained = [scratch.val_loss - other.val_loss for scratch, other in pairs]
        rows += [
            [steps, str(scratch.seed), scratch.lr, *map(_digits, (scratch.val_loss, other.val_loss, gain))]
            for (scratch, other), gain in zip(pairs, gained, strict=True)
        ]
        columns = ([pair[0].val_loss for pair in pairs], [pair[1].val_loss for pair in pairs], gained)
        rows.append([steps, "mean ± sd", "", *map(_spread, columns)])
    return table(["steps", "seed", "lr from scratch", "from scratch", "warm start", "lower by"], rows)


def _targets_table(cold: Sequence[Trial], warm: Sequence[Trial]) -> str:
    """Means over the seeds, by target."""
    rows = []
    for steps in sorted({trial.steps for trial in cold}):
        for name in (*OLD_TARGETS, *NEW_TARGETS):
            sides = [[trial.losses[name] for trial in side if trial.steps == steps] for side in (cold, warm)]
            rows.append([steps, name, "new" if name in NEW_TARGETS else "kept", *map(_spread, sides)])
    return table(["steps", "target", "head", "from scratch", "warm start"], rows)


def _digits(value: float) -> str:
    return f"{value:.4f}"


def _spread(values: Sequence[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):.4f} ± {deviation:.4f}"


def _verdict(cold: Sequence[Trial], warm: Sequence[Trial]) -> bool:
    """Say and return whether every warm start is better than every training from scratch of as many steps."""
    met = True
    for steps in sorted({trial.steps for trial in cold}):
        best = min(trial.val_loss for trial in cold if trial.steps == steps)
        worst = max(trial.val_loss for trial in warm if trial.steps == steps)
        met &= worst < best
        print(f"After {steps} steps: worst warm start {worst:.4f}, best from scratch {best:.4f}: "
              f"{'beyond the spread' if worst < best else 'NOT beyond the spread'}.")  # fmt: skip
    return met


if __name__ == "__main__":
    main()
