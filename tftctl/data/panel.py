"""All rows of the chosen groups as arrays: the raw material of windows."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.core.errors import DataError, StoreError, choices
from tftctl.core.names import label_end_column
from tftctl.core.times import iso
from tftctl.store import Snapshot, cache_dir

Instants = npt.NDArray[np.int64]
NO_LABEL_END = -1
_PER_ROW = (
    "features", "labels", "label_end", "timestamp", "available_at", "next_timestamp", "segment", "is_filled",
)  # fmt: skip
_ROW = ("timestamp", "available_at", "next_timestamp", "segment", "bar_index", "is_filled")


@dataclass(frozen=True, slots=True)
class Group:
    """One (symbol, period): rows start..stop of the panel."""

    symbol: str
    period: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Panel:
    """Rows of all groups, one group after the other, each in order of time.

    features (N, F) float32 raw, NaN where null; labels (N, T) float32, NaN where there is none; label_end (N, T)
    int64, -1 where bar t+h does not exist. The remaining arrays are (N,).
    """

    groups: tuple[Group, ...]
    columns: tuple[str, ...]
    targets: tuple[str, ...]
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]
    label_end: Instants
    timestamp: Instants
    available_at: Instants
    next_timestamp: Instants
    segment: npt.NDArray[np.int32]
    is_filled: npt.NDArray[np.bool_]
    group: npt.NDArray[np.int32]

    @property
    def rows(self) -> int:
        """Number of rows, N."""
        return self.timestamp.size

    def periods(self) -> list[str]:
        """Period of each group."""
        return [group.period for group in self.groups]

    def last_label_end(self) -> Instants:
        """Latest label_end over the targets of each row; its own available_at where it has none (S4)."""
        latest = self.label_end.max(axis=1) if self.targets else np.full(self.rows, NO_LABEL_END)
        return np.maximum(latest, self.available_at)

    def position(self) -> Instants:
        """Number of bars before each row in its unbroken segment."""
        new = np.ones(self.rows, bool)
        new[1:] = (np.diff(self.group) != 0) | (np.diff(self.segment) != 0)
        index = np.arange(self.rows)
        return index - np.maximum.accumulate(np.where(new, index, 0))


def load_rows(
    snapshot: Snapshot, targets: Sequence[str], periods: Sequence[str] | None, symbols: Sequence[str] | None
) -> Panel:
    """Rows and labels of groups of the fused and targets tables of a snapshot, without any column yet.

    Raises DataError for unknown periods, symbols or targets, and where a stored label is NaN or infinite (S3).
    """
    if not snapshot.has("fused"):
        raise DataError("there is no fused table yet", "make it: tftctl features build")
    chosen = choose_groups(snapshot, periods, symbols)
    _require_targets(snapshot, targets)
    parts = [_read_labels(snapshot, symbol, period, targets) for symbol, period in chosen]
    sizes = np.array([part.height for part in parts])
    stops = np.cumsum(sizes)
    groups = tuple(
        Group(symbol, period, int(stop - size), int(stop))
        for (symbol, period), size, stop in zip(chosen, sizes, stops, strict=True)
    )
    rows = pl.concat([part.select(_ROW) for part in parts])
    ends = [label_end_column(target) for target in targets]
    return Panel(
        groups=groups,
        columns=(),
        targets=tuple(targets),
        features=np.empty((rows.height, 0), np.float32),
        labels=np.concatenate([_matrix(part, targets) for part in parts]),
        label_end=np.concatenate([_instants(part, ends) for part in parts]),
        timestamp=rows["timestamp"].to_numpy(),
        available_at=rows["available_at"].to_numpy(),
        next_timestamp=rows["next_timestamp"].to_numpy(),
        segment=rows["segment"].to_numpy(),
        is_filled=rows["is_filled"].to_numpy(),
        group=np.repeat(np.arange(len(groups), dtype=np.int32), sizes),
    )


def choose_groups(
    snapshot: Snapshot, periods: Sequence[str] | None, symbols: Sequence[str] | None
) -> list[tuple[str, str]]:
    """(symbol, period) of the groups that a training reads. Raises DataError for unknown periods or symbols."""
    there = snapshot.periods("fused")
    for period in periods or ():
        if period not in there:
            raise DataError(f"the fused table has no period {period!r}", choices(period, there, "periods"))
    wanted = [period for period in there if periods is None or period in periods]
    by_period = {period: snapshot.symbols("fused", period) for period in wanted}
    known = {symbol for names in by_period.values() for symbol in names}
    for symbol in symbols or ():
        if symbol not in known:
            raise DataError(f"the fused table has no symbol {symbol!r}", choices(symbol, known, "symbols"))
    return [(s, p) for p in wanted for s in by_period[p] if symbols is None or s in symbols]


def _require_targets(snapshot: Snapshot, targets: Sequence[str]) -> None:
    known: Mapping[str, Any] = snapshot.meta("targets").get("targets", {})
    for target in targets:
        if target not in known:
            raise DataError(
                f"the store has no target {target!r}",
                choices(target, known, "targets") + "; add it to configs/features.yaml and run: tftctl features build",
            )


def _read_labels(snapshot: Snapshot, symbol: str, period: str, targets: Sequence[str]) -> pl.DataFrame:
    """Row columns of the fused table beside labels and label ends of one group."""
    ends = [label_end_column(target) for target in targets]
    rows = snapshot.collect(snapshot.scan("fused", period, symbols=[symbol], columns=_ROW))
    labels = snapshot.collect(snapshot.scan("targets", period, symbols=[symbol], columns=[*targets, *ends]))
    if not rows["timestamp"].equals(labels["timestamp"]):
        raise StoreError(f"fused and targets of {symbol} {period} have different rows", "run: tftctl features build")
    _require_finite(labels, targets, symbol, period)
    return pl.concat([rows, labels.select([*targets, *ends])], how="horizontal")


def add_features(panel: Panel, snapshot: Snapshot, columns: Sequence[str], store: Path) -> Panel:
    """The panel with the raw matrix of these columns, written once per store, snapshot, columns and groups.

    It is memory-mapped from then on. Raises DataError where a value is NaN, infinite, or too large for float32 (S3).
    """
    groups = [(group.symbol, group.period) for group in panel.groups]
    key = hashlib.sha256(json.dumps([list(columns), groups]).encode()).hexdigest()[:16]
    path = cache_dir(store, snapshot.number, key) / "features.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_name(f"features-{os.getpid()}.tmp")
        try:
            _write_matrix(staged, snapshot, panel.groups, columns)
            os.replace(staged, path)
        finally:
            staged.unlink(missing_ok=True)
    # copy-on-write, so that torch gets a writable view; nothing ever writes to it
    return replace(panel, columns=tuple(columns), features=np.load(path, mmap_mode="c"))


def keep_groups(panel: Panel, kept: Sequence[Group]) -> Panel:
    """The panel of some of its groups, or of a part of their rows."""
    if tuple(kept) == panel.groups:
        return panel
    rows = np.concatenate([np.arange(group.start, group.stop) for group in kept])
    sizes = [group.stop - group.start for group in kept]
    stops = np.cumsum(sizes)
    groups = tuple(
        Group(group.symbol, group.period, int(stop - size), int(stop))
        for group, size, stop in zip(kept, sizes, stops, strict=True)
    )
    number = np.repeat(np.arange(len(groups), dtype=np.int32), sizes)
    return replace(panel, groups=groups, group=number, **{name: getattr(panel, name)[rows] for name in _PER_ROW})


def _write_matrix(path: Path, snapshot: Snapshot, groups: Sequence[Group], columns: Sequence[str]) -> None:
    """Group by group, as plain writes: a full disk is an OSError then; on a mapped file it would kill the process."""
    shape = (groups[-1].stop, len(columns))
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for group in groups:
            file.write(_group_features(snapshot, group, columns).tobytes())


def _group_features(snapshot: Snapshot, group: Group, columns: Sequence[str]) -> npt.NDArray[np.float32]:
    wanted = snapshot.scan("fused", group.period, symbols=[group.symbol], columns=["timestamp", *columns])
    rows = snapshot.collect(wanted)
    _require_finite(rows, columns, group.symbol, group.period)
    return _matrix(rows, columns)


def _require_finite(rows: pl.DataFrame, columns: Sequence[str], symbol: str, period: str) -> None:
    bad = rows.select(pl.col(columns).cast(pl.Float32).is_finite().not_().fill_null(False))
    for name in columns:
        if bad[name].any():
            place = bad[name].arg_max()
            raise DataError(
                f"{name} of {symbol} {period} is not finite at {iso(rows['timestamp'][place])}",  # type: ignore[index]
                "NaN and infinity are errors, null is missing data; find out where it comes from: "
                f"tftctl features describe {name}",
            )


def _matrix(part: pl.DataFrame, columns: Sequence[str]) -> npt.NDArray[np.float32]:
    if not columns:
        return np.empty((part.height, 0), np.float32)
    frame = part.select(pl.col(columns).cast(pl.Float32).fill_null(float("nan")))
    return np.ascontiguousarray(frame.to_numpy(), dtype=np.float32)


def _instants(part: pl.DataFrame, columns: Sequence[str]) -> Instants:
    if not columns:
        return np.empty((part.height, 0), np.int64)
    return np.ascontiguousarray(part.select(pl.col(columns).fill_null(NO_LABEL_END)).to_numpy(), dtype=np.int64)
