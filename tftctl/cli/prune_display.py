"""What `tftctl prune` prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tftctl.cli.output import counted, print_table, say

if TYPE_CHECKING:
    from tftctl.audit.prune.prune import Pruned

_MEASURES = ("column", "role", "period", "missing", "constant", "same", "variance", "psi", "ks", "target", "dropped")
_SIDES = ("columns", "inputs", "rows", "train_rows", "share", "origins")
_FEW = 40


def show(found: Pruned, *, dry_run: bool) -> None:
    """Columns that go (of a trial every measured one), rows that go, coverage before and after; the rest on stderr."""
    told = found.document()
    if dry_run and told["measures"]:
        _measures(told)
    columns = [
        [entry["column"], entry["reason"], entry["value"], entry["limit"], entry["period"], entry["kept"]]
        for entry in told["columns_dropped"]
    ]
    print_table(("column", "reason", "value", "limit", "period", "kept"), columns, "columns that go")
    rows = [list(entry.values()) for entry in told["rows_dropped"]]
    print_table(("symbol", "period", "reason", "rows"), rows, "rows that go")
    print_table(("period", "", *_SIDES), list(_coverage(told)), "coverage")
    _say(found, told, dry_run)


def _measures(told: dict[str, Any]) -> None:
    """Only numbers that were asked for; on a terminal what fits it, rounded."""
    short = sys.stdout.isatty()
    names = [name for name in _MEASURES if not short or name not in ("role", "constant", "variance")]
    asked = [name for name in names if any(entry.get(name) is not None for entry in told["measures"])]
    heads = ["p" if short and name == "period" else name for name in asked]
    rows = [[_cell(entry.get(name), short) for name in asked] for entry in told["measures"]]
    print_table(heads, rows, "measures")


def _cell(value: Any, short: bool) -> Any:
    return f"{value:.3f}" if short and isinstance(value, float) else value


def _coverage(told: dict[str, Any]) -> Any:
    for period, sides in told["coverage"].items():
        for side, values in sides.items():
            yield [period, side, *(values[name] for name in _SIDES)]


def _say(found: Pruned, told: dict[str, Any], dry_run: bool) -> None:
    sys.stdout.flush()
    columns, rows = told["columns"], told["rows"]
    say(
        f"{columns['before'] - columns['after']} of {counted(columns['before'], 'column')} and "
        f"{rows['before'] - rows['after']:,} of {counted(rows['before'], 'row')}; judged by training rows until "
        f"{told['train_end']}, the last label ends {told['last_label_end']}"
    )
    for note in told["notes"]:
        say(note)
    if not found.changes:
        say("nothing to prune; the snapshot stays as it is")
    elif dry_run:
        say("nothing was written; the same without --dry-run makes a new snapshot")
    else:
        _say_result(found, told)


def _say_result(found: Pruned, told: dict[str, Any]) -> None:
    for finding in told["audit"]["findings"][:_FEW]:
        group = " ".join(part for part in (finding["symbol"], finding["period"]) if part)
        say(f"{finding['verdict']} {finding['class']}: {group} {finding['detail']}")
    say(f"time audit of the result: {told['audit']['verdict']}; report: {told['report']}")
    if found.number is None:
        say("nothing was committed")
        return
    base = found.pruning.snapshot
    say(f"snapshot {found.number}, made from {base}, which stays readable (data_path: {base})")
    say("next: tftctl train")
