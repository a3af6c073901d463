"""What the loaded plugins provide, by kind and name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tftctl.core.declared import asks_period, declared_bars
from tftctl.core.errors import PluginError, choices
from tftctl.core.validity import plural

if TYPE_CHECKING:
    import typer

    from tftctl.core.records import Indicator, Loss, Metric, Source, Target

DEFAULT_PERIODS = ("1h", "4h", "1d")


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
    status: Literal["ok", "broken", "conflict"] = "ok"
    provides: list[str] = field(default_factory=list)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything that the loaded plugins provide, by kind and name.

    `conflicts` says for a (kind, name) which plugins claim it: asking for such a name is an error.
    """

    provided: Mapping[str, Mapping[str, Provided]]
    conflicts: Mapping[tuple[str, str], str]
    plugins: tuple[PluginInfo, ...]
    commands: Mapping[str, typer.Typer]

    def names(self, kind: str) -> list[str]:
        """Sorted names of one kind: indicator, target, loss, metric or source."""
        return sorted(self.provided[kind])

    def find(self, kind: str, name: str) -> Provided:
        """Return a record with its origin. Raises PluginError when unknown or claimed twice."""
        conflict = self.conflicts.get((kind, name))
        if conflict:
            raise PluginError(conflict, "rename it in one of them, or uninstall one")
        found = self.provided[kind].get(name)
        if found is None:
            raise PluginError(f"there is no {kind} {name!r}", self._hint(kind, name))
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

    def records_of(self, plugin: PluginInfo) -> Iterator[tuple[str, Any]]:
        """(kind, record) of what a plugin provides; a command is ("command", (name, Typer))."""
        for kind, table in self.provided.items():
            yield from ((kind, found.record) for found in table.values() if found.plugin == plugin.name)
        for text in plugin.provides:
            kind, _, name = text.partition(" ")
            if kind == "command" and name in self.commands:
                yield kind, (name, self.commands[name])

    def _hint(self, kind: str, name: str) -> str:
        hint = choices(name, self.provided[kind], plural(kind))
        broken = [f"{info.name} ({info.error})" for info in self.plugins if info.status == "broken"]
        return hint + (f"; a broken plugin may hold it: {', '.join(broken)}" if broken else "")


def describe(registry: Registry, name: str) -> dict[str, Any]:
    """Everything about the plugin of that name, or about what has that name.

    Raises PluginError when there is neither.
    """
    plugin = next((info for info in registry.plugins if info.name == name), None)
    records = [
        _record_document(word, found)
        for word, table in registry.provided.items()
        for key, found in table.items()
        if name in (key, found.plugin)
    ]
    if plugin is None and not records:
        known = [info.name for info in registry.plugins] + [
            key for table in registry.provided.values() for key in table
        ]
        raise PluginError(f"there is no plugin and no record {name!r}", choices(name, known, "names"))
    return {
        "name": name,
        "plugin": None if plugin is None else asdict(plugin),
        "records": records,
        "error": plugin.error if plugin else registry.conflicts.get((records[0]["kind"], name)),
    }


def _default(field: Any) -> Any:
    """A parameter's default, `required` where it has none."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return sorted(value) if isinstance(value, set | frozenset) else value


def _default_bars(function: Callable[..., int], params: Any) -> int | dict[str, int]:
    """A number of bars, or several by period."""
    if not asks_period(function):
        return declared_bars(function, params)
    return {period: declared_bars(function, params, period) for period in DEFAULT_PERIODS}


def _record_document(word: str, found: Provided) -> dict[str, Any]:
    record = found.record
    document: dict[str, Any] = {"name": record.name, "kind": word, "plugin": found.plugin, "version": found.version}
    document["summary"] = record.summary
    if hasattr(record, "params"):
        document["params"] = {name: _default(field) for name, field in record.params.model_fields.items()}
    if word == "indicator":
        params = record.params()
        document |= {"inputs": list(record.inputs(params)), "outputs": [output.name for output in record.outputs]}
        document |= {name: _default_bars(getattr(record, name), params) for name in ("first_valid", "settle")}
    elif word == "target":
        document |= {"target_kind": record.kind, "unit": record.unit, "horizon": dict(record.horizon)}
    elif word == "loss":
        document["kinds"] = list(record.kinds)
    elif word == "metric":
        lower = record.lower if math.isfinite(record.lower) else None
        document |= {"kinds": list(record.kinds), "direction": record.direction, "lower": lower, "upper": record.upper}
    return document
