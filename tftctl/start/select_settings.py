"""What a selection reads and by which settings: both configurations, the weights of a stage, the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tftctl.core.config.loading import load_model_config, load_selection_config, load_weights_config
from tftctl.core.errors import ConfigError, choices
from tftctl.core.progress import Say
from tftctl.core.workspace import Workspace

if TYPE_CHECKING:
    from tftctl.core.config.model import ModelConfig
    from tftctl.core.config.selection import SelectionConfig
    from tftctl.select.rows import Pool

_MODEL = "model."


@dataclass(frozen=True, slots=True)
class Asked:
    """What a select command was asked: files, overrides (`model.KEY=VALUE` for the model's), and its own options.

    `changes` are key=value of selection.yaml; `targets` and `periods` replace those of the configuration.
    """

    config: Path | None = None
    selection: Path | None = None
    overrides: Sequence[str] = ()
    changes: Sequence[str] = ()
    targets: Sequence[str] | None = None
    periods: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Both configurations, and the targets and periods (None: all that a training reads) that are judged."""

    model: ModelConfig
    selection: SelectionConfig
    targets: list[str]
    periods: list[str] | None


def load_settings(workspace: Workspace, asked: Asked) -> Settings:
    """Load them. Raises ConfigError with every problem."""
    mine = [text for text in asked.overrides if not text.startswith(_MODEL)]
    model = [text.removeprefix(_MODEL) for text in asked.overrides if text.startswith(_MODEL)]
    chosen = load_selection_config(workspace, asked.selection, [*mine, *asked.changes])
    trained = load_model_config(workspace, asked.config, model)
    return Settings(
        trained,
        chosen,
        list(dict.fromkeys(asked.targets or chosen.targets or trained.targets)),
        list(dict.fromkeys(asked.periods)) if asked.periods else chosen.periods,
    )


@contextmanager
def opened_pool(workspace: Workspace, settings: Settings, say: Say) -> Iterator[Pool]:
    """The rows of the snapshot that a training with this configuration would read, all inputs that it may have."""
    from tftctl.data.inputs import choose_inputs
    from tftctl.data.source import require_tables, snapshot_number
    from tftctl.select.rows import read_pool
    from tftctl.store import Store
    from tftctl.train.audited import require_audited

    store = Store(workspace.store)
    with store.read(snapshot_number(settings.model)) as snapshot:
        require_tables(snapshot)
        require_audited(snapshot, allow_unaudited=True, say=say)
        inputs = choose_inputs(snapshot.meta("fused").get("columns", {}), settings.model.inputs, None)
        names = [item.name for item in inputs]
        pool = read_pool(store.root, snapshot, settings.model, settings.targets, settings.periods, names)
        tell_absent(pool, say)
        yield pool


def tell_absent(pool: Pool, say: Say) -> None:
    """Columns without a value: of all periods by name, of one by number (context columns are of the fast ones)."""
    nowhere = [name for name in pool.panel.columns if name not in set(pool.features)]
    if nowhere:
        shown = ", ".join(nowhere[:5]) + (f" and {len(nowhere) - 5} more" if len(nowhere) > 5 else "")
        say(f"no value in any training row of {', '.join(pool.periods)}, left out: {shown}")
    parts = [f"{len(set(names) - set(nowhere))} at {period}" for period, names in pool.absent.items()
             if set(names) - set(nowhere)]  # fmt: skip
    if parts:
        say(f"features without a value in a period's training rows are not judged there: {', '.join(parts)}")


def stage_weights(workspace: Workspace, path: Path | None, stage: str | None) -> tuple[dict[str, float], str]:
    """Target weights of a stage of the stage plan, the first one where none is named, and its name.

    A target that the stage does not train weighs nothing. Raises ConfigError for a stage that is not in the file.
    """
    plan = load_weights_config(workspace, path).root
    name = stage or next(iter(plan))
    if name not in plan:
        place = path or workspace.configs / "weights_config.yaml"
        raise ConfigError(f"--stage {name}: {place} has no such stage", choices(name, plan, "stages"))
    entry = plan[name]
    weights: dict[str, float] = dict(entry.weights)
    if entry.targets is not None:
        every = {target for other in plan.values() for target in (*other.weights, *(other.targets or ()))}
        weights |= {target: 0.0 for target in every if target not in entry.targets}
    return weights, name


def within(workspace: Workspace, path: Path) -> Path:
    """A path of the command line: relative ones are of the workspace."""
    return path if path.is_absolute() else workspace.root / path


def facts_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Facts of an allowlist's header: what is not None, as text."""
    return {key: str(value) for key, value in document.items() if value is not None}
