"""`tftctl train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from tftctl.cli.output import JsonFlag, Overrides, emit_json, print_table, say, workspace_of
from tftctl.cli.progress import progress_bar

Names = typer.Option(metavar="A,B", help="Only these, separated by commas.")


def train(
    ctx: typer.Context,
    config: Annotated[Path | None, typer.Option(help="Another file than configs/model_config.yaml.")] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps in all, at most.")] = None,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="Epochs, at most.")] = None,
    symbols: Annotated[str | None, Names] = None,
    periods: Annotated[str | None, Names] = None,
    targets: Annotated[str | None, Names] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, order and dropout.")] = None,
    accelerator: Annotated[Literal["auto", "cpu", "gpu"], typer.Option(help="Where to compute.")] = "auto",
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """Train one network on several targets of the fused table."""
    from dataclasses import asdict

    from tftctl.start.jobs import train_job

    given = {"max_steps": max_steps, "max_epochs": max_epochs, "seed": seed}
    lists = {"symbols": symbols, "periods": periods, "targets": targets}
    options = [f"{name}={value}" for name, value in given.items() if value is not None]
    options += [f"{name}={_names(value)}" for name, value in lists.items() if value is not None]
    with progress_bar() as report:
        result = train_job(workspace_of(ctx), config, [*(overrides or []), *options], accelerator, say, report)
    if as_json:
        emit_json(asdict(result))
        return
    print_table(["what", "value"], list(asdict(result).items()))
    say(f"next: tftctl eval {result.run}")


def _names(text: str) -> str:
    """`A,000001` as a YAML list of strings, so that a symbol of digits or one called ON stays a name."""
    return json.dumps([name.strip() for name in text.split(",") if name.strip()])
