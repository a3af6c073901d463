"""What the loaded plugins provide, by kind and name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tftctl.core.errors import PluginError, choices
from tftctl.core.validity import plural

if TYPE_CHECKING:
    import typer

    from tftctl.core.records import Indicator, Loss, Metric, Source, Target


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

    def _hint(self, kind: str, name: str) -> str:
        hint = choices(name, self.provided[kind], plural(kind))
        broken = [f"{info.name} ({info.error})" for info in self.plugins if info.status == "broken"]
        return hint + (f"; a broken plugin may hold it: {', '.join(broken)}" if broken else "")
