"""The later parts of a feature selection, and all of it, with the workspace's store and runs."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tftctl.core.errors import DataError
from tftctl.core.progress import Report, Say, silent
from tftctl.core.times import now_ms
from tftctl.core.workspace import Workspace
from tftctl.start.select_jobs import CoreAsked, core_facts, core_rules, gating_job, put_allowlist
from tftctl.start.select_settings import Asked, load_settings, opened_pool, stage_weights, within

if TYPE_CHECKING:
    from tftctl.select.optimize_subset import Optimized
    from tftctl.select.pipeline import Chosen, Order
    from tftctl.select.rolling_validate import Validated


@dataclass(frozen=True, slots=True)
class Searched:
    """A search, what of it became the allowlist, and where that is."""

    found: Optimized
    selected: tuple[str, ...]
    allowlist: str


def search_job(
    workspace: Workspace,
    asked: Asked,
    summary: Path,
    weights: Path | None,
    stage: str | None,
    study: Path,
    allowlist: Path,
    jobs: int | None,
    say: Say,
    report: Report = silent,
) -> Searched:
    """`tftctl select optimize-subset`: of the features that a core summary has selected."""
    from tftctl.select.aggregate_core import read_pinned
    from tftctl.select.folds import say_left_out
    from tftctl.select.ledger import ledger_of
    from tftctl.select.optimize_subset import optimize
    from tftctl.select.origin import read_origin
    from tftctl.select.pipeline import final_set

    settings = load_settings(workspace, asked)
    weighed, name = stage_weights(workspace, weights, stage)
    origin, facts = read_origin(within(workspace, summary).with_suffix(".json"))
    selected = list(facts.get("selected") or ())
    if not selected:
        raise DataError(f"{summary} selects no feature: there is nothing to search", "tftctl select aggregate-core")
    with opened_pool(workspace, settings, say) as pool:
        if origin.data != pool.data:
            say(
                f"the core was chosen on other rows (snapshot {origin.snapshot}) than those of snapshot {pool.snapshot}"
            )
        found = optimize(
            pool, selected, weighed, settings.selection, within(workspace, study), ledger_of(workspace), jobs, report,
            evidence_until=origin.last_label_end,
        )  # fmt: skip
        say_left_out(say, (unfit.why for unfit in found.unfit), " of the search")
        made = replace(origin, snapshot=pool.snapshot, data=pool.data, cut=pool.cut,
                       last_label_end=max(origin.last_label_end, pool.until), targets=tuple(settings.targets),
                       periods=tuple(pool.periods))  # fmt: skip
    document = found.document()
    facts = {"method": document["method"], "trials": document["trials"], "stage": name, "gates": origin.gates}
    place = within(workspace, allowlist)
    kept = final_set(selected, read_pinned(within(workspace, summary)), document)
    put_allowlist(place, kept, "tftctl select optimize-subset", made, facts)
    return Searched(found, kept, workspace.shown(place))


def validation_job(
    workspace: Workspace,
    asked: Asked,
    rules: CoreAsked,
    out: Path,
    jobs: int | None,
    say: Say,
    report: Report = silent,
    *,
    skip_unfit: bool = False,
) -> tuple[Validated, str]:
    """`tftctl select rolling-validate`."""
    from tftctl.select.evidence import replace_json
    from tftctl.select.folds import say_left_out
    from tftctl.select.ledger import ledger_of
    from tftctl.select.rolling_validate import validate

    settings = load_settings(workspace, asked)
    weights, _ = stage_weights(workspace, rules.weights, rules.stage)
    folder = within(workspace, out)
    with opened_pool(workspace, settings, say) as pool:
        chosen = core_rules(settings.selection, rules, weights, pool.features)
        found = validate(
            pool, settings.targets, chosen, settings.selection, ledger_of(workspace), jobs, report,
            folder=folder, skip_unfit=skip_unfit,
        )  # fmt: skip
        say_left_out(say, (unfit.why for unfit in found.unfit))
    replace_json(folder / "rolling_validate.json", found.document())
    return found, workspace.shown(folder / "rolling_validate.json")


@dataclass(frozen=True, slots=True)
class Piped:
    """A whole pipeline: its report, where that lies, and the core that was chosen on the way."""

    document: Mapping[str, Any]
    chosen: Chosen
    folder: str
    page: str


def pipeline_job(
    workspace: Workspace,
    asked: Asked,
    rules: CoreAsked,
    ckpt: str | None,
    out: Path,
    allowlist: Path,
    jobs: int | None,
    say: Say,
    report: Report = silent,
    *,
    skip_unfit: bool = False,
) -> Piped:
    """`tftctl select run-pipeline`."""
    from tftctl.select.evidence import replace_json
    from tftctl.select.page import Findings, write_page
    from tftctl.select.pipeline import document, run, strengths

    started, settings = time.perf_counter(), load_settings(workspace, asked)
    folder = within(workspace, out)
    with opened_pool(workspace, settings, say) as pool:
        order = _order(workspace, settings, pool, rules, folder, jobs, skip_unfit=skip_unfit)
        order = _with_gates(workspace, order, ckpt, say, report)
        chosen = run(order, say, report)
        place = within(workspace, allowlist)
        written = _allow(place, chosen, order)
        if written is None:
            say(f"nothing is selected: {workspace.shown(place)} stays as it was")
        found = document(order, chosen, "select run-pipeline", time.perf_counter() - started, now_ms())
        found["allowlist"] = None if written is None else workspace.shown(written)
        replace_json(order.places.report, found)
        page = write_page(
            order.places.report.with_suffix(".html"),
            Findings(found, chosen.trees.cells, chosen.core.summary, strengths(pool, settings.selection), chosen.gates),
        )
    return Piped(found, chosen, workspace.shown(folder), workspace.shown(page))


def _order(
    workspace: Workspace,
    settings: Any,
    pool: Any,
    rules: CoreAsked,
    folder: Path,
    jobs: int | None,
    *,
    skip_unfit: bool,
) -> Order:
    from tftctl.select.ledger import ledger_of
    from tftctl.select.pipeline import Order
    from tftctl.select.places import Places

    weights, stage = stage_weights(workspace, rules.weights, rules.stage)
    return Order(
        pool=pool,
        targets=[target for target in settings.targets if weights.get(target, 1.0) > 0],
        rules=core_rules(settings.selection, rules, weights, pool.features),
        stage=stage,
        settings=settings.selection,
        places=Places(folder),
        ledger=ledger_of(workspace),
        jobs=jobs,
        skip_unfit=skip_unfit,
    )


def _with_gates(workspace: Workspace, order: Order, ckpt: str | None, say: Say, report: Report) -> Order:
    """The checkpoint is looked up before anything is judged: a wrong name is said at once."""
    if ckpt is None:
        return order
    from tftctl.train.ancestor import find_checkpoint

    path, _ = find_checkpoint(workspace, ckpt, prefer="last")
    with path.open("rb") as file:
        key = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return replace(order, make_gates=lambda to: gating_job(workspace, ckpt, to, say, report), gates_key=key)


def _allow(path: Path, chosen: Chosen, order: Order) -> Path | None:
    if not chosen.selected:
        return None
    gained = (chosen.rolling or {}).get("deflated") or {}
    facts = {
        **core_facts(chosen.core, order.stage, chosen.origin),
        "trials": gained.get("trials"),
        "deflated_gain_of_core": None if gained.get("gain") is None else f"{gained['gain']:.5f}",
    }
    put_allowlist(path, chosen.selected, "tftctl select run-pipeline", chosen.origin, facts)
    return path
