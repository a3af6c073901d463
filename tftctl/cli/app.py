"""The root command, the error boundary and the exit codes."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tftctl import __version__
from tftctl.cli.output import emit_json, say
from tftctl.core.errors import TftctlError, TftctlWarning

FAILED = 1
USAGE = 2
DATA = 3
INTERRUPTED = 130

_NO_COMMAND = "a command is missing"


class _RootGroup(TyperGroup):
    """Adds the commands of plugins, and loads plugins only when a name is not built in or help is asked."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        return found if found is not None else _plugin_commands(ctx).get(cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *sorted(_plugin_commands(ctx))]


app = typer.Typer(
    name="tftctl",
    cls=_RootGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"tftctl {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    workspace: Annotated[
        Path | None,
        typer.Option("--workspace", "-w", help="The workspace; default: the nearest tftctl.toml upwards."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From raw K-lines to an audited multi-target Temporal Fusion Transformer."""
    ctx.obj = workspace


def _plugin_commands(ctx: Any) -> dict[str, Any]:
    from tftctl.core.workspace import open_workspace
    from tftctl.plugins import load_registry

    try:
        workspace = open_workspace(ctx.params.get("workspace"))
    except TftctlError:
        workspace = None
    commands = load_registry(workspace).commands
    return {name: typer.main.get_group(command) for name, command in commands.items()}


def _register() -> None:
    """Add the command groups. Their modules import nothing heavy: services are imported inside commands."""
    from tftctl.cli import groups

    groups.register(app)


_register()


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    warnings.showwarning = partial(_show_warning, warnings.showwarning)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader went away (`tftctl data list | head`); Python would complain once more while closing stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """The error boundary: every failure becomes one message and an exit code."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except (BrokenPipeError, MemoryError):
        raise
    except TftctlError as error:
        return _fail(error.message, error.hint, error.exit_code, error.kind, arguments)
    except typer.TyperException as error:
        return _fail(error.format_message() or _NO_COMMAND, _usage_hint(error), USAGE, "usage", arguments)
    except (typer.Abort, KeyboardInterrupt):
        return _fail("interrupted", "", INTERRUPTED, "interrupted", arguments)
    except OSError as error:
        return _fail(_os_error(error), "nothing was changed; --debug shows the place", DATA, "data", arguments)
    except Exception as error:  # noqa: BLE001 - the last line of defence; --debug shows the traceback
        text = f"unexpected {type(error).__name__}: {error}"
        return _fail(" ".join(text.split()), "the place: tftctl --debug COMMAND", FAILED, "failed", arguments)
    if code == INTERRUPTED:  # typer makes an exit code of Ctrl-C, and says nothing
        return _fail("interrupted", "", INTERRUPTED, "interrupted", arguments)
    return code if isinstance(code, int) else 0


def _fail(message: str, hint: str, code: int, kind: str, arguments: list[str]) -> int:
    if "--debug" in arguments:
        traceback.print_exc()
    if "--json" in arguments:
        emit_json({"error": {"code": code, "kind": kind, "message": message, "hint": hint}})
    say(f"error: {message}" + (f"\n  hint: {hint}" if hint else ""))
    return code


def _usage_hint(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"see: {context.command_path} --help" if context else "see: tftctl --help"


def _os_error(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


def _show_warning(others: Any, message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
    if issubclass(category, TftctlWarning):
        say(f"warning: {message}")
    else:
        others(message, category, *place, **more)
