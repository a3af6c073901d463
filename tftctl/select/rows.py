"""The rows that a selection may read: those of the training part, each target by its own labels (SEMANTICS A4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import DataError
from tftctl.core.frequencies import lag_ms
from tftctl.core.records import Kind
from tftctl.data.cuts import training_cuts
from tftctl.data.panel import Panel, add_features, load_rows
from tftctl.data.splits import Instants
from tftctl.features.verdict import data_mark
from tftctl.store import Snapshot

Rows = npt.NDArray[np.int64]
CHUNK = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """All rows with the candidate columns, and until when their labels may be read.

    `panel.features` (N, F) is memory-mapped. `periods` maps each to the columns that have a value in its training rows.
    `cut` is the training cut, `until` the instant by which labels must have ended: the cut, or earlier.
    `window_start` (N,) is where the encoder window of a row begins. `known` are columns that the calendar makes.
    """

    panel: Panel
    kinds: dict[str, Kind]
    periods: dict[str, tuple[str, ...]]
    cut: int
    until: int
    embargo_ms: int
    window_start: Instants
    known: frozenset[str]
    snapshot: int
    data: str

    def before(self, until: int) -> Pool:
        """The same rows with labels that end earlier."""
        return replace(self, until=min(until, self.until))

    def labelled(self, period: str, target: str) -> Rows:
        """Row numbers of a period with a label of this target that ended by `until`; filled bars are none."""
        place = self.panel.targets.index(target)
        ends = self.panel.label_end[:, place]
        kept = np.isfinite(self.panel.labels[:, place]) & (ends <= self.until) & ~self.panel.is_filled
        return np.flatnonzero(kept & self.of(period))

    def of(self, period: str) -> npt.NDArray[np.bool_]:
        """Which rows are of a period."""
        mine = np.array([group.period == period for group in self.panel.groups])
        return mine[self.panel.group]

    def ends(self, rows: Rows, target: str) -> Instants:
        """Label ends of rows."""
        return self.panel.label_end[rows, self.panel.targets.index(target)]

    def labels(self, rows: Rows, target: str) -> npt.NDArray[np.float64]:
        """Labels of rows as they are stored."""
        return self.panel.labels[rows, self.panel.targets.index(target)].astype(np.float64)

    def columns(self, period: str) -> npt.NDArray[np.int64]:
        """Numbers of the columns that apply at a period."""
        places = {name: place for place, name in enumerate(self.panel.columns)}
        return np.array([places[name] for name in self.periods[period]], dtype=np.int64)

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that apply at some period, in the order of the table."""
        some = {name for names in self.periods.values() for name in names}
        return tuple(name for name in self.panel.columns if name in some)

    @property
    def absent(self) -> dict[str, tuple[str, ...]]:
        """Per period the columns without any value in its training rows."""
        return {
            period: tuple(name for name in self.panel.columns if name not in set(names))
            for period, names in self.periods.items()
        }


def read_pool(
    store: Path,
    snapshot: Snapshot,
    config: ModelConfig,
    targets: Sequence[str],
    periods: Sequence[str] | None,
    features: Sequence[str],
) -> Pool:
    """Rows of the groups that a training with this configuration reads, cut as it cuts.

    `periods` are those to judge by; the cut is that of all periods of the configuration. Raises DataError where a
    period or target is not there, or a period has no training row or no column with a value.
    """
    rows = load_rows(snapshot, targets, config.periods, config.symbols)
    cut = training_cuts(rows.available_at, config).first
    panel = add_features(rows, snapshot, features, store)
    there = list(dict.fromkeys(panel.periods()))
    for period in periods or ():
        if period not in there:
            raise DataError(f"the training has no period {period!r}", f"periods: {', '.join(there)}")
    described = snapshot.meta("targets")["targets"]
    pool = Pool(
        panel=panel,
        kinds={target: described[target]["kind"] for target in targets},
        periods={},
        cut=cut,
        until=cut,
        embargo_ms=lag_ms(config.embargo),
        window_start=_window_starts(panel, config.max_encoder_length),
        known=frozenset(name for name, entry in snapshot.meta("fused")["columns"].items() if entry["role"] == "known"),
        snapshot=snapshot.number,
        data=data_mark(snapshot),
    )
    wanted = [period for period in there if periods is None or period in periods]
    return replace(pool, periods={period: _with_values(pool, period) for period in wanted})


def _window_starts(panel: Panel, bars: int) -> Instants:
    """Open time of the first bar of a row's encoder window, or of its group."""
    first = np.array([group.start for group in panel.groups])[panel.group]
    return panel.timestamp[np.maximum(np.arange(panel.rows) - bars + 1, first)]


def _with_values(pool: Pool, period: str) -> tuple[str, ...]:
    """Columns that have a value in some training row of a period, a chunk at a time."""
    rows = np.flatnonzero(pool.of(period) & (pool.panel.available_at <= pool.until) & ~pool.panel.is_filled)
    if not rows.size:
        raise DataError(f"{period} has no training row", "leave the period out: --periods, or import more bars")
    known = np.zeros(len(pool.panel.columns), bool)
    for start in range(0, rows.size, CHUNK):
        known |= ~np.isnan(pool.panel.features[rows[start : start + CHUNK]]).all(0)
    names = tuple(name for name, some in zip(pool.panel.columns, known, strict=True) if some)
    if not names:
        raise DataError(f"at {period} no feature has a value in the training rows", "leave the period out: --periods")
    return names
