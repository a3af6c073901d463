"""What `tftctl features health` prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tftctl.cli.output import emit_json, print_table, say

if TYPE_CHECKING:
    from tftctl.features.health import ColumnHealth, Health
    from tftctl.features.label_health import TargetHealth
    from tftctl.features.warmup import Memory

_DEFECTS = frozenset({"not finite", "empty", "constant", "holes"})


def show_health(found: Health, as_json: bool) -> None:
    """Columns, then labels on stdout; groups of correlated and identical columns on stderr."""
    if as_json:
        emit_json(asdict(found))
        return
    (_short_columns if sys.stdout.isatty() else _all_columns)(found.columns)
    (_short_targets if sys.stdout.isatty() else _all_targets)(found.targets)
    for group in found.clusters:
        say(f"correlated at {group.period}, {group.cluster}: {', '.join(group.columns)}")
    for group in found.identical:
        say(f"identical at {group.period}: {', '.join(group.columns)}")
    inputs = [column for column in found.columns if column.is_input]
    bad = sum(bool(_DEFECTS & set(column.findings)) for column in inputs)
    say(f"{len(inputs)} inputs by period, {bad} of them not finite, empty, constant or with holes")


def show_warmup(found: Sequence[Memory], as_json: bool) -> None:
    """Column by length of history: what the start still changes, beside what is declared."""
    if as_json:
        emit_json({"columns": [asdict(memory) for memory in found]})
        return
    drift = list(dict.fromkeys(name for memory in found for name in memory.drift))
    names: tuple[str, ...] = ("column", "period", "first_valid", "first_value", "settle", "forgotten_after", "bars")
    headers = {name: name for name in names}
    if sys.stdout.isatty():
        drift = [name for name in ("100", "500", "1x settle") if name in drift]
        headers = {"column": "column", "period": "p", "first_valid": "first", "settle": "settle"}
        headers |= {"forgotten_after": "forgot"}
    rows = [
        [
            *(getattr(memory, name) for name in headers),
            *(_power(memory.drift.get(name)) for name in drift),
            memory.verdict,
        ]
        for memory in found
    ]
    print_table([*headers.values(), *drift, "verdict"], rows)
    wrong = [memory for memory in found if memory.verdict == "too small"]
    say(f"{len(found)} columns, the settle of {len(wrong)} is too small")
    for memory in found:
        if memory.first_value is not None and memory.first_value != memory.first_valid:
            say(
                f"{memory.column} at {memory.period}: the first value is at bar {memory.first_value}, "
                f"{memory.first_valid} is declared"
            )


def _all_columns(columns: Sequence[ColumnHealth]) -> None:
    rows = [asdict(column) | {"findings": ", ".join(column.findings)} for column in columns]
    print_table(list(rows[0]) if rows else ["column"], [list(row.values()) for row in rows])


def _short_columns(columns: Sequence[ColumnHealth]) -> None:
    """What fits a terminal: defects are named, numbers rounded, columns that the network takes marked."""
    headers = ("column", "p", "in", "cover", "lead", "holes", "PSI", "cl", "findings")
    print_table(headers, [_short(column) for column in columns])


def _short(column: ColumnHealth) -> list[Any]:
    shown = [word for word in column.findings if word != "correlated"]
    drift = None if column.drift is None else f"{column.drift:.2f}"
    return [
        column.column,
        column.period,
        "*" if column.is_input else "",
        f"{100 * column.coverage:.1f}%",
        column.leading_nulls,
        column.holes,
        drift,
        column.cluster,
        ", ".join(shown),
    ]


def _all_targets(targets: Sequence[TargetHealth]) -> None:
    rows = [asdict(target) for target in targets]
    print_table(list(rows[0]) if rows else ["target"], [list(row.values()) for row in rows])


def _short_targets(targets: Sequence[TargetHealth]) -> None:
    """A base rate is the mean of a binary target."""
    rows = [
        [
            t.target,
            t.period,
            t.labelled,
            t.mean if t.base_rate is None else t.base_rate,
            t.std,
            t.ties,
            t.inside_bar,
        ]
        for t in targets
    ]
    print_table(("target", "p", "labels", "mean or rate", "std", "ties", "in a bar"), rows)


def _power(value: float | None) -> str | None:
    return None if value is None else f"{value:.0e}" if value else "0"
