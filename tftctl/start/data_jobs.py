"""The data commands with their configuration loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tftctl.core.config.features import FeaturesConfig, MacroSeries
from tftctl.core.config.loading import load_features_config, validate
from tftctl.core.errors import UsageError
from tftctl.core.names import NAME
from tftctl.core.progress import Report, silent
from tftctl.core.records import Scale, Source
from tftctl.core.workspace import Workspace
from tftctl.plugins import load_registry

if TYPE_CHECKING:
    from tftctl.ingest.adopt import Adopted, AdoptOptions
    from tftctl.ingest.importer import ImportOptions
    from tftctl.ingest.report import ImportReport
    from tftctl.ingest.sources import Fetched

_SCALES: tuple[Scale, ...] = ("free", "price", "volume")
_DECLARED = {"frequency": "--frequency 1mo", "stamp": "--stamp start|end", "release_lag": "--lag 28d"}
_DELAY_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


def import_job(
    workspace: Workspace, paths: Sequence[Path], options: ImportOptions, report: Report = silent
) -> ImportReport:
    """`tftctl data import`."""
    from tftctl.ingest.importer import import_bars
    from tftctl.store import Store

    config = load_features_config(workspace)
    options = replace(
        options, calendars=config.calendar, delays_ms=_delays(config), optional_extras=config.extra_columns
    )
    return import_bars(Store(workspace.store), workspace.reports, paths, options, report)


def factors_job(workspace: Workspace, paths: Sequence[Path]) -> tuple[dict[str, int], list[str]]:
    """`tftctl data import --as factors`: symbol -> number of dates, and the symbols of which there are no bars."""
    from tftctl.ingest.factors import import_factors
    from tftctl.store import Store

    store = Store(workspace.store)
    stored = import_factors(store, paths)
    with store.read() as snapshot:
        there = snapshot.meta("bars")["symbols"] if snapshot.has("bars") else {}
    return stored, [symbol for symbol in stored if symbol not in there]


def adopt_job(workspace: Workspace, path: Path, options: AdoptOptions) -> Adopted:
    """`tftctl data import --as fused`."""
    from tftctl.ingest.adopt import adopt_fused
    from tftctl.store import Store

    registry = load_registry(workspace)
    targets = {name: registry.target(name) for name in registry.names("target")}
    config = load_features_config(workspace)
    return adopt_fused(Store(workspace.store), path, replace(options, calendars=config.calendar, targets=targets))


def fetch_job(
    workspace: Workspace, name: str, given: Sequence[str], *, sample: bool, prefer: Any = None, report: Report = silent
) -> Fetched:
    """`tftctl data sample` and `data fetch`."""
    from tftctl.ingest.sources import fetch_bars, source_params
    from tftctl.store import Store

    source = _source(workspace, name, sample=sample)
    params = source_params(source, given)
    return fetch_bars(Store(workspace.store), workspace.reports, source, params, prefer=prefer, report=report)


def macro_job(
    workspace: Workspace,
    path: Path,
    name: str | None,
    given: dict[str, Any],
    *,
    like: str | None = None,
    column: str | None = None,
    prefer: Any = None,
    trust_pickle: bool = False,
) -> ImportReport:
    """`tftctl macro import`: a ready-made declaration, under that of the configuration, under the command line's."""
    from tftctl.ingest.columns import plain_name
    from tftctl.ingest.identity import stem_of
    from tftctl.ingest.known_series import fitting, known_series
    from tftctl.ingest.macro import MacroOptions, import_macro
    from tftctl.store import Store

    known = known_series(like) if like else None
    name = name or (known.name if known else plain_name(stem_of(path)))
    declared = [known.series if known else None, load_features_config(workspace).macro.get(name)]
    document = {key: value for each in declared if each for key, value in each.model_dump(mode="json").items()} | given
    _check_declaration(name, document, fitting(stem_of(path)))
    series = validate(document, MacroSeries, f"macro {name}")
    column = column or (known.column if known else None)
    options = MacroOptions(name=name, series=series, column=column, prefer=prefer, trust_pickle=trust_pickle)
    return import_macro(Store(workspace.store), workspace.reports, path, options)


def _check_declaration(name: str, document: dict[str, Any], ready: str | None) -> None:
    """Raises UsageError for what is not declared, all at once, and for what is no frequency or lag."""
    from tftctl.core.frequencies import lag_ms, parse_frequency

    absent = [key for key in _DECLARED if key not in document]
    if absent:
        raise UsageError(
            f"{name}: its {', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not declared",
            f"name them: {' '.join(_DECLARED[key] for key in absent)}, or under macro: in configs/features.yaml"
            + (f"; a ready-made declaration seems to fit: --like {ready}" if ready else ""),
        )
    parse_frequency(document["frequency"])
    lag_ms(document["release_lag"])


def parse_extras(texts: Sequence[str]) -> dict[str, Scale | None]:
    """`signal_1:free` or `open_interest` -> column and scale. Raises UsageError."""
    from tftctl.ingest.columns import plain_name

    found: dict[str, Scale | None] = {}
    for text in texts:
        name, _, scale = text.partition(":")
        if not NAME.fullmatch(name) or (scale and scale not in _SCALES):
            plain = plain_name(name)
            stored = f"{plain!r} is what {name!r} is stored as; " if plain != name and NAME.fullmatch(plain) else ""
            raise UsageError(
                f"--extra {text}: not of the form NAME or NAME:SCALE", f"{stored}scales: {', '.join(_SCALES)}"
            )
        found[name] = next((known for known in _SCALES if known == scale), None)
    return found


def parse_horizons(texts: Sequence[str]) -> dict[str, int]:
    """`24` (any target) or `target_x=24`. Raises UsageError."""
    found: dict[str, int] = {}
    for text in texts:
        name, mark, bars = text.rpartition("=")
        if not bars.isdecimal() or int(bars) < 1:
            raise UsageError(f"--horizon {text}: not a number of bars", "write --horizon 24, or --horizon target_x=24")
        found[name if mark else "*"] = int(bars)
    return found


def _source(workspace: Workspace, name: str, *, sample: bool) -> Source:
    registry = load_registry(workspace)
    if sample:
        embedded = [key for key in registry.names("source") if registry.source(key).sample]
        if name not in embedded:
            raise UsageError(f"there is no embedded sample {name!r}", f"samples: {', '.join(embedded)}")
    return registry.source(name)


def _delays(config: FeaturesConfig) -> dict[str, int]:
    return {pattern: int(text[:-1]) * _DELAY_MS[text[-1]] for pattern, text in config.bar_delay.items()}
