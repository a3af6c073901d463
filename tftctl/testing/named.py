"""Checking a whole plugin by the path of its file or by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tftctl import testing
from tftctl.api import hookimpl
from tftctl.core.errors import PluginError, TftctlError, choices
from tftctl.core.registry import PluginInfo, Registry
from tftctl.core.workspace import Workspace
from tftctl.plugins import collect, load_file, load_registry
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
        return _report(_of_file(Path(plugin)))
    registry = load_registry(workspace)
    infos = _infos(registry, plugin)
    found = [(word, record) for info in infos for word, record in _of_plugin(registry, info)]
    conflicts = [Finding(f"plugin {info.name}", "conflict", info.error or "") for info in infos if info.error]
    report = _report(found)
    return Report(report.checked, (*conflicts, *report.findings))


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


def _report(found: list[tuple[str, Any]]) -> Report:
    checked = [f"{word} {record[0] if word == 'command' else record.name}" for word, record in found]
    findings = [finding for word, record in found for finding in _check_one(word, record)]
    return Report(tuple(checked), tuple(findings))


def _check_one(word: str, record: Any) -> list[Finding]:
    return check_command(*record) if word == "command" else _CHECKS[word](record)


def _of_file(path: Path) -> list[tuple[str, Any]]:
    try:
        return collect(load_file(path))
    except (Exception, SystemExit) as error:
        reason = error.message if isinstance(error, TftctlError) else f"{type(error).__name__}: {error}"
        raise _broken(str(path), reason) from error


def _infos(registry: Registry, name: str) -> list[PluginInfo]:
    found = [info for info in registry.plugins if name in (info.name, info.distribution)]
    if not found:
        known = {word for info in registry.plugins for word in (info.name, info.distribution)}
        raise PluginError(f"there is no plugin {name!r}", choices(name, known, "plugins"))
    for info in found:
        if info.status == "broken":
            raise _broken(info.name, info.error or "")
    return found


def _of_plugin(registry: Registry, info: PluginInfo) -> Iterator[tuple[str, Any]]:
    for word, table in registry.provided.items():
        yield from ((word, found.record) for found in table.values() if found.plugin == info.name)
    for text in info.provides:
        word, _, name = text.partition(" ")
        if word == "command" and name in registry.commands:
            yield word, (name, registry.commands[name])


def _broken(name: str, reason: str) -> PluginError:
    return PluginError(f"plugin {name} is broken: {reason}", "mend it, then check again")
