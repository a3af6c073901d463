"""Checks of indicators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tftctl.core.declared import first_valid_of, follows_period, settle_of
from tftctl.core.records import Indicator, Output
from tftctl.features.engine import input_arrays, run_kernel, run_stages
from tftctl.testing import scopes
from tftctl.testing.bars import (
    MEMORY,
    Array,
    all_columns,
    changed,
    continued,
    difference,
    extra_names,
    make_bars,
    rescaled,
)
from tftctl.testing.formulas import infinities, short_segments, spoilt_inputs, still_markets
from tftctl.testing.report import Finding, malformed, run_checks

BARS_AFTER_SETTLE = 300
LATER_STARTS = (1, 7, 100)
FACTOR = 7.3
# more than the first where what is declared differs from period to period
PERIODS = ("1h", "4h", "1d")


@dataclass(frozen=True, slots=True)
class _Trial:
    """An indicator with parameters, bars of a period, long enough for it, and the columns it makes of them."""

    record: Indicator
    params: Any
    period: str
    bars: pl.DataFrame
    columns: dict[str, Array]

    def first_valid(self, output: Output) -> int:
        return first_valid_of(self.record, output, self.params, self.period)

    def settle(self, output: Output) -> int:
        return settle_of(self.record, output, self.params, self.period)

    def run(self, bars: pl.DataFrame) -> dict[str, Array]:
        return run(self.record, self.params, bars)


def check(record: Indicator, params: Any = None) -> list[Finding]:
    """See `tftctl.testing.check_indicator`."""
    problems = malformed("indicator", record)
    if problems:
        return problems
    params = record.params() if params is None else params
    if record.scope != "group":
        return scopes.check(record, params)
    periods = PERIODS if follows_period(record) else PERIODS[:1]
    found = [finding for period in periods for finding in _check_at(record, params, period)]
    return list(dict.fromkeys(found))


def _check_at(record: Indicator, params: Any, period: str) -> list[Finding]:
    """At bars of one period."""
    name = f"indicator {record.name}"
    bars = make_bars(_size(record, params, period), record.inputs(params), period=period)
    failed = run_checks(name, {"run": lambda: _runs(record, params, bars)}, {})
    if failed:
        return failed
    trial = _Trial(record, params, period, bars, run(record, params, bars))
    first = {
        "outputs": lambda: _outputs(trial),
        "short": lambda: short_segments(trial.run, trial.bars, _short_sizes(trial)),
        "pure": lambda: _pure(trial),
        "finite": lambda: _finite(trial),
    }
    then = {
        "causality": lambda: _causality(trial),
        "first_valid": lambda: _first_valid(trial),
        "settle": lambda: _settle(trial),
        "flat": lambda: _flat(trial),
        "scale": lambda: _scale(trial),
    }
    return run_checks(name, first, then)


def run(record: Indicator, params: Any, bars: pl.DataFrame) -> dict[str, Array]:
    """The declared outputs as the formula makes them: nothing is blanked."""
    with np.errstate(all="ignore"):
        if record.kernel is not None:
            made = run_kernel(record, params, input_arrays(bars, record.inputs(params)))
            return {name: values.copy() for name, values in made.items()}
        frame = _staged(record, params, bars)
        return input_arrays(frame, [output.name for output in record.outputs])


def _staged(record: Indicator, params: Any, bars: pl.DataFrame) -> pl.DataFrame:
    assert record.expr is not None
    return run_stages(bars.select(record.inputs(params)), record.expr(params))


def _size(record: Indicator, params: Any, period: str) -> int:
    lengths = [
        declared(record, output, params, period)
        for output in record.outputs
        for declared in (first_valid_of, settle_of)
    ]
    return max(*lengths, 100) + BARS_AFTER_SETTLE


def _runs(record: Indicator, params: Any, bars: pl.DataFrame) -> Iterator[str]:
    inputs = record.inputs(params)
    try:
        run(record, params, bars)
    except (KeyError, pl.exceptions.ColumnNotFoundError) as error:
        missing = str(error).splitlines()[0]
        yield f"it asks for the column {missing}, which is neither declared nor made; inputs are {', '.join(inputs)}"


def _outputs(trial: _Trial) -> Iterator[str]:
    record, inputs = trial.record, trial.record.inputs(trial.params)
    declared = {output.name for output in record.outputs}
    if record.kernel is not None:
        with np.errstate(all="ignore"):
            made = set(record.kernel(input_arrays(trial.bars, inputs), trial.params))
    else:
        made = {name for name in _staged(record, trial.params, trial.bars).columns if not name.startswith("_")}
    for name in sorted(made - declared - set(inputs)):
        yield f"it makes {name!r}, which is not declared (a helper column of expr begins with _)"
    if record.known and inputs != ("timestamp",):
        yield f"it is known in advance, but reads {', '.join(inputs)}; only the timestamp is known"


def _short_sizes(trial: _Trial) -> list[int]:
    first = max(trial.first_valid(output) for output in trial.record.outputs)
    return [max(first, 1), first + 1]


def _pure(trial: _Trial) -> Iterator[str]:
    kernel, params = trial.record.kernel, trial.params
    if kernel is not None:
        yield from spoilt_inputs(lambda columns: kernel(columns, params), trial.bars, trial.record.inputs(params))
    trial.run(make_bars(trial.bars.height, trial.bars.columns, seed=12, period=trial.period))
    for name, values in trial.run(trial.bars).items():
        if difference(trial.columns[name], values, 0.0) is not None:
            yield f"{name}: the same bars give other values when run again"


def _finite(trial: _Trial) -> Iterator[str]:
    for name, values in trial.columns.items():
        yield from infinities(name, values)


def _causality(trial: _Trial) -> Iterator[str]:
    """One finding per output: the first difference found."""
    found: dict[str, str] = {}
    for cut in _cuts(trial):
        later = np.arange(trial.bars.height) > cut
        variants = {"cutting off": trial.bars.head(cut + 1)} | changed(trial.bars, all_columns(trial.bars, later))
        for how, bars in variants.items():
            for name, values in trial.run(bars).items():
                at = difference(trial.columns[name][: cut + 1], values[: cut + 1], trial.record.tolerance)
                if at is not None:
                    found.setdefault(name, f"{name}: {how} the bars after {cut} changes bar {at}")
    size = trial.bars.height
    for how, bars in continued(trial.bars, trial.period).items():
        for name, values in trial.run(bars).items():
            at = difference(trial.columns[name], values[:size], trial.record.tolerance)
            if at is not None:
                found.setdefault(name, f"{name}: {how} bars after {size - 1} changes bar {at}")
    yield from found.values()


def _cuts(trial: _Trial) -> list[int]:
    """Bars after the first value, odd and even, in short and in long series."""
    size = trial.bars.height
    first = max(trial.first_valid(output) for output in trial.record.outputs)
    spread = np.linspace(first + 1, size - 2, 9).astype(int)
    return sorted({min(first, size - 2), *(int(cut) for cut in spread)})


def _first_valid(trial: _Trial) -> Iterator[str]:
    for output in trial.record.outputs:
        valid = np.flatnonzero(np.isfinite(trial.columns[output.name]))
        declared = trial.first_valid(output)
        if not valid.size:
            yield f"{output.name} has no value in {trial.bars.height} bars"
        elif valid[0] != declared:
            yield f"{output.name}: {declared} is declared, the first value is at bar {valid[0]}"


def _settle(trial: _Trial) -> Iterator[str]:
    found: dict[str, str] = {}
    for start in LATER_STARTS:
        later = trial.run(trial.bars.slice(start))
        for output in trial.record.outputs:
            settle = trial.settle(output)
            before, after = trial.columns[output.name][start + settle :], later[output.name][settle:]
            at = None if settle < 0 else difference(before, after, MEMORY)
            if at is not None:
                text = f"{output.name}: {settle} bars are declared, but bar {settle + at} still knows the start"
                found.setdefault(output.name, f"{text} (series that begin {start} bars apart)")
    yield from found.values()


def _flat(trial: _Trial) -> Iterator[str]:
    for where, bars in still_markets(trial.bars).items():
        for name, values in trial.run(bars).items():
            yield from infinities(name, values, where)


def _scale(trial: _Trial) -> Iterator[str]:
    """Extra columns have a scale that the record does not know: any that makes the output free will do."""
    extras = extra_names(trial.record.inputs(trial.params))
    runs = [
        trial.run(rescaled(trial.bars, FACTOR, scale)) for scale in ("free", "price", "volume")[: 3 if extras else 1]
    ]
    for output in trial.record.outputs:
        before = trial.columns[output.name]
        if output.scale == "free" and all(difference(before, made[output.name], MEMORY) is not None for made in runs):
            at = difference(before, runs[0][output.name], MEMORY)
            yield f"{output.name} is declared free, but prices x {FACTOR}, volumes / {FACTOR} change bar {at}"
