"""Checking a whole plugin by the path of its file or by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tftctl import testing
from tftctl.api import hookimpl
from tftctl.core.errors import PluginError, choices
from tftctl.core.registry import PluginInfo, Registry
from tftctl.core.workspace import Workspace
from tftctl.plugins import collect, load_beside, load_registry
from tftctl.testing.report import Finding, Report, run_checks

_CHECKS: dict[str, Callable[[Any], list[Finding]]] = {
    "indicator": testing.check_indicator,
    "target": testing.check_target,
    "loss": testing.check_loss,
    "metric": testing.check_metric,
    "source": testing.check_source,
}


def check(plugin: str, workspace: Workspace | None) -> Report:
    """See `tftctl.testing.check_named`."""
    if plugin.endswith(".py") or Path(plugin).is_file():
        return _of_file(Path(plugin), workspace)
    registry = load_registry(workspace)
    infos = [info for info in registry.plugins if plugin in (info.name, info.distribution)]
    for info in infos:
        if info.status == "broken":
            raise _broken(info.name, info.error or "")
    found = [pair for info in infos for pair in registry.records_of(info)] or _of_name(registry, plugin)
    return _report(found, _conflicts(infos))


def check_command(name: str, command: Any) -> list[Finding]:
    """See `tftctl.testing.check_command`."""
    import typer

    def well_formed() -> Iterator[str]:
        collect(SimpleNamespace(tftctl_commands=hookimpl(lambda: [(name, command)])))
        yield from ()

    def builds() -> Iterator[str]:
        typer.main.get_command(command)
        yield from ()

    return run_checks(f"command {name}", {"record": well_formed}, {"build": builds})


def _report(found: list[tuple[str, Any]], conflicts: list[Finding]) -> Report:
    checked = [f"{word} {record[0] if word == 'command' else record.name}" for word, record in found]
    findings = [finding for word, record in found for finding in _check_one(word, record)]
    return Report(tuple(checked), (*conflicts, *findings))


def _check_one(word: str, record: Any) -> list[Finding]:
    return check_command(*record) if word == "command" else _CHECKS[word](record)


def _of_file(path: Path, workspace: Workspace | None) -> Report:
    info, found = load_beside(path, workspace)
    if info.status == "broken":
        raise _broken(str(path), info.error or "")
    return _report(found, _conflicts([info]))


def _conflicts(infos: list[PluginInfo]) -> list[Finding]:
    return [Finding(f"plugin {info.name}", "conflict", info.error) for info in infos if info.error]


def _of_name(registry: Registry, name: str) -> list[tuple[str, Any]]:
    """What has this name, whatever its kind."""
    found = [(word, table[name].record) for word, table in registry.provided.items() if name in table]
    if not found and Path(name).is_dir():
        raise PluginError(f"{name} is a folder", "install the package and check it by its name, or name a .py file")
    if not found and name not in {word for info in registry.plugins for word in (info.name, info.distribution)}:
        known = {word for info in registry.plugins for word in (info.name, info.distribution)}
        raise PluginError(f"there is no plugin {name!r}", choices(name, known, "plugins"))
    return found


def _broken(name: str, reason: str) -> PluginError:
    return PluginError(f"plugin {name} is broken: {reason}", "mend it, then check again")
