"""What a pruning goes by: rules for columns, rules for rows, and what they may not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from tftctl.core.errors import UsageError

How = Literal["any", "all"]
# value by period; None stands for every period that is not named
ByPeriod = Mapping[str | None, Any]

# of each period and part, drawn with SEED: what ranks and quantiles are measured on
SAMPLE_ROWS = 50_000
SEED = 0
# above half, one value is the most frequent one, which can be found without sorting
LEAST_SAME = 0.5
KEEP = ("first", "coverage", "variance")
TARGET_KEEP = "target:"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRules:
    """A column goes where a measure is *above* the limit. None, False and () are rules that are not asked for.

    `max_missing`: share of training rows without a value. `constant`: one value, or none. `max_same`: share of values
    that are the most frequent one. `duplicates`: equal in every training row, with `sign` also up to sign.
    `max_correlation`: of clusters by `linkage` over |`correlation`|. `max_psi`, `max_ks`: training against validation.
    Correlation and drift are measured of scale-free columns, with `any_scale` of those in units of price and volume,
    too. `drop`, `pin`: names or patterns; `keep_only`: names. `keep` says which of equal or correlated columns stays,
    `period_rule` whether a measure is above the limit in any period, or in all to which the column applies.
    """

    max_missing: float | None = None
    constant: bool = False
    max_same: float | None = None
    duplicates: Literal["exact", "sign"] | None = None
    max_correlation: float | None = None
    correlation: Literal["spearman", "pearson"] = "spearman"
    linkage: Literal["complete", "average"] = "complete"
    max_psi: float | None = None
    max_ks: float | None = None
    drop: tuple[str, ...] = ()
    keep_only: tuple[str, ...] | None = None
    pin: tuple[str, ...] = ()
    keep: str = "first"
    period_rule: How = "all"
    any_scale: bool = False

    @property
    def asked(self) -> bool:
        """Whether any column can go."""
        return bool(self.drop) or self.keep_only is not None or self.measured

    @property
    def measured(self) -> bool:
        """Whether a rule needs more than names."""
        limits = (self.max_missing, self.max_same, self.duplicates, self.max_correlation)
        return self.constant or self.drift or any(limit is not None for limit in limits)

    @property
    def drift(self) -> bool:
        """Whether validation rows are read, too."""
        return self.max_psi is not None or self.max_ks is not None

    @property
    def ranked(self) -> bool:
        """Whether ranks of a sample are correlated."""
        by_rank = self.max_correlation is not None and self.correlation == "spearman"
        return by_rank or self.kept_by_target is not None

    @property
    def kept_by_target(self) -> str | None:
        """The target that says which of a cluster stays."""
        return self.keep.removeprefix(TARGET_KEEP) if self.keep.startswith(TARGET_KEEP) else None


DEFAULT_COLUMN_RULES: dict[str, Any] = {
    "max_missing": 0.5,
    "constant": True,
    "duplicates": "exact",
    "max_correlation": 0.98,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRules:
    """A row goes where its required columns lack values: those of `require` (names or patterns; none: all inputs left).

    `how`: where any is missing, or only where all are. `min_k`, `min_ratio`: where fewer are there, or a smaller share.
    """

    require: tuple[str, ...] = ()
    how: ByPeriod = field(default_factory=dict)
    min_k: ByPeriod = field(default_factory=dict)
    min_ratio: ByPeriod = field(default_factory=dict)

    @property
    def asked(self) -> bool:
        """Whether any row can go."""
        return bool(self.require or self.how or self.min_k or self.min_ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All of it. `all_targets`: the labels of all targets, not only of those configured, end before training does."""

    columns: ColumnRules = field(default_factory=ColumnRules)
    rows: RowRules = field(default_factory=RowRules)
    all_targets: bool = False

    def document(self) -> dict[str, Any]:
        """Plain values, for reports and for the description of the table."""
        columns, rows = (
            {entry.name: _plain(getattr(part, entry.name)) for entry in fields(part)}
            for part in (self.columns, self.rows)
        )
        return {"columns": columns, "rows": rows, "all_targets": self.all_targets}


def check(rules: Rules) -> None:
    """Raise UsageError where nothing is asked, or a limit is none."""
    columns, rows = rules.columns, rules.rows
    if not (columns.asked or rows.asked):
        raise UsageError(
            "prune by what? No rule is named",
            "--columns takes the default rules for columns; see tftctl prune --help for the others",
        )
    _within("--max-missing", columns.max_missing, 0, 1)
    _within("--max-same", columns.max_same, LEAST_SAME, 1)
    _within("--max-correlation", columns.max_correlation, 0, 1)
    _within("--max-ks", columns.max_ks, 0, 1)
    _within("--max-psi", columns.max_psi, 0, None)
    if columns.keep not in KEEP and not columns.kept_by_target:
        raise UsageError(f"--keep {columns.keep}", f"known: {', '.join(KEEP)}, {TARGET_KEEP}NAME")
    for period, least in rows.min_ratio.items():
        _within("--min-ratio" + (f" {period}" if period else ""), least, 0, 1, closed=True)


def _within(option: str, value: float | None, low: float, high: float | None, *, closed: bool = False) -> None:
    """A limit lies in [low, high): above it there must be something."""
    if value is None:
        return
    good = low <= value and (high is None or value < high or (closed and value == high))
    if not good:
        bounds = f"at least {low:g}" + ("" if high is None else f" and {'at most' if closed else 'below'} {high:g}")
        raise UsageError(f"{option} {value:g} is out of range", f"{option} is {bounds}")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {period or "*": entry for period, entry in value.items()}
    return list(value) if isinstance(value, tuple) else value
