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
from tftctl.cli import groups
from tftctl.cli.output import emit_json, say
from tftctl.cli.stdout import document_stream, give_stdout_back
from tftctl.core.errors import TftctlError, TftctlWarning

FAILED = 1
USAGE = 2
DATA = 3
INTERRUPTED = 130

_NO_COMMAND = "a command is missing"
# options of `tftctl` itself, and how they are written
_ROOT_OPTIONS = {"-w": "-w DIR", "--workspace": "-w DIR", "--debug": "--debug"}


class _RootGroup(TyperGroup):
    """Adds the commands of plugins, and loads plugins only when a name is not built in or help is asked."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        return found if found is not None else _plugin_commands(ctx).get(cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order in which a user meets them; Typer itself puts commands before groups."""
        there = sorted(super().list_commands(ctx), key=_ORDER.index)
        return [*there, *sorted(_plugin_commands(ctx))]


app = typer.Typer(
    name="tftctl",
    cls=_RootGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
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
    return {
        name: group for name, command in load_registry(workspace).commands.items() if (group := _group(name, command))
    }


def _group(name: str, command: typer.Typer) -> Any:
    """A plugin's command, None with a warning where Typer cannot make one of it: help is there all the same."""
    try:
        group = typer.main.get_group(command)
    except Exception as error:  # noqa: BLE001 - a guest may fail in any way
        warnings.warn(f"the plugin command {name}: {type(error).__name__}: {error}", TftctlWarning, stacklevel=2)
        return None
    group.name = name  # help shows this one, and a Typer need not have any
    return group


_ORDER = groups.register(app)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    warnings.showwarning = partial(_show_warning, warnings.showwarning)
    _open_closed_streams()
    try:
        code = _run(arguments)
        give_stdout_back()
        sys.stdout.flush()
    except BrokenPipeError:
        give_stdout_back()
        # the reader went away (`tftctl data list | head`); Python would complain once more while closing stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    sys.exit(code)


def _open_closed_streams() -> None:
    """Python has None for a stream that the caller closed (`tftctl data list >&-`)."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - stays open for the life of the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _run(arguments: list[str]) -> int:
    """The error boundary: every failure becomes one message and an exit code."""
    try:
        code = app(args=arguments, prog_name="tftctl", standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt  # what Typer makes of Ctrl-C
    except (BrokenPipeError, MemoryError):
        raise
    except TftctlError as error:
        return _fail(error.message, error.hint, error.exit_code, error.kind, arguments)
    except typer.TyperException as error:
        return _fail(_usage_message(error), _usage_hint(error), USAGE, "usage", arguments)
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
    say(f"error: {message}" + (f"\n  hint: {hint}" if hint else ""))
    if "--json" in arguments:
        _emit_error({"error": {"code": code, "kind": kind, "message": message, "hint": hint}})
    return code


def _emit_error(document: dict[str, Any]) -> None:
    """The failure may be that stdout cannot be written to; stderr has the message already."""
    try:
        emit_json(document)
    except BrokenPipeError:
        raise
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), document_stream().fileno())


def _usage_message(error: typer.TyperException) -> str:
    return error.format_message().replace("Value error, ", "") or _NO_COMMAND


def _usage_hint(error: Exception) -> str:
    context, option = getattr(error, "ctx", None), getattr(error, "option_name", None)
    if option in _ROOT_OPTIONS and context and context.parent:
        return (
            f"it goes before the command: tftctl {_ROOT_OPTIONS[option]} {context.command_path.partition(' ')[2]} ..."
        )
    if option == "--json":
        return "it goes after the command, like tftctl data list --json"
    return f"see: {context.command_path} --help" if context else "see: tftctl --help"


def _os_error(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


def _show_warning(others: Any, message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
    if issubclass(category, TftctlWarning):
        say(f"warning: {message}")
    else:
        others(message, category, *place, **more)
