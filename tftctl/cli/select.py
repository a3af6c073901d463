"""`tftctl select`: evidence for features, and what is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tftctl.cli.output import JsonFlag, Overrides, counted, emit_json, print_table, say, workspace_of
from tftctl.cli.progress import progress_bar
from tftctl.cli.select_options import (
    ALLOWLIST,
    AllowlistOut,
    Ban,
    Config,
    FoldCount,
    Folder,
    Jobs,
    KeepBelow,
    Learner,
    LeaveNested,
    Names,
    Out,
    Pin,
    Selection,
    SkipUnfit,
    Stage,
    Study,
    TftBonus,
    TftFile,
    Topk,
    ValDays,
    ValMode,
    ValRatio,
    Weights,
)
from tftctl.core.errors import UsageError
from tftctl.select.places import PLACES

if TYPE_CHECKING:
    from tftctl.select.tft_gating import Gating

app = typer.Typer(help="Evidence for features, one core set, and how far to trust it.", no_args_is_help=True)


@app.callback()
def select() -> None:
    """Evidence for features, one core set, and how far to trust it. Only what lies before the training cut is read."""


@app.command("tree-perm")
def tree_perm(
    ctx: typer.Context,
    val_mode: ValMode = None,
    val_ratio: ValRatio = None,
    val_days: ValDays = None,
    folds: FoldCount = None,
    periods: Names = None,
    targets: Names = None,
    learner: Learner = None,
    preview: Annotated[int, typer.Option(min=0, help="Print so many features of each target and period.")] = 10,
    out: Out = PLACES.trees,
    jobs: Jobs = None,
    skip_unfit: SkipUnfit = False,
    leave_nested: LeaveNested = False,
    config: Config = None,
    selection: Selection = None,
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """Importance of every feature for every target and period, by trees on purged folds of the training rows.

    Importance is by how much the loss on test rows grows when a feature takes its values at other times (blocks of
    time change places, all symbols together), with a 95 % interval. What shifted copies of all features reach is the
    threshold below which it means nothing. -o KEY=VALUE is for selection.yaml, -o model.KEY=VALUE for the model's cuts.
    """  # fmt: skip
    from tftctl.cli.select_display import show_trees, tree_document
    from tftctl.start.select_jobs import tree_job
    from tftctl.start.select_settings import Asked

    changes = _changes(
        {"folds.val_mode": val_mode, "folds.val_ratio": val_ratio, "folds.val_days": val_days, "folds.folds": folds,
         "trees.learner": learner}
    )  # fmt: skip
    asked = Asked(config, selection, overrides or (), changes, _listed(targets), _listed(periods))
    with progress_bar() as report:
        found = tree_job(
            workspace_of(ctx), asked, out, jobs, say, report, skip_unfit=skip_unfit, leave_nested=leave_nested
        )  # fmt: skip
    if as_json:
        emit_json(tree_document(found, str(out)))
    else:
        show_trees(found, preview, str(out))


@app.command("tft-gating")
def tft_gating(
    ctx: typer.Context,
    ckpt: Annotated[
        str,
        typer.Option(
            "--ckpt",
            metavar="PATH|RUN",
            help="A checkpoint, or the last one of a run: its best was chosen on validation labels.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE.csv", help="In the workspace; two more files are written beside it.")
    ] = PLACES.gates,
    as_json: JsonFlag = False,
) -> None:
    """Gate weights of a trained network's variable selection, averaged over its training origins, on the CPU.

    The weights of one origin sum to one; an encoder weight is the mean over the encoder's positions. Spread is the
    standard deviation over origins. FILE.csv has them per period and symbol (* for all), FILE_positions.csv per period
    and encoder position (0 is the origin's own row), FILE.json the run, its cut and the last label seen. A gate says
    how much of a variable the network lets through, not what it is worth: an input that is null throughout a period
    has a gate as well.
    """  # fmt: skip
    from tftctl.start.select_jobs import gating_job

    with progress_bar() as report:
        found = gating_job(workspace_of(ctx), ckpt, out, say, report)
    if as_json:
        emit_json(found.document())
    else:
        _show_gates(found)


@app.command("aggregate-core")
def aggregate_core(
    ctx: typer.Context,
    source: Annotated[Path, typer.Option("--in", metavar="DIR", help="Evidence of tree-perm.")] = PLACES.trees,
    weights: Weights = None,
    stage: Stage = None,
    tft_file: TftFile = None,
    tft_bonus: TftBonus = None,
    topk: Topk = None,
    pin: Pin = None,
    ban: Ban = None,
    keep_below: KeepBelow = False,
    out_summary: Annotated[Path, typer.Option(metavar="FILE.csv", help="A row per feature.")] = PLACES.core,
    out_allowlist: AllowlistOut = ALLOWLIST,
    selection: Selection = None,
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """One core set of features from the evidence of all targets and periods, and the allowlist that training reads.

    Ranks of each target and period, by permutation and by gain, become scores (the best is 1), targets weigh as in the
    stage plan, the gates of a trained network add a bonus. Only features with evidence are taken: above the threshold
    for some target at some period (-o evidence=together: at `level` over all of them together).
    """
    from tftctl.cli.select_display import show_core
    from tftctl.select.aggregate_core import summary_document
    from tftctl.start.select_jobs import CoreAsked, CorePaths, core_job
    from tftctl.start.select_settings import Asked

    rules = CoreAsked(weights, stage, tft_bonus, topk, tuple(pin or ()), tuple(ban or ()), keep_below)
    paths = CorePaths(source, tft_file, out_summary, out_allowlist)
    files = core_job(workspace_of(ctx), Asked(None, selection, overrides or ()), rules, paths, say)
    if as_json:
        emit_json({**summary_document(files.core), "stage": files.stage, "evidence": files.summary,
                   "allowlist": files.allowlist})  # fmt: skip
    else:
        show_core(files)


@app.command("optimize-subset")
def optimize_subset(
    ctx: typer.Context,
    source: Annotated[
        Path, typer.Option("--in", metavar="FILE.csv", help="A summary of aggregate-core.")
    ] = PLACES.core,
    method: Annotated[
        Literal["tpe", "genetic", "elimination"] | None, typer.Option(help="How sets are proposed.  [default: tpe]")
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Sets to try, at most.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Time for all trials, at most.")] = None,
    patience: Annotated[int | None, typer.Option(min=1, help="End after so many trials without a better set.")] = None,
    size_penalty: Annotated[
        float | None, typer.Option(min=0, help="What the whole pool costs, in shares of a constant forecast's loss.")
    ] = None,
    weights: Weights = None,
    stage: Stage = None,
    targets: Names = None,
    periods: Names = None,
    study: Study = PLACES.study,
    out_allowlist: AllowlistOut = ALLOWLIST,
    jobs: Jobs = None,
    config: Config = None,
    selection: Selection = None,
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """Search the core set for the smaller one that scores best, and say what it is worth on days not searched.

    The newest days of the training rows (nested_ratio) are never seen by the search. Looking at them twice spends them,
    and the result says so. The same command goes on where it stopped; --trials gives it more.
    """
    from tftctl.cli.select_display import show_search
    from tftctl.start.pipeline_jobs import search_job
    from tftctl.start.select_settings import Asked

    changes = _changes(
        {"optimize.method": method, "optimize.trials": trials, "optimize.minutes": minutes,
         "optimize.patience": patience, "optimize.size_penalty": size_penalty}
    )  # fmt: skip
    asked = Asked(config, selection, overrides or (), changes, _listed(targets), _listed(periods))
    with progress_bar() as report:
        done = search_job(
            workspace_of(ctx), asked, source, weights, stage, study, out_allowlist, jobs, say, report
        )  # fmt: skip
    found = done.found.document()
    if as_json:
        emit_json({**found, "selected": list(done.selected), "evidence": str(study), "allowlist": done.allowlist})
    else:
        show_search(found)
        say(f"allowlist: {done.allowlist}; the next tftctl train reads it")


@app.command("rolling-validate")
def rolling_validate(
    ctx: typer.Context,
    folds: Annotated[int | None, typer.Option(min=2, help="Test blocks.")] = None,
    test_ratio: Annotated[float | None, typer.Option(metavar="SHARE", help="Share of the days in each block.")] = None,
    topk: Topk = None,
    weights: Weights = None,
    stage: Stage = None,
    pin: Pin = None,
    ban: Ban = None,
    keep_below: KeepBelow = False,
    targets: Names = None,
    periods: Names = None,
    out: Folder = PLACES.rolling,
    jobs: Jobs = None,
    skip_unfit: SkipUnfit = False,
    config: Config = None,
    selection: Selection = None,
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """Make the selection again before each of several test blocks, and score it there.

    Beside it all features, random sets of its size, and the set of the block before; how stable the sets are; and what
    remains of the gain over all features once it is corrected for the trials made in this workspace so far.
    """
    from tftctl.cli.select_display import show_validation
    from tftctl.start.pipeline_jobs import validation_job
    from tftctl.start.select_jobs import CoreAsked
    from tftctl.start.select_settings import Asked

    asked = Asked(
        config, selection, overrides or (), _changes({"rolling.folds": folds, "rolling.test_ratio": test_ratio}),
        _listed(targets), _listed(periods),
    )  # fmt: skip
    rules = CoreAsked(weights=weights, stage=stage, topk=topk, pinned=tuple(pin or ()), banned=tuple(ban or ()),
                      keep_below=keep_below)  # fmt: skip
    with progress_bar() as report:
        found, place = validation_job(
            workspace_of(ctx), asked, rules, out, jobs, say, report, skip_unfit=skip_unfit
        )  # fmt: skip
    document = found.document()
    if as_json:
        emit_json({"selected": document["folds"][-1]["selected"], "evidence": place, "allowlist": None, **document})
    else:
        show_validation(document)
        say(f"evidence: {place}")


@app.command("run-pipeline")
def run_pipeline(
    ctx: typer.Context,
    val_mode: ValMode = None,
    val_ratio: ValRatio = None,
    val_days: ValDays = None,
    folds: FoldCount = None,
    topk: Topk = None,
    ckpt: Annotated[
        str | None, typer.Option("--ckpt", metavar="PATH|RUN", help="Add the gates of a trained network.")
    ] = None,
    tft_bonus: TftBonus = None,
    targets: Names = None,
    periods: Names = None,
    weights: Weights = None,
    stage: Stage = None,
    pin: Pin = None,
    ban: Ban = None,
    keep_below: KeepBelow = False,
    learner: Learner = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Sets that the search tries, at most.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Time of the search, at most.")] = None,
    out: Folder = PLACES.folder,
    out_allowlist: AllowlistOut = ALLOWLIST,
    jobs: Jobs = None,
    skip_unfit: SkipUnfit = False,
    config: Config = None,
    selection: Selection = None,
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """All of it: tree-perm, tft-gating (--ckpt), aggregate-core, optimize-subset, rolling-validate, and a report.

    It goes on where it was stopped, and does not repeat what is fresh. It ends with a table, report.json and
    report.html in DIR, and the allowlist that tftctl train reads.
    """
    from tftctl.cli.select_display import show_pipeline
    from tftctl.start.pipeline_jobs import pipeline_job
    from tftctl.start.select_jobs import CoreAsked
    from tftctl.start.select_settings import Asked

    changes = _changes(
        {"folds.val_mode": val_mode, "folds.val_ratio": val_ratio, "folds.val_days": val_days, "folds.folds": folds,
         "trees.learner": learner, "optimize.trials": trials, "optimize.minutes": minutes}
    )  # fmt: skip
    asked = Asked(config, selection, overrides or (), changes, _listed(targets), _listed(periods))
    rules = CoreAsked(weights, stage, tft_bonus, topk, tuple(pin or ()), tuple(ban or ()), keep_below)
    if tft_bonus is not None and ckpt is None:
        raise UsageError("--tft-bonus says what gates add, and no network is named", "name one: --ckpt RUN")
    with progress_bar() as report:
        done = pipeline_job(
            workspace_of(ctx), asked, rules, ckpt, out, out_allowlist, jobs, say, report, skip_unfit=skip_unfit
        )
    if as_json:
        emit_json({**done.document, "evidence": done.folder, "cells": done.document["evidence"], "report": done.page})
    else:
        show_pipeline(done)


def _changes(options: dict[str, Any]) -> list[str]:
    """Options as changes of selection.yaml."""
    if options.get("folds.val_days") is not None and options.get("folds.val_mode") is None:
        options = {**options, "folds.val_mode": "days"}
    return [f"{key}={value}" for key, value in options.items() if value is not None]


def _listed(text: str | None) -> list[str] | None:
    if text is None:
        return None
    names = [name for part in text.split(",") if (name := part.strip())]
    if not names:
        raise UsageError(
            f"{text!r} names nothing", "names are separated by commas, like target_logreturn,target_binarytrend"
        )
    return names


def _show_gates(found: Gating) -> None:
    """Per period the encoder variables with the largest weights, side by side; where the rest is, on stderr."""
    rows: dict[str, list[list[Any]]] = {}
    for row in found.top().to_dicts():
        rows.setdefault(row["period"], []).append([row["feature"], row["weight"], row["spread"]])
    columns = [name for period in rows for name in (period, f"weight_{period}", f"spread_{period}")]
    ranks = enumerate(zip(*rows.values(), strict=True), 1)
    body = [[rank, *(cell for place in places for cell in place)] for rank, places in ranks]
    meta = found.meta
    print_table(["rank", *columns], body, f"{meta['checkpoint']}: encoder gates, mean and spread over training origins")
    say(f"{counted(meta['origins'], 'training origin')} until {meta['cut']}, the last label seen ends by "
        f"{meta['last_label_end']} ({meta['why']})")  # fmt: skip
    say(f"evidence: {found.evidence}; {found.positions_path.name} and {found.meta_path.name} beside it")
