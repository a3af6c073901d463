"""Labels of one group: what they read after the row, and before it (SEMANTICS A2, L1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from tftctl.audit.leakage.compare import alongside, columns_of, differing, missing_rows, not_as_stored
from tftctl.audit.leakage.effort import FUTURE_BARS, WHOLE_GROUPS, Effort
from tftctl.audit.leakage.evidence import Evidence, Unproven
from tftctl.audit.leakage.features import cut_places
from tftctl.audit.leakage.formulas import Array, Formula, column_or_nan, target_formulas
from tftctl.audit.leakage.pokes import poke
from tftctl.audit.leakage.variants import moving_columns, other_futures
from tftctl.audit.leakage.world import Group
from tftctl.core.errors import PluginError
from tftctl.core.names import KEY_COLUMNS, label_end_column
from tftctl.core.records import LabelSpan, Yardstick
from tftctl.core.times import iso
from tftctl.features.definitions import TargetInstance
from tftctl.features.engine import numbers
from tftctl.features.labels import compute_labels

WHOLE = 0.62  # of a group: where all labels before a cut are compared
ROUNDING = 1e-9  # relative: a rolling sum that has seen other numbers before
OUTSIDE, BEYOND, END, BLIND = (
    "label outside its yardstick", "label beyond its horizon", "label end too early", "label without a future",
)  # fmt: skip


def audit_labels(
    group: Group, stored: pl.DataFrame | None, effort: Effort, evidence: Evidence, number: int
) -> dict[str, Array]:
    """Note labels that know more than they may; returns the labels by target, (rows,), computed from the bars.

    `stored`: the group's rows of the targets table.
    """
    targets = [target for target in group.recipe.targets if target.horizon.get(group.period) is not None]
    if not targets:
        return {}
    base = group.recipe.labels(group.prepared)
    if stored is not None:
        _compare_stored(group, base, stored, targets, evidence)
    _label_ends(group, base, targets, evidence)
    if number < WHOLE_GROUPS:
        _whole_cut(group, base, targets, evidence)
    _other_futures(group, targets, effort.label_cuts, number, evidence)
    columns = columns_of(base, [target.column for target in targets])
    formulas = target_formulas(group)
    for target, formula in zip(targets, formulas, strict=True):
        _pivots(group, target, formula, effort.pivots, columns[target.column], evidence)
    found = Evidence()
    poke(group, formulas, columns, effort, found, number)
    evidence.poked += found.poked
    evidence.unproven += found.unproven
    for suspicion in found.suspicions:
        evidence.suspect(suspicion.column, group.name, suspicion.rows, suspicion.how, "labels", BEYOND)
    return columns


def _compare_stored(group: Group, base: pl.DataFrame, stored: pl.DataFrame, targets: list[TargetInstance],
                    evidence: Evidence) -> None:  # fmt: skip
    there = alongside(base, stored)
    if there is None:
        evidence.outdated("targets", "timestamp", group.name, missing_rows(base, stored))
        return
    base, stamps = there, there["timestamp"].to_numpy()
    for target in targets:
        end = label_end_column(target.column)
        if target.column not in stored.columns:
            evidence.outdated("targets", target.column, group.name, stamps)
            continue
        other = not_as_stored(base[target.column], stored[target.column])
        other |= ~base[end].eq_missing(stored[end]).to_numpy()
        evidence.outdated("targets", target.column, group.name, stamps[other])


def _label_ends(group: Group, base: pl.DataFrame, targets: list[TargetInstance], evidence: Evidence) -> None:
    """label_end is when bar t+h of the same segment is complete, counted here bar by bar."""
    at, segment = (group.prepared[name].to_numpy() for name in ("available_at", "segment"))
    stamps = group.prepared["timestamp"].to_numpy()
    for target in targets:
        ahead = np.arange(at.size) + target.horizon[group.period]
        last = np.minimum(ahead, at.size - 1)
        exists = (ahead < at.size) & (segment[last] == segment)
        ends = base[label_end_column(target.column)].fill_null(-1).to_numpy()
        early = (ends != -1) & ((ends < at[last]) | ~exists)
        if early.any():
            how = "its label_end comes before its last bar is complete"
            evidence.suspect(target.column, group.name, stamps[early], how, "labels", END)


def _whole_cut(group: Group, base: pl.DataFrame, targets: list[TargetInstance], evidence: Evidence) -> None:
    cut = int(WHOLE * group.bars.height)
    instant = int(group.bars["available_at"][cut])
    after = _labels_of(group, group.bars.head(cut + 1), targets, evidence)
    _hold(group, base, after, targets, instant, "cut off", evidence)


def _other_futures(group: Group, targets: list[TargetInstance], cuts: int, number: int, evidence: Evidence) -> None:
    """Labels that have ended at a cut stand, whatever comes after it."""
    back = max(_reach(group, target)[0].lookback + target.horizon[group.period] for target in targets)
    bars = group.bars
    for place, cut in enumerate(cut_places(bars, cuts, number)):
        low, high = max(0, cut - 2 * back - 200), min(bars.height, cut + 1 + FUTURE_BARS)
        window = bars.slice(low, high - low)
        instant = int(bars["available_at"][cut])
        before = _labels_of(group, window, targets, evidence)
        for how, changed in other_futures(window, cut - low + 1, place):
            after = _labels_of(group, changed, targets, evidence)
            _hold(group, before, after, targets, instant, how, evidence)


def _labels_of(group: Group, bars: pl.DataFrame, targets: Sequence[TargetInstance], evidence: Evidence) -> pl.DataFrame:
    """Labels and their ends of other bars of the group, without those of targets that fail on these."""
    prepared = group.prepare(bars)
    bars_per_year = group.recipe.calendars[group.symbol].bars_per_year(group.period)
    try:
        return compute_labels(prepared, targets, bars_per_year)
    except PluginError:
        made = prepared.select(KEY_COLUMNS)
        for target in targets:
            try:
                made = made.hstack(compute_labels(prepared, [target], bars_per_year).drop(KEY_COLUMNS).get_columns())
            except PluginError as error:
                evidence.unproven.append(Unproven(target.column, *group.name, f"fails on other bars: {error.message}"))
        return made


def _hold(
    group: Group,
    before: pl.DataFrame,
    after: pl.DataFrame,
    targets: list[TargetInstance],
    instant: int,
    how: str,
    evidence: Evidence,
) -> None:
    for target in (t for t in targets if t.column in before.columns and t.column in after.columns):
        end = label_end_column(target.column)
        done = before.filter((pl.col(end) <= instant).fill_null(False)).select("timestamp", target.column)
        again = after.select("timestamp", pl.col(target.column).alias("again"))
        both = done.join(again, on="timestamp", how="left", maintain_order="left")
        apart = differing(numbers(both[target.column]), numbers(both["again"]), ROUNDING)
        if apart.any():
            stamps = both["timestamp"].to_numpy()[apart]
            evidence.suspect(target.column, group.name, stamps, f"{how} after {iso(instant)}", "labels", BEYOND)
        if both.height and target.column not in evidence.valid and both[target.column].count():
            evidence.valid.add(target.column)


def _pivots(
    group: Group, target: TargetInstance, formula: Formula, count: int, base: Array, evidence: Evidence
) -> None:
    """Single rows of one target: other bars before its yardstick, other columns beside it, another horizon."""
    yardstick, horizon = _reach(group, target)
    stamps = group.prepared["timestamp"].to_numpy()
    for row in _rows_with_labels(group, base, yardstick.lookback, horizon, count):
        low = max(0, row - 2 * yardstick.lookback - 8)
        window = group.prepared.slice(low, row + horizon + 1 - low)
        own = _label(formula, window)[row - low]
        evidence.tried.add(target.column)
        if _is_other(float(base[row]), own):
            detail = "that lie before twice its yardstick, or after its end, cut off"
            evidence.suspect(
                target.column, group.name, [stamps[row]], detail, "labels", _side(group, formula, row, base)
            )
            continue
        for how in _reads_outside(formula, window, row - low, yardstick, own):
            detail = f"bars at or before the row, outside {_text(yardstick)}, {how}"
            evidence.suspect(target.column, group.name, [stamps[row]], detail, "labels", OUTSIDE)
        if any(_is_other(own, _label(formula, other)[row - low]) for other in _other_horizons(window, row - low)):
            evidence.reacting.add(target.column)


def _label(formula: Formula, bars: pl.DataFrame) -> Array:
    return column_or_nan(formula, formula.columns[0], bars)


def _side(group: Group, formula: Formula, row: int, base: Array) -> str:
    """Whether a label that its own bars do not give reads the past of its segment, or what comes after its end."""
    segment = group.prepared["segment"].to_numpy()
    begin = int(np.searchsorted(segment, segment[row]))
    past = group.prepared.slice(begin, row + formula.ahead + 1 - begin)
    return BEYOND if _is_other(float(base[row]), _label(formula, past)[row - begin]) else OUTSIDE


def _reads_outside(formula: Formula, window: pl.DataFrame, at: int, yardstick: Yardstick, own: float) -> Iterator[str]:
    """Ways to change what the label of row `at` may not read that change it."""
    start = at - yardstick.lookback + 1
    if start > 0 and _is_other(own, _label(formula, window.slice(start))[at - start]):
        yield "that begin with it"
    for number, changed in enumerate(_other_pasts(window, at, yardstick), 1):
        if _is_other(own, _label(formula, changed)[at]):
            yield f"changed at random, {number}"


def _is_other(own: float, other: float) -> bool:
    return not abs(own - other) <= ROUNDING * max(abs(own), abs(other), 1.0)


def _other_pasts(window: pl.DataFrame, at: int, yardstick: Yardstick) -> Iterator[pl.DataFrame]:
    """Bars before the yardstick of row `at`, and columns that it does not name, each value by a factor of its own."""
    rows = np.arange(window.height)
    rng = np.random.default_rng(at)
    for _ in range(2):
        made = []
        for name in moving_columns(window):
            if name in yardstick.columns:
                there = rows <= at - yardstick.lookback
            else:
                there = rows < at if name == "close" else rows <= at
            factors = np.where(there, np.exp(rng.uniform(-1, 1, rows.size)), 1.0)
            made.append((pl.col(name) * pl.Series(factors)).alias(name))
        yield window.with_columns(made)


def _other_horizons(window: pl.DataFrame, at: int) -> Iterator[pl.DataFrame]:
    """Bars after row `at` that rise, fall, swing, reach farther and stand still."""
    rows = np.arange(window.height)
    moved, ahead = pl.col(moving_columns(window)), pl.Series(rows > at)
    for factors in (np.full(rows.size, 3.0), np.full(rows.size, 0.3), np.where(rows % 2, 2.0, 0.5)):
        yield window.with_columns(pl.when(ahead).then(moved * pl.Series(factors)).otherwise(moved))
    stretched = np.where(rows > at, np.random.default_rng(at).uniform(1, 3, rows.size), 1.0)
    yield window.with_columns(pl.col("high") * pl.Series(stretched), pl.col("low") / pl.Series(stretched))
    close = float(window["close"][at])
    still = dict.fromkeys(("open", "high", "low", "close"), close) | {"volume": 0.0}
    yield window.with_columns(pl.when(ahead).then(value).otherwise(name).alias(name) for name, value in still.items())


def _rows_with_labels(group: Group, base: Array, lookback: int, horizon: int, count: int) -> list[int]:
    """Rows with a label, spread over the group, with all bars of yardstick and horizon in one segment, none filled."""
    filled, segment = (group.prepared[name].to_numpy() for name in ("is_filled", "segment"))
    size = filled.size
    rows = np.arange(lookback + 1, size - horizon - 1)
    if not rows.size:
        return []
    whole = np.isfinite(base[rows]) & (segment[rows - lookback] == segment[rows + horizon])
    filled_before = np.concatenate(([0], np.cumsum(filled)))
    whole &= filled_before[rows + horizon + 1] == filled_before[rows - lookback]
    rows = rows[whole]
    return rows[np.unique(np.linspace(0, rows.size - 1, count).astype(int))].tolist() if rows.size else []


def _reach(group: Group, target: TargetInstance) -> tuple[Yardstick, int]:
    """Yardstick and horizon of a target at the group's period."""
    horizon = target.horizon[group.period]
    span = LabelSpan(group.period, horizon, group.recipe.calendars[group.symbol].bars_per_year(group.period))
    return target.record.yardstick(target.params, span) or Yardstick((), 1), horizon


def _text(yardstick: Yardstick) -> str:
    if not yardstick.columns:
        return "the close of the row"
    return f"the yardstick ({', '.join(yardstick.columns)}; {yardstick.lookback} bars) and the close of the row"
