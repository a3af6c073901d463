"""Checks of metrics: the best end, the range, and the order of rows."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tftctl.core.records import Kind, Metric, MetricInput
from tftctl.plugins import resolve
from tftctl.testing.bars import START_MS, Array
from tftctl.testing.report import Finding, malformed, run_checks

SYMBOLS, INSTANTS = 8, 60
BAR_MS = 3_600_000
LEVELS = (0.1, 0.5, 0.9)
SLACK = 1e-9
NEAR = 0.01


@dataclass(frozen=True, slots=True)
class _Trial:
    """A metric of one kind and forecasts of one truth, by name."""

    record: Metric
    score: Callable[[MetricInput], float]
    forecasts: dict[str, MetricInput]


def check(record: Metric) -> list[Finding]:
    """See `tftctl.testing.check_metric`."""
    problems = malformed("metric", record)
    if problems:
        return problems
    failed = run_checks(f"metric {record.name}", {"factory": lambda: _factory(record)}, {})
    return failed or [finding for kind in record.kinds for finding in _check(record, kind)]


def forecasts(kind: Kind) -> dict[str, MetricInput]:
    """Perfect, noisy, worthless and constant forecasts of 8 symbols at 60 instants; noisy ones have skill.

    A regression head forecasts quantiles beside its point: the perfect one the truth itself at every level, the
    constant one the quantiles of all truths, the others a band around their point.
    """
    rng = np.random.default_rng(11)
    size = SYMBOLS * INSTANTS
    truth = rng.standard_normal(size)
    noise = rng.standard_normal(size)
    if kind == "binary":
        truth = (truth > 0.2).astype(np.float64)
        noisy, worthless = 0.25 + 0.5 * truth + 0.2 * np.tanh(noise), 0.5 + 0.4 * np.tanh(noise)
    else:
        noisy, worthless = 0.6 * truth + 0.5 * noise, 0.1 * noise
    constant = np.full(size, np.round(truth.mean() * 64) / 64)  # a binary fraction: its deviation is exactly 0
    made = {"perfect": truth, "noisy": noisy, "worthless": worthless, "constant": constant}
    scored = {name: _scored(kind, prediction, truth) for name, prediction in made.items()}
    return scored if kind == "binary" else {name: _with_quantiles(name, entry) for name, entry in scored.items()}


def _scored(kind: Kind, prediction: Array, truth: Array) -> MetricInput:
    unit = 1.0 if kind == "binary" else 0.02
    instants = np.repeat(START_MS + BAR_MS * np.arange(INSTANTS), SYMBOLS)
    symbols = np.tile([f"S{number}" for number in range(SYMBOLS)], INSTANTS)
    return MetricInput(
        prediction, truth, prediction * unit, truth * unit, 0.5, instants, symbols, label_end=instants + BAR_MS
    )


def _with_quantiles(name: str, scored: MetricInput) -> MetricInput:
    band = {"perfect": np.zeros(3), "constant": np.quantile(scored.truth, LEVELS) - scored.prediction[0]}
    around = band.get(name, np.array([-0.4, 0.0, 0.4]))
    return replace(scored, levels=LEVELS, quantiles=scored.prediction[:, None] + around)


def _check(record: Metric, kind: Kind) -> list[Finding]:
    trial = _Trial(record, resolve(record.factory)(), forecasts(kind))
    checks = {
        "range": lambda: _range(trial),
        "best": lambda: _best(trial),
        "order": lambda: _order(trial),
        "one_class": lambda: _one_class(trial),
    }
    return run_checks(f"metric {record.name}", {}, checks)


def _factory(record: Metric) -> Iterator[str]:
    if not callable(made := resolve(record.factory)()):
        yield f"it makes a {type(made).__name__}, not a function of a MetricInput"


def _range(trial: _Trial) -> Iterator[str]:
    lower, upper = trial.record.lower, math.inf if trial.record.upper is None else trial.record.upper
    for name, scored in trial.forecasts.items():
        value = trial.score(scored)
        if not _is_number(value):
            yield f"the {name} forecast scores {reprlib.repr(value)}, which is not a float"
        elif math.isnan(value):
            yield f"the {name} forecast scores NaN, though every class is there"
        elif not lower - SLACK <= value <= upper + SLACK:
            yield f"the {name} forecast scores {value:.6g}, outside {lower:g} .. {upper:g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int | np.floating) and not isinstance(value, bool)


def _best(trial: _Trial) -> Iterator[str]:
    record = trial.record
    if record.direction == "nominal":
        yield from _nominal(trial)
        return
    end = record.upper if record.direction == "higher" else record.lower
    values = {name: trial.score(scored) for name, scored in trial.forecasts.items()}
    perfect = values.pop("perfect")
    if end is not None and not abs(perfect - end) <= SLACK:
        yield f"the perfect forecast scores {perfect:.6g}, not {end:g}, where {record.direction} is better"
    for name, value in values.items():
        beaten = value > perfect + SLACK if record.direction == "higher" else value < perfect - SLACK
        if beaten:
            yield f"the {name} forecast scores {value:.6g}, better than the perfect one, {perfect:.6g}"


def _nominal(trial: _Trial) -> Iterator[str]:
    """The quantiles of all truths hold what their levels promise, and a band that is too narrow holds less."""
    promised = LEVELS[-1] - LEVELS[0]
    found = {name: trial.score(trial.forecasts[name]) for name in ("constant", "worthless")}
    if not abs(found["constant"] - promised) <= NEAR:
        yield f"the quantiles of all truths score {found['constant']:.6g}, not {promised:g}"
    elif not abs(found["worthless"] - promised) > NEAR:
        yield f"a band that is too narrow scores {found['worthless']:.6g}, as near to {promised:g}"


def _order(trial: _Trial) -> Iterator[str]:
    scored = trial.forecasts["noisy"]
    order = np.random.default_rng(7).permutation(scored.truth.size)
    before, after = trial.score(scored), trial.score(_rows(scored, order))
    if not (math.isclose(before, after, rel_tol=SLACK, abs_tol=SLACK) or (math.isnan(before) and math.isnan(after))):
        yield f"it scores {before:.9g}, and {after:.9g} for the same rows in another order"


def _rows(scored: MetricInput, order: Any) -> MetricInput:
    names = ("prediction", "truth", "prediction_raw", "truth_raw", "available_at", "symbol", "label_end")
    changed = {name: getattr(scored, name)[order] for name in names}
    return replace(scored, **changed, quantiles=None if scored.quantiles is None else scored.quantiles[order])


def _one_class(trial: _Trial) -> Iterator[str]:
    for value in (0.0, 1.0):
        same = np.full(SYMBOLS * INSTANTS, value)
        score = trial.score(replace(trial.forecasts["noisy"], truth=same, truth_raw=same))
        if math.isinf(score):
            yield f"it is infinite when every truth is {value:g}; return NaN where the data leave it undefined"
