"""From a snapshot and a configuration to windows with splits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tftctl.core.config.features import IndicatorEntry
from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import DataError
from tftctl.core.periods import sort_periods
from tftctl.core.times import iso
from tftctl.data.cuts import training_cuts
from tftctl.data.origins import Origins, find_origins
from tftctl.data.panel import Group, Panel, add_features, keep_groups, load_rows
from tftctl.data.scaling import MIN_LABELS, fit_inputs, fit_labels
from tftctl.data.spec import DataSpec, GroupSpec, InputSpec, TargetSpec
from tftctl.data.splits import SPLITS, Cuts, Split, assign, choice_end
from tftctl.data.unseen import NEVER_TRAINED, others, poolable, require_labels, short_groups, unseen_groups
from tftctl.data.windows import WindowSource, window_source
from tftctl.features.definitions import IndicatorInstance, resolve_indicators
from tftctl.features.engine import known_columns
from tftctl.plugins import Registry
from tftctl.store import Snapshot


@dataclass(frozen=True, slots=True)
class Prepared:
    """Windows of a training or of a trained network.

    `splits` maps train, val and test to origin row numbers; `choosing` are those of val that choose checkpoints
    (S6); `left_out` has (reason, symbol, period, rows).
    """

    spec: DataSpec
    panel: Panel
    source: WindowSource
    splits: dict[Split, npt.NDArray[np.int64]]
    choosing: npt.NDArray[np.int64]
    left_out: tuple[tuple[str, str, str, int], ...]


def prepare_training(
    store: Path,
    snapshot: Snapshot,
    config: ModelConfig,
    inputs: Sequence[InputSpec],
    targets: Sequence[TargetSpec],
    registry: Registry,
) -> Prepared:
    """Load, cut, fit scales on the training part, and gather windows.

    `store` is the store's folder, where the cache of the feature matrix lies. Groups that cannot be trained on are
    left out by name, or are an error (`unseen`). Raises DataError for a target without training labels, and when
    no group is as long as one window.
    """
    rows = load_rows(snapshot, [target.name for target in targets], config.periods, config.symbols)
    cuts = training_cuts(rows.available_at, config)
    chosen_until = choice_end(rows.available_at, cuts)
    known = known_instances(snapshot, inputs, registry)

    def windows(panel: Panel, pooled: Collection[tuple[str, str]]) -> Prepared:
        return gather(panel, _fit(panel, snapshot, config, inputs, targets, cuts, chosen_until, pooled), known)

    require_labels(rows, _train_rows(rows, cuts), cuts)
    short = short_groups(rows, targets, _train_rows(rows, cuts))
    pooled = poolable(rows, short) if config.unseen == "pooled" else {}
    short = {group: found for group, found in short.items() if group not in pooled}
    panel = keep_groups(rows, others(rows, short, config.unseen))
    panel = add_features(panel, snapshot, [item.name for item in inputs], store)
    names = {(group.symbol, group.period) for group in pooled}
    prepared = windows(panel, names)
    _require_windows(prepared)
    unseen = unseen_groups(panel, prepared.splits["train"], config.categories.get("symbol", []), names)
    more = poolable(panel, unseen) if config.unseen == "pooled" else {}
    names |= {(group.symbol, group.period) for group in more}
    if unseen:
        unseen = {group: found for group, found in unseen.items() if group not in more}
        prepared = windows(keep_groups(panel, others(panel, unseen, config.unseen)), names)
    notes = [*_notes(f"fewer than {MIN_LABELS} training labels", short), *_notes(NEVER_TRAINED, unseen)]
    return replace(prepared, left_out=(*notes, *prepared.left_out))


def prepare_again(store: Path, snapshot: Snapshot, spec: DataSpec, registry: Registry) -> Prepared:
    """The windows of a trained network, with the statistics of its training."""
    symbols = sorted({group.symbol for group in spec.groups})  # spec.symbols also names those without rows
    rows = load_rows(snapshot, [target.name for target in spec.targets], spec.periods, symbols)
    known = {(group.symbol, group.period) for group in spec.groups}
    panel = keep_groups(rows, [group for group in rows.groups if (group.symbol, group.period) in known])
    panel = add_features(panel, snapshot, [item.name for item in spec.inputs], store)
    return gather(panel, spec, known_instances(snapshot, spec.inputs, registry))


def gather(panel: Panel, spec: DataSpec, known: Sequence[IndicatorInstance]) -> Prepared:
    """Windows, splits and left-out origins of a panel under a given specification."""
    origins = find_origins(panel, spec.encoder_length, spec.required)
    ends = panel.last_label_end()
    split = assign(panel.available_at, ends, spec.cuts)
    labelled = np.asarray(np.isfinite(panel.labels).any(axis=1))
    splits = {name: np.flatnonzero(origins.usable & labelled & (split == number)) for number, name in enumerate(SPLITS)}
    choosing = splits["val"][ends[splits["val"]] <= spec.choice_end]
    source = _source(panel, spec, known)
    return Prepared(spec, panel, source, splits, choosing, tuple(_left_out(panel, origins, labelled, split)))


def known_instances(snapshot: Snapshot, inputs: Sequence[InputSpec], registry: Registry) -> list[IndicatorInstance]:
    """The indicators that make the `known` inputs, with the parameters of the build.

    Other indicators may be gone since, their columns are stored. Raises DataError where one of these is.
    """
    wanted = [item.name for item in inputs if item.role == "known"]
    entries = snapshot.meta("fused").get("config", {}).get("indicators", [])
    there = [e for e in map(IndicatorEntry.model_validate, entries) if e.name in registry.names("indicator")]
    known = [i for i in resolve_indicators(there, registry) if i.record.known] if wanted else []
    made = {feature.column for instance in known for feature in instance.features}
    for name in wanted:
        if name not in made:
            raise DataError(f"no plugin makes {name!r} of the next bar any more", "see: tftctl plugins list")
    return [i for i in known if set(wanted) & {feature.column for feature in i.features}]


def _train_rows(panel: Panel, cuts: Cuts) -> npt.NDArray[np.bool_]:
    return assign(panel.available_at, panel.last_label_end(), cuts) == 0


def _notes(reason: str, groups: Iterable[Group]) -> list[tuple[str, str, str, int]]:
    return [(reason, group.symbol, group.period, group.stop - group.start) for group in groups]


def _fit(
    panel: Panel,
    snapshot: Snapshot,
    config: ModelConfig,
    inputs: Sequence[InputSpec],
    targets: Sequence[TargetSpec],
    cuts: Cuts,
    chosen_until: int,
    pooled: Collection[tuple[str, str]],
) -> DataSpec:
    kinds = [target.kind for target in targets]
    scale = fit_inputs(panel, cuts.first)
    numbers = [number for number, group in enumerate(panel.groups) if (group.symbol, group.period) in pooled]
    labels = fit_labels(panel, list(kinds), _train_rows(panel, cuts), numbers)
    rated = [
        target.model_copy(update={"base_rate": _rates(scale.periods, labels.base_rate[:, place])})
        for place, target in enumerate(targets)
    ]
    groups = [
        GroupSpec(
            symbol=group.symbol,
            period=group.period,
            pooled=number in numbers,
            centre=labels.centre[number].tolist(),
            scale=labels.scale[number].tolist(),
        )
        for number, group in enumerate(panel.groups)
    ]
    order = [scale.periods.index(period) for period in sort_periods(set(scale.periods))]
    return DataSpec(
        snapshot=snapshot.number,
        encoder_length=config.max_encoder_length,
        inputs=list(inputs),
        targets=rated,
        groups=groups,
        symbols=_vocabulary(config.categories, "symbol", {group.symbol for group in groups if not group.pooled}),
        periods=[scale.periods[place] for place in order],
        input_mean=scale.mean[order].tolist(),
        input_std=scale.std[order].tolist(),
        train_end=cuts.first,
        choice_end=chosen_until,
        val_end=cuts.second,
        embargo_ms=cuts.embargo_ms,
        pooled=config.unseen == "pooled",
    )


def _vocabulary(declared: Mapping[Any, list[str]], name: str, present: set[str]) -> list[str]:
    return sorted(present | set(declared.get(name, [])))


def _rates(periods: Sequence[str], rates: npt.NDArray[np.float64]) -> dict[str, float]:
    return {period: float(rate) for period, rate in zip(periods, rates, strict=True) if np.isfinite(rate)}


def _source(panel: Panel, spec: DataSpec, known: Sequence[IndicatorInstance]) -> WindowSource:
    by_group = {(group.symbol, group.period): group for group in spec.groups}
    stats = [by_group[group.symbol, group.period] for group in panel.groups]
    centre = np.array([group.centre for group in stats])[panel.group]
    scale = np.array([group.scale for group in stats])[panel.group]
    ahead = known_columns(known, panel.next_timestamp) if known else {}
    names = [spec.inputs[number].name for number in spec.known]
    blocks = spec.blocks
    return window_source(
        panel,
        mean=np.array(spec.input_mean),
        std=np.array(spec.input_std),
        next_known=np.column_stack([ahead[name] for name in names]) if names else np.empty((panel.rows, 0)),
        known=spec.known,
        block=[blocks.index(item.block) if item.block is not None else -1 for item in spec.inputs],
        labels=(panel.labels - centre) / scale,
        period=[spec.periods.index(group.period) for group in panel.groups],
        codes=np.array([[spec.code(g), spec.periods.index(g.period)] for g in stats]),
        encoder_length=spec.encoder_length,
    )


def _left_out(
    panel: Panel, origins: Origins, labelled: npt.NDArray[np.bool_], split: npt.NDArray[np.int8]
) -> list[tuple[str, str, str, int]]:
    counts = dict(origins.left_out)
    size = len(panel.groups)
    counts["no label"] = np.bincount(panel.group[origins.usable & ~labelled], minlength=size)
    purged = origins.usable & labelled & (split < 0)
    counts["label reaches over a cut or its embargo"] = np.bincount(panel.group[purged], minlength=size)
    return [
        (reason, group.symbol, group.period, int(rows[number]))
        for reason, rows in counts.items()
        for number, group in enumerate(panel.groups)
        if rows[number]
    ]


def _require_windows(prepared: Prepared) -> None:
    spec = prepared.spec
    parts = {"train": prepared.splits["train"], "val": prepared.splits["val"], "checkpoint-choosing": prepared.choosing}
    for name, rows in parts.items():
        if rows.size:
            continue
        groups = ", ".join(
            f"{group.symbol} {group.period} ({group.stop - group.start} rows)" for group in prepared.panel.groups[:8]
        )
        worst = sorted(prepared.left_out, key=lambda entry: -entry[3])[:3]
        why = "; ".join(f"{symbol} {period}: {rows} rows left out ({reason})" for reason, symbol, period, rows in worst)
        raise DataError(
            f"no {name} origin has a whole window of {spec.encoder_length} bars: {groups}. {why}",
            f"training ends {iso(spec.train_end)}, validation {iso(spec.val_end)}, checkpoints are chosen until "
            f"{iso(spec.choice_end)}; import more bars, change val_ratio or val_days, or lower max_encoder_length "
            "or the normalisation windows",
        )
