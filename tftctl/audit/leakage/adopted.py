"""A fused table that was made elsewhere: nothing can be recomputed, but what is plainly the future can be seen.

Context columns are joined again from the table's own slower rows; the other columns are held against the labels, and
against what later bars, windows around a row and statistics of everything would give. The rest is NOT PROVEN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import polars as pl

from tftctl.audit.findings import Audit, Finding
from tftctl.audit.leakage import judge
from tftctl.audit.leakage.classes import ALL_DATA, CENTRED, LABEL, SHIFT, label_twin
from tftctl.audit.leakage.compare import Array
from tftctl.audit.leakage.contexts import context_joins, first_of_each, judge_join
from tftctl.audit.leakage.evidence import Evidence
from tftctl.core.names import BAR_COLUMNS
from tftctl.core.progress import Report, silent
from tftctl.core.verdicts import worst
from tftctl.features.engine import numbers
from tftctl.features.reading import by_symbol
from tftctl.store import Snapshot

Index = npt.NDArray[np.int64]

AHEAD = range(1, 25)
WINDOWS = range(3, 52, 2)
LEAST_ROWS, SAMPLE = 50, 200
SAME, CLOSE = 0.99, 1e-5  # share of the rows, and relative difference, from which on a column is another one
CHECKS = ("fusion", "features")
CHECKED = (
    "context columns are what DuckDB's ASOF join on available_at gives of the table's own slower rows",
    "no column is a label, a later bar, a return to one, a mean around its row, or bars standardised by everything",
)


def audit_adopted(snapshot: Snapshot, report: Report = silent) -> Audit:
    """Audit an adopted fused table."""
    columns: Mapping[str, Mapping[str, object]] = snapshot.meta("fused").get("columns", {})
    names = [name for name, entry in columns.items() if entry["role"] not in ("bar", "age")]
    groups = [(period, symbol) for period in snapshot.periods("fused") for symbol in snapshot.symbols("fused", period)]
    evidence = Evidence()
    late: list[Finding] = []
    for done, (period, symbol) in enumerate(groups, 1):
        rows = by_symbol(snapshot, "fused", period, [symbol])[symbol]
        labels = _labels(snapshot, period, symbol)
        for slow, join in context_joins(snapshot, rows, (symbol, period), columns):
            late += judge_join(slow, join, labels, evidence)
        for name in names:
            found = seen_future(numbers(rows[name]), rows, labels)
            if found is not None:
                stamps = rows["timestamp"].to_numpy()[np.isfinite(numbers(rows[name]))][:1]
                evidence.suspect(name, (symbol, period), stamps, found[1], "adopted", found[0])
        report("groups audited", done, len(groups))
    findings = list(judge.leaks([evidence], {}))
    findings += judge.unproven([evidence], {leak.column for leak in findings})
    known = {finding.column for finding in findings}
    why = "it comes without a definition: nothing can recompute it"
    findings += [Finding("features", judge.UNSTABLE, why, n, verdict="NOT PROVEN") for n in names if n not in known]
    findings += first_of_each(late)
    verdicts = {name: worst(f.verdict for f in findings if f.column == name) for name in names}
    facts = {"snapshot": snapshot.number, "groups": len(groups), "verdicts": verdicts}
    return Audit("leakage", tuple(findings), CHECKED, facts, CHECKS)


def seen_future(values: Array, rows: pl.DataFrame, labels: Mapping[str, Array]) -> tuple[str, str] | None:
    """Class and description where a column of one group is plainly later than its row; None where it is not."""
    if np.isfinite(values).sum() < LEAST_ROWS or np.nanstd(values) == 0:
        return None
    twin = label_twin(values, labels)
    if twin is not None:
        return LABEL, f"it is {twin}"
    every = np.arange(values.size)
    few = np.unique(np.linspace(0, values.size - 1, SAMPLE).astype(np.int64))
    for name in (name for name in BAR_COLUMNS if name in rows.columns):
        for kind, text, at in _ways(numbers(rows[name]), 2 if name == "open" and _opens_at_close(rows) else 1):
            if _is(values[few], at(few), 1) and _is(values, at(every), LEAST_ROWS):
                return kind, text.format(name)
    return None


def _opens_at_close(rows: pl.DataFrame) -> bool:
    """Whether a bar opens at the close of the one before: the next open is known then."""
    opened, every = numbers(rows["open"]), np.arange(rows.height)
    return "close" in rows.columns and _is(numbers(rows["close"]), _later(opened, 1, every), LEAST_ROWS)


def _ways(bar: Array, nearest: int) -> Iterator[tuple[str, str, Callable[[Index], Array]]]:
    """Wrong columns made from one of the bars, by `nearest` or more ahead: class, words, and values at some rows."""
    for step in AHEAD[nearest - 1 :]:
        yield SHIFT, f"it is {{}} {step} bars later", partial(_later, bar, step)
        yield SHIFT, f"it is the log return of {{}} over the next {step} bars", partial(_change, bar, step)
        yield SHIFT, f"it is the return of {{}} over the next {step} bars", partial(_return, bar, step)
    total = np.concatenate(([0.0], np.cumsum(np.nan_to_num(bar))))
    for window in WINDOWS:
        yield CENTRED, f"it is a mean of {{}} over {window} bars around its row", partial(_around, total, window)
    yield ALL_DATA, "it is {} by mean and deviation of all rows", partial(_standardised, bar)


def _later(bar: Array, step: int, at: Index) -> Array:
    return np.where(at + step < bar.size, bar[np.minimum(at + step, bar.size - 1)], np.nan)


def _change(bar: Array, step: int, at: Index) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(_later(bar, step, at) / bar[at])


def _return(bar: Array, step: int, at: Index) -> Array:
    return np.expm1(_change(bar, step, at))


def _around(total: Array, window: int, at: Index) -> Array:
    low, high = at - window // 2, at + window // 2 + 1
    inside = (low >= 0) & (high < total.size)
    return np.where(inside, (total[np.minimum(high, total.size - 1)] - total[np.maximum(low, 0)]) / window, np.nan)


def _standardised(bar: Array, at: Index) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return (bar[at] - np.nanmean(bar)) / np.nanstd(bar)


def _labels(snapshot: Snapshot, period: str, symbol: str) -> dict[str, Array]:
    if not snapshot.has("targets"):
        return {}
    names: Sequence[str] = list(snapshot.meta("targets").get("targets", {}))
    rows = by_symbol(snapshot, "targets", period, [symbol], names)[symbol]
    return {name: numbers(rows[name]) for name in names}


def _is(values: Array, other: Array, least: int) -> bool:
    both = np.isfinite(values) & np.isfinite(other)
    if both.sum() < max(least, 0.5 * np.isfinite(values).sum()):
        return False
    # returns of prices that are stored in float32 are known to a ten-thousandth of their spread
    near = 10 * CLOSE * float(np.std(other[both]))
    return bool(np.isclose(values[both], other[both], rtol=CLOSE, atol=near).mean() >= SAME)
