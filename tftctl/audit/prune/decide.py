"""What a pruning would do: columns by training rows, then rows by the values that they lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tftctl.audit.prune.columns import Dropped, Named, by_measure, by_name
from tftctl.audit.prune.inputs import Inputs, spoiling
from tftctl.audit.prune.measure import Measures, measure
from tftctl.audit.prune.names import Described
from tftctl.audit.prune.parts import Parts, read_parts, require_training_rows
from tftctl.audit.prune.required import Required, required
from tftctl.audit.prune.rules import Rules
from tftctl.audit.prune.thin import Seen, Thinned, thin
from tftctl.audit.prune.writing import first_origin
from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import DataError, UsageError, choices
from tftctl.core.progress import Report, silent
from tftctl.data.cuts import training_cuts
from tftctl.data.source import require_tables
from tftctl.data.splits import Cuts
from tftctl.features.health import columns_at
from tftctl.store import Snapshot

# removing rows may remove days, and with them move the cuts
ROUNDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Pruning:
    """What goes and what stays of a snapshot's fused table, which was first `built` or `adopted`."""

    snapshot: int
    origin: str
    columns: Described
    rules: Rules
    parts: Parts
    named: Named
    measures: tuple[Measures, ...]
    dropped: tuple[Dropped, ...]
    seen: Mapping[str, Seen]
    groups: tuple[Thinned, ...]
    inputs: Inputs

    @property
    def gone(self) -> list[str]:
        """Names of the columns that go, in the order of the table."""
        names = {entry.column for entry in self.dropped}
        return [name for name in self.columns if name in names]

    @property
    def removed(self) -> int:
        """Number of rows that go."""
        return sum(group.removed for group in self.groups)


def decide(snapshot: Snapshot, rules: Rules, config: ModelConfig, inputs: Inputs, report: Report = silent) -> Pruning:
    """Read and judge; nothing is written. Raises UsageError for names that are not there and where nothing would be
    left, DataError for tables that are not there or have no training row."""
    require_tables(snapshot)
    columns: Described = snapshot.meta("fused")["columns"]
    named = by_name(columns, rules.columns)
    _check_keep(snapshot, rules)
    targets = list(snapshot.meta("targets").get("targets", {})) if rules.all_targets else config.targets
    parts = read_parts(snapshot, targets, config, report)
    for _ in range(ROUNDS):
        pruning = _decided(snapshot, rules, config, inputs, (columns, named, parts), report)
        cuts = _cuts_after(pruning, config)
        if cuts.first >= parts.cuts.first and (cuts.second >= parts.cuts.second or not rules.columns.drift):
            return pruning
        # a training on the rows left would cut earlier: what was read after that may not decide (A4)
        parts = parts.at(Cuts(min(cuts.first, parts.cuts.first), min(cuts.second, parts.cuts.second), cuts.embargo_ms))
        require_training_rows(parts)
    raise DataError(
        "removing rows moves the training cut again and again",
        "set val_mode: days in configs/model_config.yaml, or loosen --rows, --min-k, --min-ratio",
    )


def _decided(
    snapshot: Snapshot,
    rules: Rules,
    config: ModelConfig,
    inputs: Inputs,
    given: tuple[Described, Named, Parts],
    report: Report,
) -> Pruning:
    columns, named, parts = given
    applying = {period: list(columns_at(snapshot, period)) for period in parts.periods}
    measures = _measured(snapshot, rules, named, parts, applying, report)
    dropped = [*named.dropped, *by_measure(columns, named, measures, rules.columns)]
    gone = {entry.column for entry in dropped}
    left = [name for name in columns if name not in gone]
    after = inputs.among(columns, gone)
    if not after:
        raise UsageError("no input would be left", _loosen(dropped))
    needed = required(rules.rows, columns, applying, left, [item.name for item in after])
    seen = {period: _seen(columns, there, gone, inputs) for period, there in applying.items()}
    groups = _thinned(snapshot, config, parts, seen, needed, report)
    _require_rows(groups)
    return Pruning(
        snapshot=snapshot.number,
        origin=first_origin(snapshot),
        columns=columns,
        rules=rules,
        parts=parts,
        named=named,
        measures=tuple(measures),
        dropped=tuple(dropped),
        seen=seen,
        groups=tuple(groups),
        inputs=inputs,
    )


def _measured(
    snapshot: Snapshot, rules: Rules, named: Named, parts: Parts, applying: Mapping[str, Sequence[str]], report: Report
) -> list[Measures]:
    if not rules.columns.measured:
        return []
    return [
        measure(snapshot, parts, period, [name for name in named.open if name in set(there)], rules.columns, report)
        for period, there in applying.items()
    ]


def _thinned(
    snapshot: Snapshot,
    config: ModelConfig,
    parts: Parts,
    seen: Mapping[str, Seen],
    needed: Mapping[str, Required],
    report: Report,
) -> list[Thinned]:
    found = []
    for done, group in enumerate(parts.groups, 1):
        required_here = needed.get(group.period)
        found.append(thin(snapshot, group, seen[group.period], required_here, config.max_encoder_length))
        report("coverage", done, len(parts.groups))
    return found


def _seen(columns: Described, applying: Sequence[str], gone: set[str], inputs: Inputs) -> Seen:
    """Values of all columns but bars and ages are counted."""
    here = {name: columns[name] for name in applying if columns[name]["role"] not in ("bar", "age")}
    before, after = inputs.among(here), inputs.among(here, gone)
    return Seen(
        before=tuple(here),
        after=tuple(name for name in here if name not in gone),
        inputs_before=len(before),
        inputs_after=len(after),
        spoiling_before=tuple(spoiling(before)),
        spoiling_after=tuple(spoiling(after)),
    )


def _cuts_after(pruning: Pruning, config: ModelConfig) -> Cuts:
    """Where a training would cut the rows that are left."""
    instants = [group.rows.available_at[group.kept] for group in pruning.groups if group.rows.trained]
    try:
        return training_cuts(np.concatenate(instants), config)
    except DataError as error:
        raise UsageError(
            f"too few rows would be left: {error.message}", "loosen --rows, --min-k, --min-ratio"
        ) from None


def _check_keep(snapshot: Snapshot, rules: Rules) -> None:
    name, known = rules.columns.kept_by_target, snapshot.meta("targets").get("targets", {})
    if name is not None and name not in known:
        raise UsageError(f"--keep target:{name}: the store has no such target", choices(name, known, "targets"))


def _require_rows(groups: Sequence[Thinned]) -> None:
    if all(not group.kept[group.rows.split == 0].any() for group in groups):
        before = sum(group.rows.rows for group in groups)
        left = sum(int(group.kept.sum()) for group in groups)
        raise UsageError(
            f"no training row would be left; of {before:,} rows {left:,} stay",
            "require fewer columns (--require), or loosen --rows any, --min-k, --min-ratio",
        )


def _loosen(dropped: Sequence[Dropped]) -> str:
    """The rule that takes most, and how to let go."""
    options = {
        "named": "--drop", "not listed": "--keep-only", "missing": "--max-missing", "constant": "--constant",
        "same value": "--max-same", "psi": "--max-psi", "ks": "--max-ks", "duplicate": "--duplicates",
        "correlation": "--max-correlation",
    }  # fmt: skip
    counts: dict[str, int] = {}
    for entry in dropped:
        counts[entry.reason] = counts.get(entry.reason, 0) + 1
    told = ", ".join(
        f"{options[reason]} takes {number}" for reason, number in sorted(counts.items(), key=lambda x: -x[1])
    )
    return f"{told}; loosen it, or --pin what shall stay" if told else "see reals in configs/model_config.yaml"
