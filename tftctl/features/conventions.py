"""Labels that a convention decides: equal values, the order of prices inside one bar (SEMANTICS L3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl

from tftctl.core.config.features import AnomaliesConfig, FeaturesConfig
from tftctl.core.errors import PluginError, guest_code
from tftctl.core.records import LabelSpan
from tftctl.features.definitions import TargetInstance
from tftctl.features.engine import input_arrays, split_segments
from tftctl.features.layout import Layout, lay_out
from tftctl.features.observed import expected_slots
from tftctl.features.reading import PreparedBars
from tftctl.plugins import Registry
from tftctl.store import Snapshot

Convention = Literal["ties", "inside_bar"]
CONVENTIONS: tuple[Convention, ...] = ("ties", "inside_bar")
# target column and convention -> labels that it decides; without an entry the target does not say
Decided = dict[tuple[str, Convention], int]


def bars_of_labels(snapshot: Snapshot, registry: Registry) -> Layout | None:
    """What the stored labels were made from, without any indicator; None for labels that were not made here."""
    meta = snapshot.meta("fused")
    if meta.get("origin") != "built" or not snapshot.has("bars"):
        return None
    config = FeaturesConfig.model_validate(meta["config"])
    known = [entry for entry in config.targets if entry.name in registry.names("target")]
    nothing: dict[str, Any] = {"indicators": [], "context": {}, "context_features": [], "normalise": {}, "macro": {}}
    there = {symbol for period in snapshot.periods("bars") for symbol in snapshot.symbols("bars", period)}
    symbols = None if config.symbols is None else [symbol for symbol in config.symbols if symbol in there]
    targets_only = {"targets": known, "anomalies": AnomaliesConfig(), "symbols": symbols, **nothing}
    return lay_out(snapshot, config.model_copy(update=targets_only), registry, expected_slots(snapshot).calendar)


def decided_by_convention(snapshot: Snapshot, layout: Layout, period: str, symbols: Sequence[str]) -> Decided:
    """Count stored labels that rest on each convention, all symbols together, on the bars as they are now."""
    there = [symbol for symbol in symbols if symbol in layout.symbols.get(period, ())]
    stored = [target for target in layout.recipe.targets if target.column in snapshot.columns("targets")]
    asked = [
        (target, convention) for target in stored for convention in CONVENTIONS if _asked(target, convention, period)
    ]
    columns = ["timestamp", *dict.fromkeys(target.column for target, _ in asked)]
    prepared = PreparedBars(snapshot, layout)
    found: Decided = {}
    for symbol in there:
        labels = snapshot.collect(snapshot.scan("targets", period, symbols=[symbol], columns=columns))
        bars = prepared.of(period, symbol)
        per_year = layout.recipe.calendars[symbol].bars_per_year(period)
        for target, convention in asked:
            rests = pl.concat(_rests(bars, target, convention, LabelSpan(period, target.horizon[period], per_year)))
            labelled = labels.filter(pl.col(target.column).is_not_null()).select("timestamp")
            key = target.column, convention
            found[key] = found.get(key, 0) + labelled.join(rests, on="timestamp", how="semi").height
    return found


def _asked(target: TargetInstance, convention: Convention, period: str) -> bool:
    return period in target.horizon and getattr(target.record, convention) is not None


def _rests(
    bars: pl.DataFrame, target: TargetInstance, convention: Convention, span: LabelSpan
) -> Iterator[pl.DataFrame]:
    """Open times of the rows of each segment whose label rests on the convention."""
    record = target.record
    for segment in split_segments(bars):
        with guest_code(f"target {record.name!r}", f"look into it: tftctl plugins show {record.name}"):
            rows = np.asarray(getattr(record, convention)(input_arrays(segment, record.inputs), target.params, span))
        if rows.shape != (segment.height,) or rows.dtype != bool:
            raise PluginError(f"{convention} of {record.name!r} should return {segment.height} truth values")
        yield segment.filter(pl.Series(rows)).select("timestamp")
