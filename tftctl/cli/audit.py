"""`tftctl audit`: time, leakage, splits, all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tftctl.cli.output import JsonFlag, Overrides, counted, emit_json, print_table, say, workspace_of
from tftctl.cli.progress import progress_bar
from tftctl.core.errors import UsageError

if TYPE_CHECKING:
    from tftctl.audit.findings import Audit, Finding
    from tftctl.audit.time.plan import Plan
    from tftctl.audit.time.repair import Repaired
    from tftctl.start.audit_jobs import Audited

_COLUMNS = (
    "source", "symbol", "period", "rows", "first", "last", "step_inferred", "missing", "gaps", "longest_gap",
    "duplicates_equal", "duplicates_contradicting", "verdict",
)  # fmt: skip
_SHORT = ("source", "symbol", "period", "rows", "first", "last", "step", "missing", "gaps", "longest", "equal", "twins",
          "verdict")  # fmt: skip

# of gaps, and of the findings of one verdict, so many are printed
_FEW, _MANY = 10, 40

Strict = Annotated[bool, typer.Option("--strict", help="NOT PROVEN is exit code 5, too.")]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Also write JUnit XML.")]
RunOption = Annotated[
    str | None, typer.Option("--run", metavar="RUN", help="Also: do a run's forecasts know later bars?")
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes; by default as many as pay.")]

app = typer.Typer(help="Proof on your own data: PASS, FAIL or NOT PROVEN.", no_args_is_help=True)


@app.callback()
def audit() -> None:
    """Proof on your own data: PASS, FAIL or NOT PROVEN. Exit code 5 when an audit found violations."""


@app.command("time")
def time(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[TABLE|FILE]...", help="Tables or CSV and Parquet files; else bars.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of bars, features, targets, fused, macro.")] = False,
    max_missing: Annotated[
        float | None,
        typer.Option("--max-missing", min=0, max=1, metavar="SHARE", help="A larger share of missing rows is FAIL."),
    ] = None,
    period: Annotated[str | None, typer.Option(help="Period of the files' rows; else as their names say.")] = None,
    calendar: Annotated[str | None, typer.Option(help="Calendar of the files: 24x7, XNYS ...")] = None,
    timezone: Annotated[str, typer.Option(help="Zone of times in files that name none.")] = "UTC",
    fix: Annotated[
        bool, typer.Option("--fix", help="Propose repairs: a table and plan.json. Nothing is done.")
    ] = False,
    apply: Annotated[
        Path | None, typer.Option("--apply", metavar="PLAN", help="Do what a plan of --fix proposes, in copies.")
    ] = None,
    junit: Junit = None,
    strict: Strict = False,
    as_json: JsonFlag = False,
) -> None:
    """Rows, steps, gaps, duplicates, order, grid, clock changes, future, stale and ragged ends."""
    from tftctl.audit.junit import write_junit
    from tftctl.audit.time.audit import TimeOptions
    from tftctl.audit.time.files import FileOptions
    from tftctl.start.audit_jobs import apply_job, time_job

    if apply is not None and (names or everything or fix):
        raise UsageError("--apply does what a plan says and audits nothing", "tftctl audit time --apply PLAN")
    if apply is not None:
        _show_repaired(apply_job(apply), as_json)
        return
    options = TimeOptions(
        max_missing=max_missing, file=FileOptions(period=period, calendar=calendar, timezone=timezone)
    )
    workspace = workspace_of(ctx)
    with progress_bar() as report:
        found, plan = time_job(workspace, names or [], options, report, everything=everything, fix=fix)
    if junit is not None:
        write_junit(junit, found.audit.name, found.cases(), strict=strict)
    if as_json:
        emit_json(found.audit.document() | ({"plan": str(plan.file), **plan.document()} if plan else {}))
    else:
        _show(found.audit.facts["groups"], found.audit.findings, found.audit.facts["longest_gaps"])
        _show_plan(plan)
        say(f"{found.audit.verdict}; gaps: {found.gaps_file}; report: {found.folder / 'report.json'}")
    raise typer.Exit(found.audit.exit_code(strict=strict))


@app.command("leakage")
def leakage(
    ctx: typer.Context,
    run: RunOption = None,
    jobs: Jobs = None,
    junit: Junit = None,
    strict: Strict = False,
    as_json: JsonFlag = False,
) -> None:
    """Recompute everything with other futures: features, labels, joins, normalisers. Needs no trades and no model."""
    from tftctl.start.audit_jobs import leakage_job

    with progress_bar() as report:
        found = leakage_job(workspace_of(ctx), run, jobs, report)
    _finish(found, junit, strict, as_json)


@app.command("all")
def everything(
    ctx: typer.Context,
    run: RunOption = None,
    jobs: Jobs = None,
    junit: Junit = None,
    strict: Strict = False,
    as_json: JsonFlag = False,
) -> None:
    """Time of all tables, leakage and splits in one report, for CI; with --run also what that run forecasts."""
    from tftctl.start.audit_jobs import all_job

    with progress_bar() as report:
        found = all_job(workspace_of(ctx), run, jobs, report)
    _finish(found, junit, strict, as_json)


@app.command("splits")
def splits(
    ctx: typer.Context,
    source: Annotated[
        str | None, typer.Argument(metavar="[RUN|CONFIG]", help="A run, or a YAML file; else the model configuration.")
    ] = None,
    overrides: Overrides = None,
    strict: Strict = False,
    as_json: JsonFlag = False,
) -> None:
    """Whether training, validation and test share labels, origins or statistics; what purge and embargo removed."""
    from tftctl.start.split_jobs import audit_splits_job

    found = audit_splits_job(workspace_of(ctx), source, overrides or [], say)
    if as_json:
        emit_json(found.document())
    else:
        groups = found.facts["groups"]
        print_table(list(groups[0]) if groups else [], [list(group.values()) for group in groups])
        for finding in found.findings:
            say(f"{finding.verdict} {finding.kind}: {_words(finding)}")
        say(found.verdict)
    raise typer.Exit(found.exit_code(strict=strict))


def _finish(found: Audited, junit: Path | None, strict: bool, as_json: bool) -> None:
    """Say what an audit found, and exit as it says."""
    from tftctl.audit.junit import write_junit

    if junit is not None:
        write_junit(junit, found.audit.name, found.cases, strict=strict)
    if as_json:
        kept = {"recorded": found.recorded, "not_recorded": found.not_recorded}
        emit_json(found.audit.document() | {"report": str(found.report), **kept})
    else:
        _show_findings(found.audit)
        place = f"with snapshot {found.recorded}" if found.recorded else f"nowhere: {found.not_recorded}"
        say(f"{found.audit.verdict} (kept {place}); report: {found.report}")
    raise typer.Exit(found.audit.exit_code(strict=strict))


def _show_findings(audit: Audit) -> None:
    """Violations as a table on stdout; what is only told on stderr; what was checked where nothing was found."""
    bad = [finding for finding in audit.findings if finding.verdict != "PASS"]
    rows = [
        (f.verdict, f.column or f.check, f.kind, f.symbol, f.period, f.row, f.detail)
        for f in sorted(bad, key=lambda finding: finding.verdict)
    ]
    if rows:
        print_table(("verdict", "column", "class", "symbol", "period", "first row", "what"), rows)
    for finding in [finding for finding in audit.findings if finding.verdict == "PASS"][:_FEW]:
        say(f"{finding.kind}: {_words(finding)}")
    verdicts = audit.facts.get("verdicts", {})
    if verdicts:
        passed = sum(verdict == "PASS" for verdict in verdicts.values())
        say(f"{passed:,} of {counted(len(verdicts), 'column' if audit.name == 'leakage' else 'audit')} PASS")
    for text in audit.checked if not bad else ():
        say(f"checked: {text}")


def _show(groups: Sequence[dict[str, Any]], findings: Sequence[Finding], gaps: Sequence[dict[str, Any]]) -> None:
    """Groups on stdout; the longest gaps and the findings, the worst first, on stderr."""
    print_table(_SHORT, [[group[name] for name in _COLUMNS] for group in groups])
    for gap in gaps[:_FEW]:
        say(f"gap of {gap['missing']:,}: {gap['source']} {gap['symbol']} from {gap['from']} to {gap['to']}")
    for verdict in ("FAIL", "NOT PROVEN", "PASS"):
        told = [finding for finding in findings if finding.verdict == verdict]
        for finding in told[:_MANY]:
            say(f"{verdict} {finding.kind}: {_words(finding)}")
        if len(told) > _MANY:
            say(f"{verdict}: {len(told) - _MANY:,} findings more in the report")


def _words(finding: Finding) -> str:
    group = " ".join(part for part in (finding.symbol, finding.period) if part)
    first = f" (first: {finding.row})" if finding.row is not None and finding.verdict == "FAIL" else ""
    return f"{group}{' in ' if group else ''}{finding.detail}{first}"


def _show_plan(plan: Plan | None) -> None:
    if plan is None:
        return
    rows = [list(asdict(action).values()) for action in plan.actions]
    print_table(("source", "symbol", "period", "action", "rows", "why"), rows, "proposed")
    if plan.repairs:
        say(f"to write repaired copies of {counted(len(plan.repairs), 'file')}: tftctl audit time --apply {plan.file}")
    else:
        say(f"nothing that can be done safely; the plan: {plan.file}")


def _show_repaired(made: Sequence[Repaired], as_json: bool) -> None:
    if as_json:
        emit_json({"applied": [asdict(one) for one in made]})
        return
    rows = [list(asdict(one).values()) for one in made]
    print_table(("file", "copy", "rejects", "rows", "dropped", "rejected"), rows)
    if not made:
        say("the plan holds nothing that can be done safely")
