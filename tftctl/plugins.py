"""Loading, checking and listing plugins. Built-ins come through the same door as everyone else."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from tftctl import __version__, hookspecs
from tftctl.core import records
from tftctl.core.errors import PluginError, TftctlError, choices
from tftctl.core.names import TARGET_PREFIX, name_problem

if TYPE_CHECKING:
    import typer

    from tftctl.core.records import Indicator, Loss, Metric, Source, Target
    from tftctl.core.workspace import Workspace

ENTRY_POINT_GROUP = "tftctl"
BUILTINS = (
    "tftctl.builtins.indicators.trend",
    "tftctl.builtins.indicators.momentum",
    "tftctl.builtins.indicators.volatility",
    "tftctl.builtins.indicators.volume",
    "tftctl.builtins.indicators.shape",
    "tftctl.builtins.indicators.calendar",
    "tftctl.builtins.targets.returns",
    "tftctl.builtins.targets.risk",
    "tftctl.builtins.losses",
    "tftctl.builtins.metrics",
    "tftctl.builtins.sources",
)

# hook -> the kind of record, and the word for it in messages
HOOKS: dict[str, tuple[type, str]] = {
    "tftctl_indicators": (records.Indicator, "indicator"),
    "tftctl_targets": (records.Target, "target"),
    "tftctl_losses": (records.Loss, "loss"),
    "tftctl_metrics": (records.Metric, "metric"),
    "tftctl_sources": (records.Source, "source"),
}


@dataclass(frozen=True, slots=True)
class Provided:
    """A record and the plugin that brought it."""

    record: Any
    plugin: str
    version: str


@dataclass(slots=True)
class PluginInfo:
    """One row of `tftctl plugins list`. `provides` holds entries like `indicator rsi`."""

    name: str
    distribution: str
    version: str
    status: Literal["ok", "broken"] = "ok"
    provides: list[str] = field(default_factory=list)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything that the loaded plugins provide, by kind and name.

    `conflicts` maps (kind, name) to the plugins that claim it: asking for such a name is an error.
    """

    provided: Mapping[str, Mapping[str, Provided]]
    conflicts: Mapping[tuple[str, str], tuple[str, ...]]
    plugins: tuple[PluginInfo, ...]
    commands: Mapping[str, typer.Typer]

    def names(self, kind: str) -> list[str]:
        """Sorted names of one kind: indicator, target, loss, metric or source."""
        return sorted(self.provided[kind])

    def find(self, kind: str, name: str) -> Provided:
        """Return a record with its origin. Raises PluginError when unknown or claimed twice."""
        claimants = self.conflicts.get((kind, name))
        if claimants:
            raise PluginError(
                f"{kind} {name!r} comes from two plugins: {' and '.join(claimants)}",
                "rename it in one of them, or uninstall one",
            )
        found = self.provided[kind].get(name)
        if found is None:
            broken = [f"{info.name} ({info.error})" for info in self.plugins if info.status == "broken"]
            hint = choices(name, self.provided[kind], f"{kind}s" if kind != "loss" else "losses")
            if broken:
                hint += f"; a broken plugin may hold it: {', '.join(broken)}"
            raise PluginError(f"there is no {kind} {name!r}", hint)
        return found

    def indicator(self, name: str) -> Indicator:
        """The indicator of that name."""
        return self.find("indicator", name).record

    def target(self, name: str) -> Target:
        """The target of that name."""
        return self.find("target", name).record

    def loss(self, name: str) -> Loss:
        """The loss of that name."""
        return self.find("loss", name).record

    def metric(self, name: str) -> Metric:
        """The metric of that name."""
        return self.find("metric", name).record

    def source(self, name: str) -> Source:
        """The source of that name."""
        return self.find("source", name).record


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
    """Load built-ins, installed plugins and the files that the workspace lists.

    A plugin that fails to import or returns something malformed becomes a row with status `broken`; it is an
    error only when something asks for what it should have provided.
    """
    loading = _Loading()
    for module_name in BUILTINS:
        loading.add(module_name.removeprefix("tftctl."), "tftctl", __version__, _importer(module_name))
    for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda item: item.name):
        distribution = entry.dist.name if entry.dist else "?"
        version = entry.dist.version if entry.dist else "?"
        loading.add(entry.name, distribution, version, entry.load)
    for path in workspace.plugin_files if workspace else ():
        loading.add(path.stem, str(path), "file", _file_importer(path))
    return loading.registry()


def load_file(path: Path) -> ModuleType:
    """Import a single-file plugin. Raises PluginError when it is missing or cannot be executed."""
    return _file_importer(path)()


class _Loading:
    """Collects plugins one by one; `registry()` freezes what was found."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager("tftctl")
        self.manager.add_hookspecs(hookspecs)
        self.infos: list[PluginInfo] = []
        self.provided: dict[str, dict[str, Provided]] = {word: {} for _, word in HOOKS.values()}
        self.claims: dict[tuple[str, str], list[str]] = {}
        self.commands: dict[str, typer.Typer] = {}

    def add(self, name: str, distribution: str, version: str, load: Any) -> None:
        info = PluginInfo(name, distribution, version)
        self.infos.append(info)
        try:
            found = list(self._collect(name, load()))
        except Exception as error:  # noqa: BLE001 - a guest may fail in any way; it becomes a row in the list
            info.status, info.error = "broken", _one_line(error)
            return
        for word, record in found:
            self._claim(word, record, info)

    def _collect(self, name: str, module: Any) -> Iterator[tuple[str, Any]]:
        """Yield (kind, record) pairs of one plugin, checked; nothing is registered when any of them is wrong."""
        self.manager.register(module, name=name)
        self.manager.check_pending()
        try:
            for hook, (record_type, word) in HOOKS.items():
                for record in _call(self.manager, module, hook):
                    if not isinstance(record, record_type):
                        raise PluginError(f"{hook} gave a {type(record).__name__}, not a {record_type.__name__}")
                    check_record(word, record)
                    yield word, record
            for command_name, command in _call(self.manager, module, "tftctl_commands"):
                yield "command", (command_name, command)
        except BaseException:
            self.manager.unregister(module)
            raise

    def _claim(self, word: str, record: Any, info: PluginInfo) -> None:
        name = record[0] if word == "command" else record.name
        self.claims.setdefault((word, name), []).append(info.name)
        info.provides.append(f"{word} {name}")
        if word == "command":
            self.commands.setdefault(name, record[1])
        else:
            self.provided[word].setdefault(name, Provided(record, info.name, info.version))

    def registry(self) -> Registry:
        conflicts = {claim: tuple(names) for claim, names in self.claims.items() if len(names) > 1}
        return Registry(self.provided, conflicts, tuple(self.infos), self.commands)


def check_record(word: str, record: Any) -> None:
    """Raise PluginError when a record breaks a rule that can be seen without running it (F1)."""
    if word not in ("indicator", "target"):
        return
    names = [record.name] if word == "target" else [record.name, *(output.name for output in record.outputs)]
    for name in names:
        problem = name_problem(name)
        if problem:
            raise PluginError(f"{word} name {name!r} cannot be used: {problem}")
        if name.startswith(TARGET_PREFIX) != (word == "target"):
            raise PluginError(f"{word} name {name!r}: exactly the targets begin with {TARGET_PREFIX!r}")
    if (record.kernel is None) == (record.expr is None):
        raise PluginError(f"{word} {record.name!r} needs exactly one of kernel and expr")


def _call(manager: pluggy.PluginManager, module: Any, hook: str) -> list[Any]:
    caller = manager.subset_hook_caller(
        hook, remove_plugins=[other for other in manager.get_plugins() if other is not module]
    )
    return [record for batch in caller() for record in batch or ()]


def _importer(module_name: str) -> Any:
    return lambda: importlib.import_module(module_name)


def _file_importer(path: Path) -> Any:
    def load() -> ModuleType:
        if not path.is_file():
            raise PluginError(f"plugin file {path} does not exist", "mend `plugins` in tftctl.toml")
        name = f"tftctl_workspace_plugin_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise PluginError(f"{path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    return load


def _one_line(error: Exception) -> str:
    text = error.message if isinstance(error, TftctlError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())
