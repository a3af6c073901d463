"""Labels of one group: what they read after the row, and before it (SEMANTICS A2, L1)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from tftctl.audit.leakage.compare import alongside, columns_of, differing, missing_rows, not_as_stored
from tftctl.audit.leakage.effort import FUTURE_BARS, WHOLE_GROUPS, Effort
from tftctl.audit.leakage.evidence import Evidence, Stale
from tftctl.audit.leakage.features import cut_places, words
from tftctl.audit.leakage.formulas import Array, target_formulas, values_of
from tftctl.audit.leakage.pokes import poke
from tftctl.audit.leakage.variants import moving_columns, other_futures
from tftctl.audit.leakage.world import Group
from tftctl.core.names import label_end_column
from tftctl.core.records import Yardstick
from tftctl.features.definitions import TargetInstance
from tftctl.features.engine import numbers

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
    for target in targets:
        _pivots(group, target, effort.pivots, evidence)
    columns = columns_of(base, [target.column for target in targets])
    found = Evidence()
    poke(group, target_formulas(group), columns, effort, found, number)
    evidence.poked += found.poked
    for suspicion in found.suspicions:
        evidence.suspect(suspicion.column, group.name, suspicion.rows, suspicion.how, "labels", BEYOND)
    return columns


def _compare_stored(group: Group, base: pl.DataFrame, stored: pl.DataFrame, targets: list[TargetInstance],
                    evidence: Evidence) -> None:  # fmt: skip
    there = alongside(base, stored)
    if there is None:
        apart = missing_rows(base, stored)
        evidence.stale.append(Stale("targets", "timestamp", *group.name, len(apart), apart[0]))
        return
    base, stamps = there, there["timestamp"].to_numpy()
    for target in targets:
        end = label_end_column(target.column)
        if target.column not in stored.columns:
            evidence.stale.append(Stale("targets", target.column, *group.name, stored.height, int(stamps[0])))
            continue
        other = not_as_stored(base[target.column], stored[target.column])
        other |= ~base[end].eq_missing(stored[end]).to_numpy()
        if other.any():
            first = int(stamps[other][0])
            evidence.stale.append(Stale("targets", target.column, *group.name, int(other.sum()), first))


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
    after = group.recipe.labels(group.prepare(group.bars.head(cut + 1)))
    _hold(group, base, after, targets, instant, "cut off", evidence)


def _other_futures(group: Group, targets: list[TargetInstance], cuts: int, number: int, evidence: Evidence) -> None:
    """Labels that have ended at a cut stand, whatever comes after it."""
    back = max(_reach(group, target)[0].lookback + target.horizon[group.period] for target in targets)
    bars = group.bars
    for place, cut in enumerate(cut_places(bars, cuts, number)):
        low, high = max(0, cut - 2 * back - 200), min(bars.height, cut + 1 + FUTURE_BARS)
        window = bars.slice(low, high - low)
        instant = int(bars["available_at"][cut])
        before = group.recipe.labels(group.prepare(window))
        for how, changed in other_futures(window, cut - low + 1, place):
            _hold(group, before, group.recipe.labels(group.prepare(changed)), targets, instant, how, evidence)


def _hold(
    group: Group,
    before: pl.DataFrame,
    after: pl.DataFrame,
    targets: list[TargetInstance],
    instant: int,
    how: str,
    evidence: Evidence,
) -> None:
    for target in targets:
        end = label_end_column(target.column)
        done = before.filter((pl.col(end) <= instant).fill_null(False)).select("timestamp", target.column)
        again = after.select("timestamp", pl.col(target.column).alias("again"))
        both = done.join(again, on="timestamp", how="left", maintain_order="left")
        apart = differing(numbers(both[target.column]), numbers(both["again"]))
        if apart.any():
            stamps = both["timestamp"].to_numpy()[apart]
            evidence.suspect(target.column, group.name, stamps, f"{how} after {words(instant)}", "labels", BEYOND)
        if both.height and target.column not in evidence.valid and both[target.column].count():
            evidence.valid.add(target.column)


def _pivots(group: Group, target: TargetInstance, count: int, evidence: Evidence) -> None:
    """Single rows of one target: other bars before its yardstick, other columns beside it, another horizon."""
    formula = next(f for f in target_formulas(group) if f.columns == (target.column,))
    yardstick, horizon = _reach(group, target)
    stamps = group.prepared["timestamp"].to_numpy()
    for row in _rows_with_labels(group, yardstick.lookback, horizon, count):
        low = max(0, row - 2 * yardstick.lookback - 8)
        window = group.prepared.slice(low, row + horizon + 1 - low)
        at = row - low

        def value(bars: pl.DataFrame, at: int = at) -> Array:
            return values_of([formula], bars)[target.column][at : at + 1]

        own = value(window)
        start = at - yardstick.lookback + 1
        alone = values_of([formula], window.slice(start))[target.column][yardstick.lookback - 1 :][:1]
        before = {"ended before": alone} if start > 0 else {}
        before |= {how: value(changed) for how, changed in _other_pasts(window, at, yardstick)}
        for how, other in before.items():
            if np.isfinite(own).all() and differing(own, other, ROUNDING)[0] and abs(own[0] - other[0]) > ROUNDING:
                detail = f"bars at or before the row, outside {_text(yardstick)}, {how}"
                evidence.suspect(target.column, group.name, [stamps[row]], detail, "labels", OUTSIDE)
        if np.isfinite(own).all():
            evidence.tried.add(target.column)
        if any(differing(own, value(other), ROUNDING)[0] for other in _other_horizons(window, at)):
            evidence.reacting.add(target.column)


def _other_pasts(window: pl.DataFrame, at: int, yardstick: Yardstick) -> Iterator[tuple[str, pl.DataFrame]]:
    """What the label of row `at` may not read, scaled: bars before its yardstick, columns that it does not name."""
    rows = np.arange(window.height)
    where: dict[str, np.ndarray] = {}
    for name in moving_columns(window):
        if name in yardstick.columns:
            where[name] = rows <= at - yardstick.lookback
        else:
            where[name] = rows < at if name == "close" else rows <= at
    for how, factor in (("scaled up", 3.0), ("scaled down", 0.3)):
        yield (
            how,
            window.with_columns(
                pl.when(pl.Series(there)).then(pl.col(name) * factor).otherwise(name).alias(name)
                for name, there in where.items()
            ),
        )


def _other_horizons(window: pl.DataFrame, at: int) -> Iterator[pl.DataFrame]:
    """Bars after row `at` that rise, fall, swing and stand still."""
    rows = np.arange(window.height)
    moved, ahead = pl.col(moving_columns(window)), pl.Series(rows > at)
    for factors in (np.full(rows.size, 3.0), np.full(rows.size, 0.3), np.where(rows % 2, 2.0, 0.5)):
        yield window.with_columns(pl.when(ahead).then(moved * pl.Series(factors)).otherwise(moved))
    close = float(window["close"][at])
    still = dict.fromkeys(("open", "high", "low", "close"), close) | {"volume": 0.0}
    yield window.with_columns(pl.when(ahead).then(value).otherwise(name).alias(name) for name, value in still.items())


def _rows_with_labels(group: Group, lookback: int, horizon: int, count: int) -> list[int]:
    """Rows spread over the group that have all bars of yardstick and horizon in one segment, none of them filled."""
    filled, segment = (group.prepared[name].to_numpy() for name in ("is_filled", "segment"))
    size = filled.size
    rows = np.arange(lookback + 1, size - horizon - 1)
    if not rows.size:
        return []
    whole = segment[rows - lookback] == segment[rows + horizon]
    filled_before = np.concatenate(([0], np.cumsum(filled)))
    whole &= filled_before[rows + horizon + 1] == filled_before[rows - lookback]
    rows = rows[whole]
    return rows[np.unique(np.linspace(0, rows.size - 1, count).astype(int))].tolist() if rows.size else []


def _reach(group: Group, target: TargetInstance) -> tuple[Yardstick, int]:
    from tftctl.core.records import LabelSpan

    horizon = target.horizon[group.period]
    span = LabelSpan(group.period, horizon, group.recipe.calendars[group.symbol].bars_per_year(group.period))
    return target.record.yardstick(target.params, span) or Yardstick((), 1), horizon


def _text(yardstick: Yardstick) -> str:
    if not yardstick.columns:
        return "the close of the row"
    return f"the yardstick ({', '.join(yardstick.columns)}; {yardstick.lookback} bars) and the close of the row"
