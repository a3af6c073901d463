"""Stages of a training: from which epoch on which targets weigh what, and what else is different then."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate

from pydantic import BaseModel, ConfigDict

from tftctl.core.config.model import ModelConfig
from tftctl.core.config.training import StageConfig, WeightsConfig
from tftctl.core.errors import ConfigError, choices
from tftctl.plugins import Registry

_FILE = "stages"


class Stage(BaseModel):
    """Epochs `first` to `last` - 1 of a training.

    `weights` has every trained target, 0 for one that rests. `lr` is the peak of the schedule while the stage lasts,
    `freeze` has patterns of parameters that are not trained.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    first: int
    last: int
    weights: dict[str, float]
    lr: float
    batch_size: int
    freeze: list[str] = []
    resting: list[str] = []

    @property
    def epochs(self) -> int:
        """How long it lasts."""
        return self.last - self.first


def whole_training(config: ModelConfig, weights: WeightsConfig, epochs: int) -> list[Stage]:
    """The first stage for all epochs: what a training without a plan does."""
    name, entry = next(iter(weights.root.items()))
    return [_stage(name, entry, config, 0, epochs)]


def planned(config: ModelConfig, weights: WeightsConfig, epochs: int, start: str | None = None) -> list[Stage]:
    """All stages, or those from `start` on, the first of them at epoch 0.

    A stage lasts its `epochs`, or until the next one's `from_epoch`; those that say neither share what is left. Raises
    ConfigError where that does not cover the epochs, and for a `start` that is no stage.
    """
    names, entries = list(weights.root), list(weights.root.values())
    if start is not None and start not in names:
        raise ConfigError(f"--stage {start}: there is no such stage", choices(start, names, "stages"))
    firsts = list(_firsts(names, entries, epochs))
    lasts = [*firsts[1:], epochs]
    skipped = firsts[names.index(start)] if start is not None else 0
    return [
        _stage(name, entry, config, first - skipped, last - skipped)
        for name, entry, first, last in zip(names, entries, firsts, lasts, strict=True)
        if first >= skipped
    ]


def stage_at(stages: Sequence[Stage], epoch: int) -> Stage:
    """The stage of an epoch; the last one goes on where a training is continued beyond its plan."""
    return next((stage for stage in stages if stage.first <= epoch < stage.last), stages[-1])


def idle_targets(
    stages: Sequence[Stage], trained: Collection[str], described: Collection[str], registry: Registry
) -> list[str]:
    """Targets that stages name and plugins provide, but that are not in the store.

    `described` are the targets of the store. Raises ConfigError for a name that nobody provides, for a stage that
    trains a target that is not enabled, and for one that gives every enabled target the weight 0.
    """
    provided = registry.names("target")
    idle: list[str] = []
    for stage in stages:
        for name in stage.weights:
            known = name in described or any(name == record or name.startswith(f"{record}_") for record in provided)
            if not known:
                raise ConfigError(f"{_FILE}: there is no target {name!r}", choices(name, described, "targets"))
            if name not in described and name not in idle:
                idle.append(name)
        if not any(stage.weights.get(name, 1.0) for name in trained):
            raise ConfigError(
                f"{_FILE} gives every enabled target the weight 0 in {stage.name}",
                choices("", stage.weights, "targets"),
            )
    return idle


def enabled(stage: Stage, trained: Sequence[str]) -> Stage:
    """The stage with the weights of exactly the trained targets; one that it does not name weighs 1."""
    return stage.model_copy(
        update={
            "weights": {name: stage.weights.get(name, 0.0 if name in stage.resting else 1.0) for name in trained},
            "resting": [name for name in stage.resting if name in trained],
        }
    )


def _stage(name: str, entry: StageConfig, config: ModelConfig, first: int, last: int) -> Stage:
    resting = [target for target in config.targets if entry.targets is not None and target not in entry.targets]
    strangers = [target for target in entry.targets or () if target not in config.targets]
    if strangers:
        raise ConfigError(
            f"{_FILE}: {name} trains {strangers[0]!r}, which is not enabled",
            choices(strangers[0], config.targets, "targets"),
        )
    return Stage(
        name=name,
        first=first,
        last=last,
        weights={**dict.fromkeys(resting, 0.0), **entry.weights},
        lr=entry.lr or config.lr,
        batch_size=entry.batch_size or config.batch_size,
        freeze=list(entry.freeze or ()),
        resting=resting,
    )


def _firsts(names: Sequence[str], entries: Sequence[StageConfig], epochs: int) -> Iterator[int]:
    """The first epoch of each stage: between two that are fixed, lengths have to add up."""
    fixed = [place for place, entry in enumerate(entries) if place == 0 or entry.from_epoch is not None]
    if entries[0].from_epoch:
        raise ConfigError(f"{_FILE}: {names[0]} begins at epoch {entries[0].from_epoch}", "the first stage begins at 0")
    for place, end in zip(fixed, [*fixed[1:], len(entries)], strict=True):
        begin = entries[place].from_epoch or 0
        stop = entries[end].from_epoch if end < len(entries) else epochs
        lengths = _lengths(names[place:end], entries[place:end], begin, stop or 0)
        yield from list(accumulate([begin, *lengths]))[:-1]


def _lengths(names: Sequence[str], entries: Sequence[StageConfig], begin: int, stop: int) -> list[int]:
    """Epochs of neighbouring stages that fill begin..stop; stages without a length share the rest."""
    given = sum(entry.epochs or 0 for entry in entries)
    open_ends = sum(entry.epochs is None for entry in entries)
    rest = stop - begin - given
    if rest < open_ends or (rest and not open_ends):
        raise ConfigError(
            f"{_FILE}: {', '.join(names)} cover {given or 'none'} of the {max(stop - begin, 0)} epochs from {begin} on"
            + (f", and {open_ends} of them need an epoch each" if open_ends else ""),
            f"change epochs or from_epoch, or max_epochs, so that {stop - begin} = the sum of epochs",
        )
    share, extra = divmod(rest, open_ends) if open_ends else (0, 0)
    lengths, seen = [], 0
    for entry in entries:
        if entry.epochs is not None:
            lengths.append(entry.epochs)
        else:
            lengths.append(share + (seen < extra))
            seen += 1
    return lengths
