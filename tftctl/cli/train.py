"""`tftctl train`, `resume` and `warm-start`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tftctl.cli.output import JsonFlag, Overrides, emit_json, print_table, say, workspace_of
from tftctl.cli.training_display import training_display

if TYPE_CHECKING:
    from tftctl.train.undertaking import TrainResult

_Names = typer.Option(metavar="A,B", help="Only these, separated by commas.")
Config = Annotated[Path | None, typer.Option(help="Another file than configs/model_config.yaml.")]
MaxSteps = Annotated[int | None, typer.Option(min=1, help="Optimiser steps in all, at most.")]
MaxEpochs = Annotated[int | None, typer.Option(min=1, help="Epochs, at most.")]
Names = Annotated[str | None, _Names]
Seed = Annotated[int | None, typer.Option(help="Seed of weights, order and dropout.")]
Accelerator = Annotated[Literal["auto", "cpu", "gpu"], typer.Option(help="Where to compute.")]
StagePlan = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Train its stages in turn, like configs/weights_config.yaml.")
]
FirstStage = Annotated[str | None, typer.Option("--stage", metavar="NAME", help="Begin at this stage of the plan.")]
LogName = Annotated[str | None, typer.Option(metavar="NAME", help="Write stages to stage_logs/NAME.yaml.")]
Trial = Annotated[
    bool, typer.Option("--fast-dev-run", help="One step and one look at validation, to see that it works; no run.")
]
AllowUnaudited = Annotated[
    bool, typer.Option("--allow-unaudited", help="Also on features that an audit has failed; the run says so.")
]
AllowOverlap = Annotated[
    bool,
    typer.Option("--allow-selection-overlap", help="Also on inputs selected on labels after the cut; the run says so."),
]
Source = Annotated[str | None, typer.Argument(metavar="[RUN|CKPT]", help="A run, its folder, or a checkpoint file.")]


def train(
    ctx: typer.Context,
    config: Config = None,
    stage_plan: StagePlan = None,
    stage: FirstStage = None,
    max_steps: MaxSteps = None,
    max_epochs: MaxEpochs = None,
    symbols: Names = None,
    periods: Names = None,
    targets: Names = None,
    seed: Seed = None,
    accelerator: Accelerator = "auto",
    log_name: LogName = None,
    fast_dev_run: Trial = False,
    allow_unaudited: AllowUnaudited = False,
    allow_selection_overlap: AllowOverlap = False,
    overfit_batches: Annotated[
        int | None, typer.Option(min=1, help="Train on so many batches and look at the same, to see that it can learn.")
    ] = None,
    lr_find: Annotated[
        bool, typer.Option("--lr-find", help="Try rising learning rates, say which falls fastest; train nothing.")
    ] = False,
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """Train one network on several targets of the fused table."""
    from tftctl.start.jobs import train_job

    chosen = _options(overrides, max_steps=max_steps, max_epochs=max_epochs, seed=seed)
    chosen += _lists(symbols=symbols, periods=periods, targets=targets)
    workspace = workspace_of(ctx)
    if lr_find:
        _refuse_beside_lr_find(
            stage_plan=stage_plan, stage=stage, log_name=log_name, fast_dev_run=fast_dev_run,
            overfit_batches=overfit_batches,
        )  # fmt: skip
        _find_rate(ctx, config, chosen, accelerator, as_json)
        return
    with training_display() as (watch, tell):
        result = train_job(
            workspace, config, chosen, accelerator, tell, watch, plan=stage_plan, stage=stage, log_name=log_name,
            trial=fast_dev_run, overfit_batches=overfit_batches, allow_unaudited=allow_unaudited,
            allow_selection_overlap=allow_selection_overlap,
        )  # fmt: skip
    _print_result(result, as_json)


def resume(
    ctx: typer.Context,
    source: Source = None,
    config: Config = None,
    max_epochs: MaxEpochs = None,
    accelerator: Accelerator = "auto",
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """Go on with a training exactly where its last checkpoint was written; without a name resume_ckpt says where."""
    from tftctl.start.jobs import resume_job

    chosen = _options(overrides, max_epochs=max_epochs)
    with training_display() as (watch, tell):
        result = resume_job(workspace_of(ctx), source, config, chosen, accelerator, tell, watch)
    _print_result(result, as_json)


def warm_start(
    ctx: typer.Context,
    source: Source = None,
    config: Config = None,
    stage_plan: StagePlan = None,
    stage: FirstStage = None,
    max_steps: MaxSteps = None,
    max_epochs: MaxEpochs = None,
    symbols: Names = None,
    periods: Names = None,
    targets: Names = None,
    seed: Seed = None,
    accelerator: Accelerator = "auto",
    log_name: LogName = None,
    fast_dev_run: Trial = False,
    allow_unaudited: AllowUnaudited = False,
    allow_selection_overlap: AllowOverlap = False,
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """Train from the weights of another run; new targets, inputs and symbols get new heads, gates and embeddings."""
    from tftctl.start.jobs import warm_start_job

    chosen = _options(overrides, max_steps=max_steps, max_epochs=max_epochs, seed=seed)
    chosen += _lists(symbols=symbols, periods=periods, targets=targets)
    with training_display() as (watch, tell):
        result = warm_start_job(
            workspace_of(ctx), source, config, chosen, accelerator, tell, watch, plan=stage_plan, stage=stage,
            log_name=log_name, trial=fast_dev_run, allow_unaudited=allow_unaudited,
            allow_selection_overlap=allow_selection_overlap,
        )  # fmt: skip
    _print_result(result, as_json)


def _refuse_beside_lr_find(**given: object) -> None:
    """Raise UsageError for options that a search for a rate would ignore."""
    from tftctl.core.errors import UsageError

    there = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if there:
        raise UsageError(f"--lr-find does not go with {', '.join(there)}", "leave one of them out")


def _find_rate(ctx: typer.Context, config: Path | None, chosen: list[str], accelerator: str, as_json: bool) -> None:
    from dataclasses import asdict

    from tftctl.start.jobs import find_rate_job

    found = find_rate_job(workspace_of(ctx), config, chosen, accelerator, say)
    if as_json:
        emit_json(asdict(found))
        return
    print_table(["lr", "loss"], [[f"{lr:.2e}", f"{loss:.4f}"] for lr, loss in found.curve()])
    say(f"picture: {found.picture}")
    say(f"next: tftctl train -o lr={found.suggestion:.1e}" if found.suggestion else "no rate makes the loss fall")


def _print_result(result: TrainResult, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        emit_json(asdict(result))
        return
    print_table(["what", "value"], list(asdict(result).items()))
    say(f"next: tftctl eval {result.run}" if result.run else "it works; nothing was kept")


def _options(overrides: list[str] | None, **given: int | None) -> list[str]:
    return [*(overrides or []), *(f"{name}={value}" for name, value in given.items() if value is not None)]


def _lists(**given: str | None) -> list[str]:
    return [f"{name}={_names(value)}" for name, value in given.items() if value is not None]


def _names(text: str) -> str:
    """`A,000001` as a YAML list of strings, so that a symbol of digits or one called ON stays a name."""
    return json.dumps([name.strip() for name in text.split(",") if name.strip()])
