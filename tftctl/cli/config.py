"""`tftctl config`: show, validate, schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tftctl.cli.output import JsonFlag, Overrides, counted, emit_json, say, workspace_of
from tftctl.core.errors import UsageError, choices

app = typer.Typer(help="Show the configuration, check it, list what is allowed.", no_args_is_help=True)

NameArgument = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="features, model, weights, composite or selection; all when left out."),
]
INVALID = 2


@app.command("show")
def show(ctx: typer.Context, name: NameArgument = None, override: Overrides = None, as_json: JsonFlag = False) -> None:
    """Print the configuration as it holds, defaults and overrides included."""
    from tftctl.core.config.loading import CONFIGS, dump_yaml, load

    if override and name is None:
        raise UsageError("-o needs the name of a configuration", "like tftctl config show model -o hidden_size=32")
    folder = workspace_of(ctx).configs
    found = {key: load(folder / CONFIGS[key][0], CONFIGS[key][1], override) for key in _names(name)}
    if as_json:
        documents = {key: config.model_dump(mode="json") for key, config in found.items()}
        emit_json(documents[name] if name else documents)
        return
    for key, config in found.items():
        typer.echo(("" if name else f"# {folder / CONFIGS[key][0]}\n") + dump_yaml(config), nl=not name)


@app.command("validate")
def validate(
    ctx: typer.Context,
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILES", help="Default: all of configs/.")] = None,
    kind: Annotated[
        Literal["features", "model", "weights", "composite", "selection"] | None,
        typer.Option("--as", help="What the files configure, where their names do not say it."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check files and the names in them; every problem at once, exit code 2 when there is one."""
    from tftctl.core.config.problems import problem_document
    from tftctl.plugins import load_registry
    from tftctl.start.validate import validate_files

    workspace = workspace_of(ctx)
    found = validate_files(workspace, load_registry(workspace), files or (), kind)
    if as_json:
        problems = [problem_document(problem) for problem in found.problems]
        emit_json({"files": found.files, "skipped": found.skipped, "problems": problems})
    else:
        for problem in found.problems:
            typer.echo(str(problem))
        for path in found.skipped:
            say(f"not checked, tftctl reads no such file by itself: {path} (--as says what it configures)")
        say(f"{counted(len(found.files), 'file')}, {counted(len(found.problems), 'problem')}")
    if found.problems:
        raise typer.Exit(INVALID)


@app.command("schema")
def schema(name: NameArgument = None, as_json: JsonFlag = False) -> None:
    """Print keys, types and defaults as JSON Schema; editors complete and check YAML with it."""
    from tftctl.core.config.loading import CONFIGS

    documents = {key: CONFIGS[key][1].model_json_schema() for key in _names(name)}
    emit_json(documents[name] if name else documents)


def _names(name: str | None) -> list[str]:
    from tftctl.core.config.loading import CONFIGS

    if name is not None and name not in CONFIGS:
        raise UsageError(f"there is no configuration {name!r}", choices(name, CONFIGS, "configurations"))
    return [name] if name else list(CONFIGS)
