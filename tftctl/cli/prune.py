"""`tftctl prune`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tftctl.cli.output import JsonFlag, Overrides, emit_json, workspace_of
from tftctl.cli.progress import progress_bar
from tftctl.core.errors import UsageError

if TYPE_CHECKING:
    from tftctl.audit.prune.rules import Rules

How = Literal["any", "all"]
Texts = list[str] | None


def _limit(name: str, what: str, metavar: str = "SHARE") -> Any:
    return typer.Option(name, metavar=metavar, help=what, rich_help_panel="Columns, by training rows")


def _by(name: str, what: str, metavar: str | None = None, panel: str = "Columns, by training rows") -> Any:
    return typer.Option(name, metavar=metavar, help=what, rich_help_panel=panel)


_NAMED, _ROWS = "Columns, by name", "Rows"


def prune(
    ctx: typer.Context,
    columns: Annotated[
        bool,
        _by("--columns", "The default rules: --max-missing 0.5 --constant --duplicates exact --max-correlation 0.98."),
    ] = False,
    max_missing: Annotated[float | None, _limit("--max-missing", "Drop columns that miss a larger share.")] = None,
    constant: Annotated[bool, _by("--constant", "Drop columns of one value, or none.")] = False,
    max_same: Annotated[
        float | None, _limit("--max-same", "Drop columns of which one value has a larger share (0.5 or more).")
    ] = None,
    duplicates: Annotated[
        Literal["exact", "sign"] | None, _by("--duplicates", "Drop columns equal to another; also up to sign.")
    ] = None,
    max_correlation: Annotated[
        float | None, _limit("--max-correlation", "Drop all but one of columns correlated above this.", "R")
    ] = None,
    correlation: Annotated[
        Literal["spearman", "pearson"], _by("--correlation", "Of ranks of a sample, or of all values.")
    ] = "spearman",
    linkage: Annotated[
        Literal["complete", "average"], _by("--linkage", "Clusters in which all correlate so, or on average.")
    ] = "complete",
    max_psi: Annotated[
        float | None, _limit("--max-psi", "Drop columns that move more from training to validation (PSI).", "PSI")
    ] = None,
    max_ks: Annotated[float | None, _limit("--max-ks", "The same by the Kolmogorov-Smirnov statistic.", "D")] = None,
    period_rule: Annotated[
        How, _by("--period-rule", "Drop what is bad in any period, or in all where it applies.")
    ] = "all",
    keep: Annotated[
        str, _by("--keep", "Which of a cluster stays: first, coverage, variance, target:NAME.", "RULE")
    ] = "first",
    any_scale: Annotated[
        bool, _by("--any-scale", "Correlation and drift also of columns in units of price and volume.")
    ] = False,
    drop: Annotated[Texts, _by("--drop", "Drop it; repeatable, or with commas.", "NAME|GLOB", _NAMED)] = None,
    drop_file: Annotated[Path | None, _by("--drop-file", "Drop what it lists, one a line.", "FILE", _NAMED)] = None,
    keep_only: Annotated[
        Path | None, _by("--keep-only", "Drop all but what it lists; bars and ages stay.", "FILE", _NAMED)
    ] = None,
    pin: Annotated[Texts, _by("--pin", "Never drop it; repeatable, or with commas.", "NAME|GLOB", _NAMED)] = None,
    require: Annotated[
        Texts, _by("--require", "Columns that rows must have; without it all inputs left.", "NAME|GLOB", _ROWS)
    ] = None,
    require_file: Annotated[
        Path | None, _by("--require-file", "Columns that rows must have, one a line.", "FILE", _ROWS)
    ] = None,
    rows: Annotated[
        Texts, _by("--rows", "Drop rows where any, or only where all of them are missing.", "[P=]any|all", _ROWS)
    ] = None,
    min_k: Annotated[Texts, _by("--min-k", "Drop rows that have fewer of them.", "[P=]K", _ROWS)] = None,
    min_ratio: Annotated[
        Texts, _by("--min-ratio", "Drop rows that have a smaller share of them.", "[P=]SHARE", _ROWS)
    ] = None,
    all_targets: Annotated[
        bool, typer.Option("--all-targets", help="Training rows end with the labels of all targets of the store.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show everything, write nothing.")] = False,
    config: Annotated[Path | None, typer.Option(help="Another file than configs/model_config.yaml.")] = None,
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """Thin the fused table and commit it as a new snapshot, after a time audit; older snapshots stay as they are.

    Columns are judged by training rows alone, cut as tftctl train would cut; drift compares them with validation.
    Rules drop what lies above their limit. P= is for one period: --min-ratio 1h=0.9 --min-ratio 0.5.
    """
    from tftctl.cli.prune_display import show
    from tftctl.start.prune_jobs import prune_job

    asked = {
        "max_missing": max_missing, "constant": constant or None, "max_same": max_same, "duplicates": duplicates,
        "max_correlation": max_correlation, "max_psi": max_psi, "max_ks": max_ks,
    }  # fmt: skip
    others = {
        "correlation": correlation,
        "linkage": linkage,
        "period_rule": period_rule,
        "keep": keep,
        "any_scale": any_scale,
    }
    named = {"drop": (drop, drop_file), "keep_only": (None, keep_only), "pin": (pin, None)}
    required = {"require": (require, require_file)}
    by_period: dict[str, tuple[Texts, Callable[[str], Any]]] = {
        "how": (rows, _how),
        "min_k": (min_k, _whole),
        "min_ratio": (min_ratio, float),
    }
    rules = _rules(columns, asked | others, named, required, by_period, all_targets)
    with progress_bar() as report:
        found = prune_job(workspace_of(ctx), rules, config, overrides or [], report, dry_run=dry_run)
    if as_json:
        emit_json(found.document())
    else:
        show(found, dry_run=dry_run)
    raise typer.Exit(found.exit_code)


def _rules(
    defaults: bool,
    asked: dict[str, Any],
    named: dict[str, tuple[Texts, Path | None]],
    required: dict[str, tuple[Texts, Path | None]],
    by_period: dict[str, tuple[Texts, Callable[[str], Any]]],
    all_targets: bool,
) -> Rules:
    from tftctl.audit.prune.rules import DEFAULT_COLUMN_RULES, ColumnRules, RowRules, Rules

    columns = (DEFAULT_COLUMN_RULES if defaults else {}) | {k: v for k, v in asked.items() if v is not None}
    lists: dict[str, Any] = {name: _names(name, *given) for name, given in (named | required).items()}
    require = lists.pop("require")
    lists["keep_only"] = lists["keep_only"] or None
    limits = {name: _by_period(name, texts or [], kind) for name, (texts, kind) in by_period.items()}
    return Rules(
        columns=ColumnRules(**columns, **lists), rows=RowRules(require=require, **limits), all_targets=all_targets
    )


def _names(option: str, texts: Texts, path: Path | None) -> tuple[str, ...]:
    from tftctl.audit.prune.names import read_names

    listed = read_names(path, f"--{option.replace('_', '-')}") if path is not None else ()
    return (*(name.strip() for text in texts or [] for name in text.split(",") if name.strip()), *listed)


def _by_period(name: str, texts: Sequence[str], kind: Callable[[str], Any]) -> dict[str | None, Any]:
    """`1h=0.9` is for 1h, `0.5` for every other period."""
    option = "--rows" if name == "how" else f"--{name.replace('_', '-')}"
    found: dict[str | None, Any] = {}
    for text in texts:
        period, _, value = text.rpartition("=")
        try:
            found[period or None] = kind(value)
        except ValueError:
            raise UsageError(f"{option} {text}: {value!r} is none", f"like {option} {_LIKE[name]}") from None
    return found


_LIKE = {"how": "any, or 1h=all", "min_k": "10, or 1h=10", "min_ratio": "0.9, or 1h=0.9"}


def _how(text: str) -> str:
    if text not in ("any", "all"):
        raise ValueError(text)
    return text


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number
