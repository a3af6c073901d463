"""Loading, checking and listing plugins. Built-ins come through the same door as everyone else."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from tftctl import __version__, hookspecs
from tftctl.core.errors import PluginError, TftctlError, TftctlWarning, choices
from tftctl.core.registry import PluginInfo, Provided, Registry
from tftctl.core.validity import record_problems

if TYPE_CHECKING:
    import typer

    from tftctl.core.workspace import Workspace

__all__ = [
    "BUILTINS",
    "COMMANDS_HOOK",
    "HOOKS",
    "PluginInfo",
    "Provided",
    "Registry",
    "collect",
    "load_beside",
    "load_file",
    "load_registry",
    "resolve",
]

ENTRY_POINT_GROUP = "tftctl"
BUILTINS = (
    "tftctl.builtins.indicators.averages",
    "tftctl.builtins.indicators.macd",
    "tftctl.builtins.indicators.directional",
    "tftctl.builtins.indicators.channels",
    "tftctl.builtins.indicators.ichimoku",
    "tftctl.builtins.indicators.stops",
    "tftctl.builtins.indicators.regression",
    "tftctl.builtins.indicators.heikin_ashi",
    "tftctl.builtins.indicators.momentum",
    "tftctl.builtins.indicators.oscillators",
    "tftctl.builtins.indicators.money_flow",
    "tftctl.builtins.indicators.volatility",
    "tftctl.builtins.indicators.range_volatility",
    "tftctl.builtins.indicators.ranges",
    "tftctl.builtins.indicators.bands",
    "tftctl.builtins.indicators.moments",
    "tftctl.builtins.indicators.volume",
    "tftctl.builtins.indicators.flow",
    "tftctl.builtins.indicators.vwap",
    "tftctl.builtins.indicators.liquidity",
    "tftctl.builtins.indicators.pivots",
    "tftctl.builtins.indicators.levels",
    "tftctl.builtins.indicators.candles",
    "tftctl.builtins.indicators.calendar",
    "tftctl.builtins.indicators.cross_section",
    "tftctl.builtins.indicators.agreement",
    "tftctl.builtins.targets.returns",
    "tftctl.builtins.targets.risk",
    "tftctl.builtins.targets.trend",
    "tftctl.builtins.targets.breakout",
    "tftctl.builtins.targets.volatility",
    "tftctl.builtins.targets.outliers",
    "tftctl.builtins.targets.barriers",
    "tftctl.builtins.losses",
    "tftctl.builtins.metrics",
    "tftctl.builtins.sources",
)

# hook -> the word for its records; tftctl_commands gives pairs, not records
HOOKS: dict[str, str] = {
    "tftctl_indicators": "indicator",
    "tftctl_targets": "target",
    "tftctl_losses": "loss",
    "tftctl_metrics": "metric",
    "tftctl_sources": "source",
}
COMMANDS_HOOK = "tftctl_commands"

# DESIGN's command line: a guest may not take these names, also those that a later version brings
RESERVED_COMMANDS = frozenset(
    """init quickstart config data macro features store train resume warm-start bench eval predict report export combine
    select audit prune runs plugins""".split()
)
_COMMAND_NAME = re.compile(r"[a-z][a-z0-9-]*")


def resolve(factory: Any) -> Any:
    """Turn an import string `package.module:name` into what it names; anything else is returned as it is."""
    if not isinstance(factory, str):
        return factory
    module, _, attribute = factory.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"cannot load {factory!r}: {error}", "the plugin names a factory that is not there"
        ) from error


def load_registry(workspace: Workspace | None = None) -> Registry:
    """Load built-ins, installed plugins and the files that the workspace lists; once per process for the same files.

    A plugin that fails to import or returns something malformed becomes a row with status `broken` and a
    TftctlWarning; it is an error only when something asks for what it should have provided.
    """
    files = workspace.plugin_files if workspace else ()
    key = tuple((path, path.stat().st_mtime_ns if path.is_file() else 0) for path in files)
    if key not in _loaded:
        _loaded[key] = _load(files)
    return _loaded[key]


_loaded: dict[tuple[tuple[Path, int], ...], Registry] = {}


def load_beside(path: Path, workspace: Workspace | None) -> tuple[PluginInfo, list[tuple[str, Any]]]:
    """One file as a plugin beside all others, and its (kind, record) pairs: how `tftctl plugins check FILE` sees it.

    What is wrong with it stands in its `status` and `error`; nothing is raised or kept.
    """
    listed = workspace.plugin_files if workspace else ()
    loading = _gather((*(file for file in listed if file.resolve() != path.resolve()), path))
    info = loading.registry().plugins[-1]
    return info, [(word, record) for owner, word, record in loading.found if owner is info]


def _load(files: tuple[Path, ...]) -> Registry:
    registry = _gather(files).registry()
    for info in registry.plugins:
        if info.status != "ok":
            warnings.warn(f"plugin {info.name} ({info.distribution}): {info.error}", TftctlWarning, stacklevel=3)
    return registry


def _gather(files: tuple[Path, ...]) -> _Loading:
    loading = _Loading()
    for module_name in BUILTINS:
        loading.add(
            module_name.removeprefix("tftctl."), "tftctl", __version__, partial(importlib.import_module, module_name)
        )
    for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP), key=_entry_order):
        loading.add(entry.name, *_origin(entry), entry.load)
    for path in files:
        loading.add(path.stem, str(path), "file", partial(load_file, path))
    return loading


def load_file(path: Path) -> ModuleType:
    """Import a single-file plugin. Raises PluginError when it does not exist; its own errors pass through."""
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise PluginError(f"plugin file {path} {what}", "mend `plugins` in tftctl.toml")
    mark = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    name = f"tftctl_workspace_plugin_{path.stem}_{mark}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is not a Python file", "a single-file plugin ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def collect(plugin: Any) -> list[tuple[str, Any]]:
    """All (kind, record) pairs of one plugin, in the order of the hooks; a command is ("command", (name, Typer)).

    Raises PluginError when a hook has an unknown name, fails, or gives something malformed.
    """
    manager = pluggy.PluginManager("tftctl")
    manager.add_hookspecs(hookspecs)
    _refuse_unknown_hooks(manager, plugin)
    manager.register(plugin)
    if not manager.get_hookcallers(plugin):
        raise PluginError("it has no tftctl hook", "mark its functions with tftctl.api.hookimpl")
    found = [(word, record) for hook, word in HOOKS.items() for record in _call(manager, hook)]
    problems = [text for word, record in found for text in record_problems(word, record)]
    commands = _call(manager, COMMANDS_HOOK)
    problems += [text for pair in commands for text in _command_problems(pair)]
    found += [("command", pair) for pair in commands]
    problems = problems or _twins(found)
    if problems:
        raise PluginError("; ".join(problems))
    return found


def _refuse_unknown_hooks(manager: pluggy.PluginManager, plugin: Any) -> None:
    known = (*HOOKS, COMMANDS_HOOK)
    for name in dir(plugin):
        if name not in known and manager.parse_hookimpl_opts(plugin, name) is not None:
            raise PluginError(f"it has the unknown hook {name!r}; {choices(name, known, 'hooks')}")


def _call(manager: pluggy.PluginManager, hook: str) -> list[Any]:
    try:
        return [record for batch in getattr(manager.hook, hook)() for record in batch or ()]
    except Exception as error:
        raise PluginError(f"its hook {hook} failed: {type(error).__name__}: {error}") from error


def _command_problems(pair: Any) -> Iterator[str]:
    import typer

    if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], typer.Typer)):
        yield f"{COMMANDS_HOOK} must give pairs of a name and a typer.Typer"
    elif not (isinstance(pair[0], str) and _COMMAND_NAME.fullmatch(pair[0])):
        yield f"command name {pair[0]!r}: use lower-case letters, digits and hyphens"


def _twins(found: list[tuple[str, Any]]) -> list[str]:
    claims = [(word, _name_of(word, record)) for word, record in found]
    return [
        f"it gives the {word} {name!r} twice" for word, name in sorted(set(claims)) if claims.count((word, name)) > 1
    ]


def _name_of(word: str, record: Any) -> str:
    return record[0] if word == "command" else record.name


class _Loading:
    """Collects plugins one by one; `registry()` freezes what was found."""

    def __init__(self) -> None:
        self.infos: list[PluginInfo] = []
        self.found: list[tuple[PluginInfo, str, Any]] = []

    def add(self, name: str, distribution: str, version: str, load: Callable[[], Any]) -> None:
        taken = any(info.name == name for info in self.infos)
        info = PluginInfo(f"{name} ({distribution})" if taken else name, distribution, version)
        self.infos.append(info)
        try:
            with redirect_stdout(sys.stderr):  # what a plugin prints is no result
                records = collect(load())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a guest may fail in any way; it becomes a row in the list
            info.status, info.error = "broken", _one_line(error)
            return
        self.found += [(info, word, record) for word, record in records]

    def registry(self) -> Registry:
        conflicts = {**self._same_name(), **self._same_column()}
        provided: dict[str, dict[str, Provided]] = {word: {} for word in HOOKS.values()}
        commands: dict[str, typer.Typer] = {}
        for info, word, record in self.found:
            name = _name_of(word, record)
            info.provides.append(f"{word} {name}")
            conflict = conflicts.get((word, name))
            if conflict and info.distribution != "tftctl":
                info.status, info.error = "conflict", conflict if info.error is None else f"{info.error}; {conflict}"
            if word != "command":
                provided[word].setdefault(name, Provided(record, info.name, info.version))
            elif not conflict:
                commands[name] = record[1]
        return Registry(provided, conflicts, tuple(self.infos), commands)

    def _same_name(self) -> dict[tuple[str, str], str]:
        claims: dict[tuple[str, str], list[str]] = {("command", name): ["tftctl itself"] for name in RESERVED_COMMANDS}
        for info, word, record in self.found:
            claims.setdefault((word, _name_of(word, record)), []).append(info.name)
        return {
            (word, name): f"{word} {name!r} comes from {_several(owners)}"
            for (word, name), owners in claims.items()
            if len(owners) > 1
        }

    def _same_column(self) -> dict[tuple[str, str], str]:
        """Two indicators of different names that make one column."""
        makers: dict[str, list[tuple[str, str]]] = {}
        for info, word, record in self.found:
            for output in record.outputs if word == "indicator" else ():
                makers.setdefault(output.name, []).append((record.name, info.name))
        conflicts: dict[tuple[str, str], str] = {}
        for column, owners in makers.items():
            if len({indicator for indicator, _ in owners}) > 1:
                text = " and ".join(f"indicator {name!r} of {plugin}" for name, plugin in sorted(owners))
                conflicts |= {("indicator", name): f"column {column!r} is made by {text}" for name, _ in owners}
        return conflicts


def _several(owners: Sequence[str]) -> str:
    *first, last = sorted(owners)
    number = "two" if len(owners) == 2 else str(len(owners))
    return f"{number} plugins: {', '.join(first)} and {last}"


def _origin(entry: importlib.metadata.EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist else ("?", "?")


def _entry_order(entry: importlib.metadata.EntryPoint) -> tuple[str, str]:
    return entry.name, _origin(entry)[0]


def _one_line(error: BaseException) -> str:
    text = error.message if isinstance(error, TftctlError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())
