"""Checks of targets (SEMANTICS L1, A2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tftctl.core.periods import period_ms
from tftctl.core.records import LabelSpan, Target, Yardstick
from tftctl.features.engine import input_arrays, run_stages
from tftctl.testing.bars import Array, Mask, all_columns, changed, continued, difference, make_bars
from tftctl.testing.formulas import infinities, short_segments, spoilt_inputs, still_markets
from tftctl.testing.report import Finding, malformed, run_checks

PERIODS = ("1h", "4h", "1d")
PIVOTS = 16
SPARE_BARS = 200
EARLIER_ENDS = 8


@dataclass(frozen=True, slots=True)
class _Trial:
    """A target with parameters at one period, bars long enough for it, and their labels."""

    record: Target
    params: Any
    span: LabelSpan
    bars: pl.DataFrame
    label: Array

    def run(self, bars: pl.DataFrame) -> Array:
        return run(self.record, self.params, self.span, bars)

    @property
    def yardstick(self) -> Yardstick:
        """None is a yardstick of nothing."""
        return self.record.yardstick(self.params, self.span) or Yardstick((), 1)

    def pivots(self) -> list[int]:
        """Rows with a label, spread over all."""
        rows = np.flatnonzero(np.isfinite(self.label[: -self.span.horizon]))
        return sorted({int(rows[i]) for i in np.linspace(0, rows.size - 1, PIVOTS).astype(int)}) if rows.size else []


def check(record: Target, params: Any = None) -> list[Finding]:
    """See `tftctl.testing.check_target`."""
    problems = malformed("target", record)
    if problems:
        return problems
    params = record.params() if params is None else params
    found = [finding for span in _spans(record) for finding in _check_at(record, params, span)]
    return list(dict.fromkeys(found))


def run(record: Target, params: Any, span: LabelSpan, bars: pl.DataFrame) -> Array:
    """Labels as the formula makes them: float64 (bars,), nothing is blanked."""
    with np.errstate(all="ignore"):
        if record.kernel is not None:
            return np.array(record.kernel(input_arrays(bars, record.inputs), params, span), dtype=np.float64)
        assert record.expr is not None
        made = run_stages(bars.select(record.inputs), record.expr(params, span))
        return input_arrays(made, ["label"])["label"]


def _spans(record: Target) -> list[LabelSpan]:
    """One span per different horizon."""
    periods = [*PERIODS, *(period for period in record.horizon if period != "*" and period not in PERIODS)]
    by_horizon = {horizon: period for period in reversed(periods) if (horizon := record.horizon_for(period))}
    return [LabelSpan(period, horizon, _bars_per_year(period)) for horizon, period in by_horizon.items()]


def _bars_per_year(period: str) -> int:
    return 365 * period_ms("1d") // period_ms(period)


def _check_at(record: Target, params: Any, span: LabelSpan) -> list[Finding]:
    name = f"target {record.name}"
    first = {"yardstick": lambda: _yardstick(record, params, span)}
    bars = make_bars(3 * span.horizon + SPARE_BARS, record.inputs, period=span.period)
    failed = run_checks(name, first, {"run": lambda: _runs(record, params, span, bars)})
    if failed:
        return failed
    lookback = _Trial(record, params, span, bars, np.empty(0)).yardstick.lookback
    bars = make_bars(bars.height + lookback, record.inputs, period=span.period)
    trial = _Trial(record, params, span, bars, run(record, params, span, bars))
    basic = {
        "short": lambda: short_segments(trial.run, trial.bars, (span.horizon, span.horizon + 1)),
        "pure": lambda: _pure(trial),
        "finite": lambda: infinities("the label", trial.label),
        "values": lambda: _values(trial),
        "end": lambda: _end(trial),
        "conventions": lambda: _conventions(trial),
    }
    reading = {
        "flat": lambda: _flat(trial),
        "future": lambda: _future(trial),
        "past": lambda: _past(trial),
        "reach": lambda: _reach(trial),
    }
    return run_checks(name, basic, reading)


def _yardstick(record: Target, params: Any, span: LabelSpan) -> Iterator[str]:
    yardstick: Any = record.yardstick(params, span)
    if yardstick is None:
        return
    if not isinstance(yardstick, Yardstick):
        yield f"yardstick(params, span) returns {yardstick!r}, not a Yardstick or None"
        return
    if yardstick.lookback < 1:
        yield f"lookback is {yardstick.lookback}; bar t itself is 1"
    for name in sorted(set(yardstick.columns) - set(record.inputs)):
        yield f"it names {name!r}, which is not among the inputs"


def _runs(record: Target, params: Any, span: LabelSpan, bars: pl.DataFrame) -> Iterator[str]:
    shape = run(record, params, span, bars).shape
    if shape != (bars.height,):
        yield f"it returns labels of shape {shape} for {bars.height} bars"


def _pure(trial: _Trial) -> Iterator[str]:
    kernel, params, span = trial.record.kernel, trial.params, trial.span
    if kernel is not None:
        yield from spoilt_inputs(lambda columns: kernel(columns, params, span), trial.bars, trial.record.inputs)
    trial.run(make_bars(trial.bars.height, trial.record.inputs, seed=12))
    if difference(trial.label, trial.run(trial.bars), 0.0) is not None:
        yield "the same bars give other labels when run again"


def _values(trial: _Trial) -> Iterator[str]:
    values = trial.label[np.isfinite(trial.label)]
    if not values.size:
        yield f"no row of {trial.bars.height} has a label"
    wrong = values[(values != 0) & (values != 1)]
    if trial.record.kind == "binary" and wrong.size:
        yield f"a binary label is 0, 1 or NaN, not {wrong[0]:g}"


def _conventions(trial: _Trial) -> Iterator[str]:
    """What the target says of ties and of the order inside a bar (L3)."""
    record, size = trial.record, trial.bars.height
    for name in ("ties", "inside_bar"):
        says = getattr(record, name)
        if says is not None:
            with np.errstate(all="ignore"):
                rows = np.asarray(says(input_arrays(trial.bars, record.inputs), trial.params, trial.span))
            if rows.shape != (size,) or rows.dtype != bool:
                yield f"{name} returns {rows.dtype} of shape {rows.shape} for {size} bars, not truth values"


def _end(trial: _Trial) -> Iterator[str]:
    """Also where the last bars decide the label early, as a barrier that is hit does (L1)."""
    horizon, size = trial.span.horizon, trial.bars.height
    last = all_columns(trial.bars, np.arange(size) == size - 1)
    for bars in (trial.bars, *(trial.bars.head(size - gone) for gone in range(1, EARLIER_ENDS)),
                 *changed(trial.bars, last).values()):  # fmt: skip
        early = np.count_nonzero(np.isfinite(trial.run(bars)[-horizon:]))
        if early:
            yield f"{early} of the last {horizon} rows have a label, though their horizon is not complete"
            return


def _flat(trial: _Trial) -> Iterator[str]:
    for where, bars in still_markets(trial.bars).items():
        yield from infinities("the label", trial.run(bars), where)


def _future(trial: _Trial) -> Iterator[str]:
    index = np.arange(trial.bars.height)
    for t in trial.pivots():
        end = t + trial.span.horizon
        variants = {"cutting off": trial.bars.head(end + 1)}
        variants |= changed(trial.bars, all_columns(trial.bars, index > end))
        for how, bars in variants.items():
            if _moved(trial, t, trial.run(bars)[t]):
                yield f"{how} the bars after t+{trial.span.horizon} changes the label of row {t}"
                return
    known = trial.bars.height - trial.span.horizon
    for how, bars in continued(trial.bars, trial.span.period).items():
        at = difference(trial.label[:known], trial.run(bars)[:known])
        if at is not None:
            yield f"{how} bars after t+{trial.span.horizon} changes the label of row {at}"
            return


def _past(trial: _Trial) -> Iterator[str]:
    for t in trial.pivots():
        start = t - trial.yardstick.lookback + 1
        for how, bars in changed(trial.bars, _outside(trial, t)).items():
            if _moved(trial, t, trial.run(bars)[t]):
                yield f"{how} bars at or before t, outside {_allowed(trial)}, changes the label of row {t}"
                return
        if start > 0 and _moved(trial, t, trial.run(trial.bars.slice(start))[t - start]):
            yield f"the label of row {t} changes when the series begins with the first bar of {_allowed(trial)}"
            return


def _outside(trial: _Trial, t: int) -> dict[str, Mask]:
    """Values at or before t that the label of t may not read."""
    index, yardstick = np.arange(trial.bars.height), trial.yardstick
    past = all_columns(trial.bars, index <= t)
    for name in past:
        if name in yardstick.columns:
            past[name] = index <= t - yardstick.lookback
        elif name == "close":
            past[name] = index < t
    return past


def _allowed(trial: _Trial) -> str:
    yardstick = trial.yardstick
    if not yardstick.columns:
        return "the close of t (no yardstick is declared)"
    return f"the yardstick ({', '.join(yardstick.columns)}; {yardstick.lookback} bars) and the close of t"


def _reach(trial: _Trial) -> Iterator[str]:
    index, horizon = np.arange(trial.bars.height), trial.span.horizon
    for t in trial.pivots():
        ahead = all_columns(trial.bars, (index > t) & (index <= t + horizon))
        if any(_moved(trial, t, trial.run(bars)[t]) for bars in changed(trial.bars, ahead).values()):
            return
    yield f"no change of the bars t+1..t+{horizon} changes any label"


def _moved(trial: _Trial, t: int, value: float) -> bool:
    """Rounding of rolling sums apart."""
    row = trial.label.copy()
    row[t] = value
    return difference(trial.label, row) is not None
