"""`tftctl init` and `tftctl quickstart`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tftctl.cli.output import JsonFlag, emit_json, say
from tftctl.cli.progress import progress_bar

if TYPE_CHECKING:
    from tftctl.start.quickstart import Quickstart


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder; made when it does not exist.")],
    as_json: JsonFlag = False,
) -> None:
    """Make a folder a workspace: configuration with comments, an empty store."""
    from tftctl.start.scaffold import create_workspace

    made = create_workspace(folder)
    if as_json:
        emit_json({"workspace": str(made.root), "created": made.created, "kept": made.kept})
        return
    for name in made.created:
        typer.echo(f"made {folder / name}")
    for name in made.kept:
        say(f"kept {folder / name} as it is")
    say(f"next: tftctl -w {folder} data import FILES, or tftctl -w {folder} data sample synthetic")


def quickstart(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Workspace to make or use.")] = Path("quickstart"),
    as_json: JsonFlag = False,
) -> None:
    """The whole job on embedded data, in a few minutes: sample, build, train, evaluate."""
    from tftctl.cli.evaluate import print_scores
    from tftctl.cli.training_display import reported
    from tftctl.start.quickstart import quickstart as run_quickstart

    with progress_bar() as report:
        made = run_quickstart(folder, say, report, reported(report))
    if as_json:
        emit_json(asdict(made))
        return
    print_scores(made.evaluation)
    _closing(made, folder)


def _closing(made: Quickstart, folder: Path) -> None:
    planted = ", ".join(made.sample.planted)
    build = made.build
    for line in (
        f"\nmade in {made.seconds:.0f} s, all of it in {folder}/:",
        f"  store/            {made.sample.rows:,} bars; {build.rows:,} fused rows of {build.features} features and "
        f"{build.targets} targets",
        f"  runs/{made.training.run}/  checkpoints, metrics.jsonl, TensorBoard logs",
        f"  {made.evaluation.predictions}",
        f"\nThe market is synthetic: {planted} predict the next return with an R2 of 5 %, which is worth a ROC AUC of "
        "about 0.60 on target_binarytrend. Real markets have less.",
        "\nnext:",
        f"  cd {folder}",
        "  tftctl features list",
        '  tftctl store sql "select symbol, period, count(*) from fused group by all order by all"',
        "  tftctl train --config configs/quickstart_model.yaml --max-steps 1000",
        "  tensorboard --logdir runs",
        "your own bars: tftctl init DIR, then tftctl -w DIR data import FILES",
    ):
        typer.echo(line)
