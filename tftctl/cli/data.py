"""`tftctl data`: import, convert, fetch, sample, list, gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tftctl.cli.output import JsonFlag, emit_json, print_table, say, workspace_of
from tftctl.cli.progress import progress_bar
from tftctl.core.errors import UsageError

if TYPE_CHECKING:
    from tftctl.core.workspace import Workspace
    from tftctl.ingest.report import FileReport, ImportReport
    from tftctl.ingest.sources import Fetched

app = typer.Typer(help="Bars: import files, fetch, list, find gaps, convert.", no_args_is_help=True)

DATA = 3

Prefer = Annotated[
    Literal["new", "old"] | None, typer.Option("--prefer", help="Which bar holds where a file and the store differ.")
]
TrustPickle = Annotated[bool, typer.Option("--trust-pickle", help="Read pickles; reading one runs code in it.")]
Parameters = Annotated[
    list[str] | None, typer.Option("--override", "-o", metavar="KEY=VALUE", help="A parameter of the source.")
]
Symbols = Annotated[str | None, typer.Option("--symbols", metavar="A,B", help="Only these, separated by commas.")]


@app.command("import")
def import_files(
    ctx: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Files, folders or patterns.")],
    period: Annotated[
        str | None, typer.Option(help="Bar period such as 1h; default: from column, name, folder.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Symbol; default: from column or file name.")] = None,
    calendar: Annotated[
        str | None, typer.Option(help="24x7, observed or an exchange such as XNYS; default: configs/features.yaml.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Zone of times that name none, such as America/New_York; default UTC.")
    ] = None,
    basis: Annotated[
        Literal["raw", "split", "total"] | None, typer.Option(help="How the prices are adjusted already.")
    ] = None,
    extra: Annotated[
        list[str] | None, typer.Option(metavar="NAME[:SCALE]", help="Keep this column, too; with a scale as an input.")
    ] = None,
    kind: Annotated[
        Literal["bars", "fused", "factors"],
        typer.Option("--as", help="Bars, a long table with features and targets, or split and dividend factors."),
    ] = "bars",
    horizon: Annotated[
        list[str] | None, typer.Option(metavar="[TARGET=]BARS", help="With --as fused: how far a target looks ahead.")
    ] = None,
    prefer: Prefer = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a whole file for one bad row.")] = False,
    trust_pickle: TrustPickle = False,
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="When the files were fetched (ISO, UTC); default now.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Import bars; what cannot be decided is refused by line, everything else is kept."""
    from tftctl.ingest.importer import ImportOptions
    from tftctl.start.data_jobs import import_job, parse_extras

    workspace = workspace_of(ctx)
    if kind == "factors":
        _import_factors(workspace, paths, as_json)
        return
    if kind == "fused":
        _adopt(ctx, paths, symbol, period, calendar, timezone, horizon, trust_pickle, as_json)
        return
    options = ImportOptions(
        symbol=symbol,
        period=_period(period),
        calendar=calendar,
        timezone=timezone,
        basis=basis,
        extras=parse_extras(extra or []),
        prefer=prefer,
        strict=strict,
        trust_pickle=trust_pickle,
        as_of=_instant(as_of),
    )
    with progress_bar() as report:
        found = import_job(workspace, paths, options, report)
    show_import(found, as_json, strict=strict)


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv, .csv.gz, .parquet or .pkl file.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="A .csv, .parquet or .pkl file.")],
    trust_pickle: TrustPickle = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the output when it exists.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Convert a table between CSV, Parquet and pickle."""
    from tftctl.ingest.convert import convert as convert_table

    rows = convert_table(source, output, trust_pickle=trust_pickle, force=force)
    if as_json:
        emit_json({"output": str(output), "rows": rows})
    else:
        typer.echo(f"{output}: {rows:,} rows")


@app.command("sample")
def sample(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="indices (real, daily) or synthetic (planted signal).")],
    parameters: Parameters = None,
    as_json: JsonFlag = False,
) -> None:
    """Store embedded bars to try things on."""
    from tftctl.start.data_jobs import fetch_job

    with progress_bar() as report:
        found = fetch_job(workspace_of(ctx), name, parameters or [], sample=True, report=report)
    _show_fetched(found, as_json)


@app.command("fetch")
def fetch(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SOURCE", help="A source; tftctl plugins list names them.")],
    parameters: Parameters = None,
    prefer: Prefer = None,
    as_json: JsonFlag = False,
) -> None:
    """Fetch bars from a source that a plugin provides."""
    from tftctl.start.data_jobs import fetch_job

    with progress_bar() as report:
        found = fetch_job(workspace_of(ctx), name, parameters or [], sample=False, prefer=prefer, report=report)
    _show_fetched(found, as_json)


@app.command("list")
def list_all(ctx: typer.Context, symbols: Symbols = None, as_json: JsonFlag = False) -> None:
    """List bars by symbol and period, with gaps and bars without volume."""
    from tftctl.ingest.listing import list_bars
    from tftctl.store import Store

    with Store(workspace_of(ctx).store).read() as snapshot:
        rows = list_bars(snapshot, _names(symbols))
    if as_json:
        emit_json(rows)
        return
    columns = ("symbol", "period", "rows", "first", "last", "gaps", "missing", "zero_volume", "calendar")
    print_table(columns, [[row[name] for name in columns] for row in rows])
    if not rows:
        say("no bars yet: tftctl data import FILES, or tftctl data sample synthetic")


@app.command("gaps")
def gaps(ctx: typer.Context, symbols: Symbols = None, as_json: JsonFlag = False) -> None:
    """List runs of expected bars that are missing, longest first."""
    from tftctl.ingest.listing import list_gaps
    from tftctl.store import Store

    with Store(workspace_of(ctx).store).read() as snapshot:
        rows = list_gaps(snapshot, _names(symbols))
    if as_json:
        emit_json(rows)
        return
    print_table(("symbol", "period", "from", "to", "missing"), [list(row.values()) for row in rows])
    if not rows:
        say("no expected bar is missing")


def show_import(found: ImportReport, as_json: bool, *, strict: bool = False) -> None:
    """The import on stdout; refusals, corrections and remarks on stderr. Raises Exit where it failed as a whole."""
    for file in found.files:
        _refusals(file)
    _notes(found.files)
    failure = _failure(found, strict=strict)
    if as_json:
        error = None if failure is None else {"code": DATA, "kind": "data", "message": failure[0], "hint": failure[1]}
        emit_json(found.document() | ({} if error is None else {"error": error}))
    else:
        columns = ("path", "symbol", "period", "rows_read", "rows_accepted", "rows_rejected", "duplicates")
        print_table(columns, [[getattr(file, name) for name in columns] for file in found.files])
        if any(file.rejects for file in found.files):
            say(f"refused rows with line and reason: {found.folder}/rejects.csv")
    if failure is not None:
        say(f"error: {failure[0]}\n  hint: {failure[1]}")
        raise typer.Exit(DATA)


def _failure(found: ImportReport, *, strict: bool) -> tuple[str, str] | None:
    """Message and hint where nothing usable came in, or --strict refused something: exit code 3."""
    refused = sum(1 for file in found.files if file.rows_rejected or file.error)
    where = f"the reasons: {found.folder}/report.json"
    if not found.rows_accepted and not found.duplicates:
        why = found.files[0].error or _reasons(found.files[0])
        return f"nothing was accepted{f' of {len(found.files):,} files' if len(found.files) > 1 else f': {why}'}", where
    if strict and refused:
        return f"--strict refused {refused:,} of {len(found.files):,} files", where
    return None


def _refusals(file: FileReport) -> None:
    if file.error:
        say(f"refused: {file.error}")
    elif file.rows_rejected:
        say(f"{_place(file)}: {file.rows_rejected:,} rows refused: {_reasons(file)}")


def _reasons(file: FileReport) -> str:
    return ", ".join(f"{reason} ({count:,})" for reason, count in file.reasons.items())


def _notes(files: Sequence[FileReport]) -> None:
    """What several files share is said once."""
    places: dict[str, list[str]] = {}
    for file in files:
        for note in file.warnings:
            places.setdefault(note, []).append(_place(file))
    for note, where in places.items():
        say(f"{where[0]}{f' and {len(where) - 1} more' if len(where) > 1 else ''}: {note}")


def _place(file: FileReport) -> str:
    return f"{file.path} {file.symbol or ''} {file.period or ''}".strip()


def _show_fetched(found: Fetched, as_json: bool) -> None:
    for note in found.warnings:
        say(note)
    if as_json:
        emit_json(asdict(found))
        return
    print_table(("what", "value"), [(key, value) for key, value in asdict(found).items() if key != "warnings"])
    say("next: tftctl features build")


def _import_factors(workspace: Workspace, paths: list[Path], as_json: bool) -> None:
    from tftctl.start.data_jobs import factors_job

    stored, without_bars = factors_job(workspace, paths)
    if without_bars:
        say(f"no bars of {', '.join(without_bars)} yet: factors are used for a symbol of exactly their file's name")
    if as_json:
        emit_json({"symbols": stored, "rows": sum(stored.values()), "without_bars": without_bars})
    else:
        print_table(("symbol", "dates"), list(stored.items()))


def _adopt(
    ctx: typer.Context,
    paths: list[Path],
    symbol: str | None,
    period: str | None,
    calendar: str | None,
    timezone: str | None,
    horizon: list[str] | None,
    trust_pickle: bool,
    as_json: bool,
) -> None:
    from tftctl.ingest.adopt import AdoptOptions
    from tftctl.start.data_jobs import adopt_job, parse_horizons

    if len(paths) != 1:
        raise UsageError("--as fused takes one file", "a workspace has one fused table")
    options = AdoptOptions(
        symbol=symbol,
        period=_period(period),
        calendar=calendar,
        timezone=timezone or "UTC",
        trust_pickle=trust_pickle,
        horizons=parse_horizons(horizon or []),
    )
    found = adopt_job(workspace_of(ctx), paths[0], options)
    if as_json:
        emit_json(asdict(found))
        return
    print_table(("what", "value"), [(key, _listed(value)) for key, value in asdict(found).items()])
    say("this table is unaudited: nothing shows that its features know only the past")


def _period(text: str | None) -> str | None:
    from tftctl.ingest.identity import read_period

    return None if text is None else read_period(text)


def _instant(text: str | None) -> int | None:
    from tftctl.core.times import parse_iso

    if text is None:
        return None
    try:
        return parse_iso(text)
    except ValueError:
        raise UsageError(f"--as-of {text}: not a time", "write it like 2024-01-31T12:00") from None


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _listed(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
