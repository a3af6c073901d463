"""What can be said about a plugin's record without running its formula."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from pydantic import ValidationError

from tftctl.core.declared import ANY_PERIOD, asks_period
from tftctl.core.errors import TftctlError
from tftctl.core.names import TARGET_PREFIX, name_problem
from tftctl.core.periods import parse_period
from tftctl.core.records import (
    CrossSectionParams,
    Direction,
    Indicator,
    Kind,
    Loss,
    Metric,
    Output,
    Params,
    Scale,
    Scope,
    Source,
    Target,
)

KINDS: frozenset[str] = frozenset(get_args(Kind))
SCALES: frozenset[str] = frozenset(get_args(Scale))
SCOPES: frozenset[str] = frozenset(get_args(Scope))
DIRECTIONS: tuple[str, ...] = get_args(Direction)
MAX_TOLERANCE = 1e-9

# the word for a kind of record in messages, and its plural
RECORDS: dict[str, type] = {
    "indicator": Indicator,
    "target": Target,
    "loss": Loss,
    "metric": Metric,
    "source": Source,
}


def plural(word: str) -> str:
    """indicators, targets, losses, ..."""
    return "losses" if word == "loss" else f"{word}s"


def record_problems(word: str, record: Any) -> list[str]:
    """Everything wrong with a record of that kind; empty when it can be registered."""
    if not isinstance(record, RECORDS[word]):
        return [f"a {type(record).__name__} was given, not {_article(word)}"]
    name: Any = getattr(record, "name", None)
    if not isinstance(name, str):
        return [f"the name of {_article(word)} is {name!r}, not a string"]
    return [f"{word} {name!r}: {text}" for text in _guarded(_CHECKS[word](record))]


def _guarded(texts: Iterator[str]) -> Iterator[str]:
    """A field of a type that no check expected ends the checks; it does not hide what they found before."""
    try:
        yield from texts
    except Exception as error:  # noqa: BLE001 - the guest's own fields; the text goes into the list of plugins
        yield f"a field is of a wrong type: {type(error).__name__}: {error}"


def _article(word: str) -> str:
    kind = RECORDS[word].__name__
    return f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}"


def _indicator(record: Any) -> Iterator[str]:
    yield from _name(record.name, is_target=False)
    outputs = record.outputs
    if not _is_tuple_of(Output, outputs):
        yield "outputs must be a non-empty tuple of Output"
        return
    for output in outputs:
        yield from _name(output.name, is_target=False)
        if output.scale not in SCALES:
            yield f"scale of {output.name!r} is {output.scale!r}, not one of {', '.join(sorted(SCALES))}"
    if len({output.name for output in outputs}) < len(outputs):
        yield "two outputs have one name"
    if not (_is_number(record.tolerance) and 0 <= record.tolerance <= MAX_TOLERANCE):
        yield f"tolerance is {record.tolerance!r}, not a number of at most {MAX_TOLERANCE:g}"
    if not isinstance(record.known, bool):
        yield f"known is {record.known!r}, not True or False"
    yield from _revision(record.revision)
    yield from _formula(record)
    yield from _scope(record)
    yield from _defaults(record, ("inputs", "first_valid", "settle"))


def _scope(record: Any) -> Iterator[str]:
    if record.scope not in SCOPES:
        yield f"scope is {record.scope!r}, not one of {', '.join(sorted(SCOPES))}"
    elif record.scope != "group" and record.kernel is None:
        yield f"scope {record.scope} needs a kernel"
    elif record.scope != "group" and record.known:
        yield f"scope {record.scope} cannot be known in advance"
    if record.scope == "cross_section" and not (
        isinstance(record.params, type) and issubclass(record.params, CrossSectionParams)
    ):
        yield "scope cross_section needs params that derive from CrossSectionParams"


def _target(record: Any) -> Iterator[str]:
    yield from _name(record.name, is_target=True)
    if record.kind not in KINDS:
        yield f"kind is {record.kind!r}, not one of {', '.join(sorted(KINDS))}"
    if not _is_horizon(record.horizon):
        yield 'horizon must map periods like 1h (or "*") to numbers of bars of at least 1'
    if not _are_names(record.inputs):
        yield "inputs must be a tuple of column names"
    if not callable(record.yardstick):
        yield "yardstick must be a function of the parameters and the span"
    for name in ("ties", "inside_bar"):
        if not (getattr(record, name) is None or callable(getattr(record, name))):
            yield f"{name} must be a function of the columns, the parameters and the span, or None"
    if record.tail not in ("fat", "normal"):
        yield f"tail is {record.tail!r}, not fat or normal"
    if not (record.loss is None or isinstance(record.loss, str)):
        yield f"loss is {record.loss!r}, not the name of a loss"
    yield from _revision(record.revision)
    yield from _formula(record)
    yield from _defaults(record, ())


def _loss(record: Any) -> Iterator[str]:
    yield from _plain_name(record.name)
    yield from _kinds(record.kinds)
    yield from _factory(record.factory)
    if not callable(record.outputs):
        yield "outputs must be a function of the options"
    if not callable(record.levels):
        yield "levels must be a function of the options"
    if not isinstance(record.likelihood, bool):
        yield f"likelihood is {record.likelihood!r}, not True or False"


def _metric(record: Any) -> Iterator[str]:
    yield from _plain_name(record.name)
    yield from _kinds(record.kinds)
    yield from _factory(record.factory)
    if record.direction not in DIRECTIONS:
        yield f"direction is {record.direction!r}, not {', '.join(DIRECTIONS)}"
    if not isinstance(record.needs_levels, bool):
        yield f"needs_levels is {record.needs_levels!r}, not True or False"
    if record.direction == "nominal" and record.needs_levels is False:
        yield "direction nominal is for metrics of quantiles: it needs needs_levels=True"
    upper = math.inf if record.upper is None else record.upper
    if not all(_is_number(value) for value in (record.lower, upper, record.no_skill)):
        yield f"lower, upper and no_skill are {record.lower!r}, {record.upper!r} and {record.no_skill!r}, not numbers"
        return
    if not record.lower < upper:
        yield f"its range {record.lower} .. {upper} is empty"
    if not record.lower <= record.no_skill <= upper:
        yield f"no_skill {record.no_skill} lies outside its range {record.lower} .. {upper}"


def _source(record: Any) -> Iterator[str]:
    yield from _plain_name(record.name)
    if record.provides not in ("bars", "macro"):
        yield f"provides is {record.provides!r}, not bars or macro"
    if not callable(record.fetch):
        yield "fetch must be a function of the parameters"
    yield from _defaults(record, ())


_CHECKS: dict[str, Callable[[Any], Iterator[str]]] = {
    "indicator": _indicator,
    "target": _target,
    "loss": _loss,
    "metric": _metric,
    "source": _source,
}


def _name(name: Any, *, is_target: bool) -> Iterator[str]:
    problem = name_problem(name) if isinstance(name, str) else "it is not a string"
    if problem:
        yield f"the name {name!r} cannot be used: {problem}"
    elif name.startswith(TARGET_PREFIX) != is_target:
        yield f"the name {name!r} cannot be used: exactly the targets begin with {TARGET_PREFIX!r}"


def _plain_name(name: str) -> Iterator[str]:
    """Losses, metrics and sources are no columns: `huber` may be a PyTorch attribute."""
    if not name.isidentifier() or name != name.lower():
        yield "use lower-case letters, digits and underscores, beginning with a letter"


def _formula(record: Indicator | Target) -> Iterator[str]:
    if (record.kernel is None) == (record.expr is None):
        yield "it needs exactly one of kernel and expr"
    elif not callable(record.kernel or record.expr):
        yield "its kernel or expr is no function"


def _defaults(record: Indicator | Target | Source, functions: tuple[str, ...]) -> Iterator[str]:
    """The default parameters must exist, and what depends on them must answer."""
    if not _is_params(record.params):
        yield "params must be a subclass of Params"
        return
    try:
        params = record.params()
        answers = {name: _answer(getattr(record, name), name, params) for name in functions}
    except Exception as error:  # noqa: BLE001 - the guest's own code; the text goes into the list of plugins
        yield f"its defaults do not work: {_cause(error)}"
        return
    if "inputs" in answers and not _are_names(answers["inputs"]):
        yield "inputs(params) must return a tuple of column names"
    for name, least in (("first_valid", 0), ("settle", -1)):
        if name in answers and not _is_whole(answers[name], least):
            yield f"{name}(params) returns {answers[name]!r}, not a number of bars of at least {least}"
        yield from _output_bars(record, params, name, least)


def _answer(function: Callable[..., Any], name: str, params: Any) -> Any:
    """What it returns; where it asks for the period, the worst over several."""
    if name == "inputs" or not asks_period(function):
        return function(params)
    answers = [function(params, period) for period in ANY_PERIOD]
    wrong = [answer for answer in answers if not _is_whole(answer, -1)]
    return wrong[0] if wrong else min(answers)


def _cause(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors())
    return f"{type(error).__name__}: {error}"


def _output_bars(record: Any, params: Any, name: str, least: int) -> Iterator[str]:
    """What an output says in place of its indicator."""
    for output in getattr(record, "outputs", ()) if isinstance(record, Indicator) else ():
        function = getattr(output, name)
        if function is not None and not (callable(function) and _is_whole(_answer(function, name, params), least)):
            yield f"{name} of {output.name!r} must be a function that returns a number of bars of at least {least}"


def _kinds(kinds: Any) -> Iterator[str]:
    if not isinstance(kinds, tuple) or not kinds or not set(kinds) <= KINDS:
        yield f"kinds must be a tuple of {' and '.join(sorted(KINDS))}"


def _factory(factory: Any) -> Iterator[str]:
    if isinstance(factory, str):
        if factory.count(":") != 1:
            yield f"factory {factory!r} is no import string like package.module:name"
    elif not callable(factory):
        yield "factory must be a function or an import string"


def _is_params(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, Params)


def _is_tuple_of(kind: type, values: Any) -> bool:
    return isinstance(values, tuple) and bool(values) and all(isinstance(value, kind) for value in values)


def _is_horizon(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(_is_period(period) and _is_count(bars)
                                                              for period, bars in value.items())  # fmt: skip


def _is_period(value: Any) -> bool:
    """Periods as the tables have them: 60m is 1h there."""
    try:
        return value == "*" or parse_period(value) == value
    except (TftctlError, TypeError, AttributeError):
        return False


def _is_count(value: Any) -> bool:
    return _is_whole(value, 1)


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _revision(value: Any) -> Iterator[str]:
    if not _is_whole(value, 1):
        yield f"revision is {value!r}, not a whole number of at least 1"


def _are_names(names: Any) -> bool:
    return _is_tuple_of(str, names)
