"""Which values a row must have to stay, by period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tftctl.audit.prune.names import Described, resolve
from tftctl.audit.prune.rules import ByPeriod, How, RowRules
from tftctl.core.errors import UsageError, choices

KEPT = 0
# reasons by their number, the first that holds is the one
REASONS = ("kept", "all", "any", "min_k", "min_ratio")


@dataclass(frozen=True, slots=True)
class Required:
    """Columns of one period, and how many of them must be there; None where a rule is not asked for."""

    columns: tuple[str, ...]
    how: How | None
    min_k: int | None
    min_ratio: float | None

    def judge(self, there: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
        """Number of the reason why each row goes, by how many of the columns it has; 0 where it stays."""
        number = len(self.columns)
        reason = np.zeros(there.shape, np.int8)
        if not number:
            return reason
        if self.min_ratio is not None:
            reason[there < self.min_ratio * number - 1e-9] = REASONS.index("min_ratio")
        if self.min_k is not None:
            reason[there < self.min_k] = REASONS.index("min_k")
        if self.how == "any":
            reason[there < number] = REASONS.index("any")
        elif self.how == "all":
            reason[there == 0] = REASONS.index("all")
        return reason


def required(
    rules: RowRules,
    columns: Described,
    applying: Mapping[str, Sequence[str]],
    left: Sequence[str],
    inputs: Sequence[str],
) -> dict[str, Required]:
    """By period, of the columns that are `left` and apply there; `inputs` where none is named.

    A column that a rule drops is not required any more. Raises UsageError for names and periods that are not there,
    and where more columns are asked for than apply.
    """
    if not rules.asked:
        return {}
    named = resolve(rules.require, columns, "--require") if rules.require else list(inputs)
    for option, given in (("--rows", rules.how), ("--min-k", rules.min_k), ("--min-ratio", rules.min_ratio)):
        _check_periods(option, given, list(applying))
    found = {}
    for period, there in applying.items():
        names = tuple(name for name in named if name in set(left) and name in set(there))
        found[period] = Required(names, _how(rules, period), _at(rules.min_k, period), _at(rules.min_ratio, period))
        _check_number(found[period], period)
    if not any(one.columns for one in found.values()):
        raise UsageError("none of the required columns is left", "pin them: --pin NAME, or require others")
    return found


def _how(rules: RowRules, period: str) -> How | None:
    """Required columns are all required, unless a number says otherwise."""
    named: How | None = _at(rules.how, period)
    counted = _at(rules.min_k, period) is not None or _at(rules.min_ratio, period) is not None
    return named or (None if counted or not rules.require else "any")


def _at(given: ByPeriod, period: str):  # type: ignore[no-untyped-def]
    return given.get(period, given.get(None))


def _check_periods(option: str, given: ByPeriod, periods: Sequence[str]) -> None:
    for period in given:
        if period is not None and period not in periods:
            raise UsageError(f"{option}: the fused table has no period {period!r}", choices(period, periods, "periods"))


def _check_number(found: Required, period: str) -> None:
    if found.columns and found.min_k is not None and found.min_k > len(found.columns):
        raise UsageError(
            f"--min-k {found.min_k} at {period}, where {len(found.columns)} of the required columns apply",
            f"lower it there: --min-k {period}=N",
        )
