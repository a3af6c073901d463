"""Forecasts of the same origins with another future: other rows in memory, or bars that end at a cut (A3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from tftctl.audit.origins import Key, Windows, sample, windows_of
from tftctl.core.times import iso
from tftctl.data.assemble import gather, known_instances
from tftctl.data.loaders import ordered_loader
from tftctl.data.panel import Panel, keep_groups
from tftctl.data.spec import DataSpec
from tftctl.plugins import Registry
from tftctl.store import Snapshot
from tftctl.train.predict import Predictor, quantile_columns

ROUNDING = 1e-5  # of a standardised forecast, where inputs differ by the rounding of float32 alone
POISONS = (1e20, float("nan"))
OTHER_TIME_MS = 83 * 3_600_000
Values = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is audited: a network, the windows that its snapshot gives it, and the cuts to try."""

    snapshot: Snapshot
    spec: DataSpec
    registry: Registry
    predictor: Predictor
    stored: Windows
    cuts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Divergence:
    """A forecast that is another one without the future: what was taken away, and what the difference is."""

    target: str
    key: Key
    without: str
    detail: str


def is_steady(subject: Subject) -> bool:
    """Whether two identical runs give the same forecasts; what differs from itself proves nothing (A1)."""
    rows = sample(subject.stored, subject.cuts[-1])
    once, again = (_values(subject, subject.stored, rows) for _ in range(2))
    return not _differences(subject.spec, once, again).any()


def poisonings(subject: Subject) -> Iterator[Divergence]:
    """Forecasts with other rows after the cut, and other decoder unknowns, than the stored ones."""
    known = known_instances(subject.snapshot, subject.spec.inputs, subject.registry)
    stored, spec = subject.stored, subject.spec
    for cut in subject.cuts:
        rows = sample(stored, cut)
        keys = [stored.key(row) for row in rows]
        want = _values(subject, stored, rows)
        around = _around(stored.prepared.panel, rows, spec.encoder_length)
        for poison in POISONS:
            other = windows_of(gather(_poisoned(around, cut, poison), spec, known))
            yield from _lost(subject, [key for key in keys if not other.has(key)], f"other rows after {iso(cut)}")
            got = _values(subject, other, other.rows(keys), decoder=poison)
            yield from _diverging(spec, keys, _differences(spec, want, got), f"other rows after {iso(cut)}")


def _around(panel: Panel, origins: npt.NDArray[np.int64], encoder_length: int) -> Panel:
    """The windows of some origins, and as many rows after the last of each group: a panel can be larger than memory."""
    numbers = panel.group[origins]
    kept = []
    for number in np.unique(numbers):
        group, mine = panel.groups[int(number)], origins[numbers == number]
        start, stop = int(mine.min()) - encoder_length + 1, int(mine.max()) + encoder_length + 1
        kept.append(replace(group, start=start, stop=min(stop, group.stop)))
    return keep_groups(panel, kept)


def _poisoned(panel: Panel, cut: int, poison: float) -> Panel:
    """The panel with features, labels, holes and clock of all rows after the cut set to something else."""
    later = panel.available_at > cut
    return Panel(
        groups=panel.groups,
        columns=panel.columns,
        targets=panel.targets,
        features=np.where(later[:, None], np.float32(poison), panel.features),
        labels=np.where(later[:, None], np.float32(poison), panel.labels),
        label_end=np.where(later[:, None], panel.label_end + OTHER_TIME_MS, panel.label_end),
        timestamp=panel.timestamp,
        available_at=panel.available_at,
        next_timestamp=np.where(later, panel.next_timestamp + OTHER_TIME_MS, panel.next_timestamp),
        segment=panel.segment,
        is_filled=panel.is_filled ^ later,
        group=panel.group,
    )


def cut_short(subject: Subject, fresh: Windows, short: Windows, cut: int) -> Iterator[Divergence]:
    """Where forecasts from bars until the cut are not those from all bars."""
    without = f"no bars after {iso(cut)}"
    wanted, there = ([w.key(row) for row in sample(w, cut)] for w in (fresh, short))
    yield from _lost(subject, [key for key in wanted if not short.has(key)], without)
    yield from _lost(subject, [key for key in there if not fresh.has(key)], f"bars after {iso(cut)}")
    keys = [key for key in wanted if short.has(key)]
    if not keys:
        return
    one, other = fresh.rows(keys), short.rows(keys)
    differs = _differences(subject.spec, _values(subject, fresh, one), _values(subject, short, other))
    rounded, columns = _inputs_near(subject, keys, fresh.inputs(one), short.inputs(other))
    differs[rounded[:, None] & (differs <= ROUNDING)] = 0.0
    yield from _diverging(subject.spec, keys, differs, without, columns)


def _inputs_near(
    subject: Subject, keys: Sequence[Key], one: Values, other: Values
) -> tuple[npt.NDArray[np.bool_], list[list[str]]]:
    """Whether each origin's inputs (B, E, F) are equal to the rounding of float32, and the names of others."""
    names = np.array([item.name for item in subject.spec.inputs])
    equal = np.stack([near(subject.spec, key.period, x, y) for key, x, y in zip(keys, one, other, strict=True)])
    by_column: npt.NDArray[np.bool_] = np.asarray(equal.all(axis=1))
    return np.asarray(by_column.all(axis=1)), [names[~row].tolist() for row in by_column]


def near(spec: DataSpec, period: str, one: Values, other: Values) -> npt.NDArray[np.bool_]:
    """Equal to one unit in the last place of float32 and 1e-9 of the column's deviation (A1); null equals null."""
    std = np.array(spec.input_std[spec.periods.index(period)])
    ulp = np.spacing(np.maximum(np.abs(one), np.abs(other)))
    close = np.abs(one.astype(np.float64) - other) <= ulp + 1e-9 * std
    return np.asarray(close | (np.isnan(one) & np.isnan(other)))


def _values(subject: Subject, windows: Windows, rows: npt.NDArray[np.int64], decoder: float = 0.0) -> Values:
    """Forecasts of some rows; `decoder` takes the place of everything that is not known of the next bar."""
    predictor, spec = subject.predictor, subject.spec
    unknown = np.setdiff1d(np.arange(len(spec.reals)), spec.known)
    found = []
    for batch in ordered_loader(windows.prepared.source, torch.from_numpy(rows), predictor.batch_size):
        batch["decoder"][..., unknown] = decoder
        found.append(predictor.of(batch))
    return torch.cat(found).numpy()


def _differences(spec: DataSpec, one: Values, other: Values) -> npt.NDArray[np.float64]:
    """(B, T) largest difference of a target's forecasts, point and quantiles; 0 exactly where they are the same."""
    apart = np.abs(one.astype(np.float64) - other)
    apart = np.where(np.isnan(one) & np.isnan(other), 0.0, np.nan_to_num(apart, nan=np.inf))
    columns = [[place, *range(q.start, q.stop)] for place, q in enumerate(quantile_columns(spec.targets))]
    return np.stack([apart[:, mine].max(axis=1) for mine in columns], axis=1)


def _diverging(
    spec: DataSpec,
    keys: Sequence[Key],
    differs: npt.NDArray[np.float64],
    without: str,
    columns: Sequence[list[str]] | None = None,
) -> Iterator[Divergence]:
    for place, target in enumerate(spec.targets):
        for number in map(int, np.flatnonzero(differs[:, place])):
            named = columns[number] if columns else []
            inputs = f"; inputs that differ: {', '.join(named[:5])}" if named else ""
            detail = f"differs by {differs[number, place]:.3g} (standardised){inputs}"
            yield Divergence(target.name, keys[number], without, detail)


def _lost(subject: Subject, keys: Sequence[Key], without: str) -> Iterator[Divergence]:
    for key in keys:
        for target in subject.spec.targets:
            yield Divergence(target.name, key, without, "its window is not complete")
