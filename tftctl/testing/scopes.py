"""Checks of indicators that see more than one group: cross-sections and fused rows (SEMANTICS F7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tftctl.core.declared import declared_bars, settle_of
from tftctl.core.records import Indicator
from tftctl.testing.bars import ADDED_BARS, MEMORY, Array, difference
from tftctl.testing.report import Finding, run_checks

SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE")
CONTEXTS = ("4h", "1d")
INSTANTS = 240
PERIOD = "1h"

Columns = Mapping[str, Array]
Run = Callable[[Columns], dict[str, Array]]


def check(record: Indicator, params: Any) -> list[Finding]:
    """See `tftctl.testing.check_indicator`; the checks of one symbol's bars are replaced by those of a panel."""
    columns, run = _panel(record, params) if record.scope == "cross_section" else _rows(record, params)
    name = f"indicator {record.name}"
    first = {
        "run": lambda: _runs(run, columns),
        "outputs": lambda: _outputs(record, run, columns),
        "pure": lambda: _pure(run, columns),
        "finite": lambda: _finite(run, columns),
    }
    if record.scope == "cross_section":
        then = {
            "causality": lambda: _causality(record, run, columns),
            "settle": lambda: _settle(record, params, run, columns),
            "symbols": lambda: _symbols(run, columns),
        }
    else:
        then = {"rows": lambda: _row_by_row(run, columns)}
    return run_checks(name, first, then)


def _panel(record: Indicator, params: Any) -> tuple[Columns, Run]:
    """Returns of a market with late listings and missing bars, (instants, symbols), NaN where there is no bar."""
    rng = np.random.default_rng(5)
    size = max(INSTANTS, 2 * declared_bars(record.settle, params, PERIOD) + 60)
    made: dict[str, Array] = {}
    missing = rng.random((size, len(SYMBOLS))) < 0.05
    missing[: size // 6, -1] = True
    for name in record.inputs(params):
        values = 0.01 * (rng.standard_normal((size, 1)) + rng.standard_normal((size, len(SYMBOLS))))
        made[name] = np.where(missing, np.nan, values)
    assert record.kernel is not None
    kernel = record.kernel
    return made, lambda columns: dict(kernel(columns, params, SYMBOLS))


def _rows(record: Indicator, params: Any) -> tuple[Columns, Run]:
    """Fused rows with context columns, some of them missing."""
    rng = np.random.default_rng(6)
    names = [seen for name in record.inputs(params) for seen in (name, *(f"{name}__{q}" for q in CONTEXTS))]
    made = {name: np.where(rng.random(INSTANTS) < 0.1, np.nan, rng.standard_normal(INSTANTS)) for name in names}
    assert record.kernel is not None
    kernel = record.kernel
    return made, lambda columns: dict(kernel(columns, params))


def _copied(columns: Columns) -> dict[str, Array]:
    return {name: values.copy() for name, values in columns.items()}


def _runs(run: Run, columns: Columns) -> Iterator[str]:
    try:
        run(_copied(columns))
    except KeyError as error:
        yield f"it asks for the column {error}, which is not declared; inputs are {', '.join(columns)}"


def _outputs(record: Indicator, run: Run, columns: Columns) -> Iterator[str]:
    made = run(_copied(columns))
    shape = next(iter(columns.values())).shape
    for output in record.outputs:
        values = made.get(output.name)
        if values is None or np.shape(values) != shape:
            yield f"{output.name} has the shape {None if values is None else np.shape(values)}, not {shape}"
    for name in sorted(made.keys() - {output.name for output in record.outputs}):
        yield f"it makes {name!r}, which is not declared"


def _pure(run: Run, columns: Columns) -> Iterator[str]:
    given = _copied(columns)
    before = run(given)
    for name, values in columns.items():
        if not np.array_equal(values, given[name], equal_nan=True):
            yield f"it writes into its input {name}"
    run({name: values * 2 for name, values in columns.items()})
    for name, values in run(_copied(columns)).items():
        if not np.array_equal(values, before[name], equal_nan=True):
            yield f"{name}: the same input gives other values when run again"


def _finite(run: Run, columns: Columns) -> Iterator[str]:
    for where, given in {"": columns, " where nothing moves": {k: v * 0 for k, v in columns.items()}}.items():
        with np.errstate(all="ignore"):
            for name, values in run(_copied(given)).items():
                if np.isinf(values).any():
                    yield f"{name} is infinite{where}"


def _causality(record: Indicator, run: Run, columns: Columns) -> Iterator[str]:
    """Later instants are cut off, scaled and shuffled; one finding per output."""
    whole = run(_copied(columns))
    size = next(iter(columns.values())).shape[0]
    order = np.random.default_rng(7).permutation(size)
    found: dict[str, str] = {}
    for cut in np.linspace(3, size - 2, 12).astype(int):
        later = (np.arange(size) > cut)[:, None]
        variants = {
            "cutting off": {name: values[: cut + 1] for name, values in columns.items()},
            "scaling": {name: np.where(later, 3 * values, values) for name, values in columns.items()},
            "shuffling": {name: np.where(later, values[order], values) for name, values in columns.items()},
        }
        for how, given in variants.items():
            for name, values in run(_copied(given)).items():
                at = difference(whole[name][: cut + 1].ravel(), values[: cut + 1].ravel(), record.tolerance)
                if at is not None:
                    found.setdefault(name, f"{name}: {how} the instants after {cut} changes an earlier one")
    for how, more in _continued(columns).items():
        for name, values in run(more).items():
            if difference(whole[name].ravel(), values[:size].ravel(), record.tolerance) is not None:
                found.setdefault(name, f"{name}: {how} instants after {size - 1} changes an earlier one")
    yield from found.values()


def _continued(columns: Columns) -> dict[str, Columns]:
    """With many more instants after them, of values that are small beside those before, and large."""
    rng = np.random.default_rng(14)
    more = rng.standard_normal((ADDED_BARS, len(SYMBOLS)))
    return {
        f"adding {ADDED_BARS} {word}": {
            name: np.concatenate([values, factor * np.nanstd(values) * more]) for name, values in columns.items()
        }
        for word, factor in (("calm", 1e-3), ("wild", 1e3))
    }


def _settle(record: Indicator, params: Any, run: Run, columns: Columns) -> Iterator[str]:
    whole = run(_copied(columns))
    for output in record.outputs:
        settle = settle_of(record, output, params, PERIOD)
        if settle < 0:
            yield f"{output.name}: a cross-section has to forget; declare how many instants before still matter"
            continue
        for start in (1, 7, 50):
            later = run({name: values[start:].copy() for name, values in columns.items()})
            before, after = whole[output.name][start + settle :], later[output.name][settle:]
            if difference(before.ravel(), after.ravel()) is not None:
                yield f"{output.name}: {settle} instants are declared, but later ones still know the start"
                break


def _symbols(run: Run, columns: Columns) -> Iterator[str]:
    """Values follow the symbols: all inputs in another order give the outputs in that order (names stay)."""
    order = np.roll(np.arange(len(SYMBOLS)), 1)
    whole = run(_copied(columns))
    turned = run({name: np.ascontiguousarray(values[:, order]) for name, values in columns.items()})
    for name, values in whole.items():
        if difference(values[:, order].ravel(), turned[name].ravel(), MEMORY) is not None:
            yield f"{name} depends on the order of the symbols"


def _row_by_row(run: Run, columns: Columns) -> Iterator[str]:
    whole = run(_copied(columns))
    size = next(iter(columns.values())).size
    for row in (0, size // 2, size - 1):
        alone = run({name: values[row : row + 1].copy() for name, values in columns.items()})
        for name, values in alone.items():
            if difference(whole[name][row : row + 1], values, 0.0) is not None:
                yield f"{name}: row {row} alone gives another value than among the others"
