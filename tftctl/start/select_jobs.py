"""Feature selection with the workspace's store, runs and reports."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tftctl.core.errors import UsageError
from tftctl.core.progress import Report, Say, silent
from tftctl.core.times import now_ms
from tftctl.core.workspace import Workspace
from tftctl.plugins import load_registry
from tftctl.select.places import PLACES
from tftctl.start.select_settings import Asked, facts_of, load_settings, opened_pool, stage_weights, within

if TYPE_CHECKING:
    from tftctl.core.config.selection import SelectionConfig
    from tftctl.select.aggregate_core import Core, Rules
    from tftctl.select.evidence import Evidence
    from tftctl.select.gate_scores import GateScores
    from tftctl.select.origin import Origin
    from tftctl.select.tft_gating import Gating
    from tftctl.select.tree_perm import TreeEvidence


def gating_job(workspace: Workspace, source: str, out: Path, say: Say, report: Report = silent) -> Gating:
    """`tftctl select tft-gating`."""
    from tftctl.select.ledger import ledger_of
    from tftctl.select.tft_gating import gate_evidence
    from tftctl.select.work import digest

    found = gate_evidence(workspace, source, out, load_registry(workspace), say, report)
    key = digest(["tft-gating", found.meta["run_id"], found.meta["checkpoint"]])
    ledger_of(workspace).count("tft-gating", key, dict.fromkeys(found.meta["targets"], 1))
    return found


def tree_job(
    workspace: Workspace,
    asked: Asked,
    out: Path,
    jobs: int | None,
    say: Say,
    report: Report = silent,
    *,
    skip_unfit: bool = False,
    leave_nested: bool = False,
) -> TreeEvidence:
    """`tftctl select tree-perm`; `leave_nested` reads nothing of the days that optimize-subset compares its set on."""
    from tftctl.select.folds import say_left_out
    from tftctl.select.ledger import ledger_of
    from tftctl.select.nested_fold import nested_start
    from tftctl.select.tree_perm import count_evidence, judge

    settings = load_settings(workspace, asked)
    with opened_pool(workspace, settings, say) as pool:
        if leave_nested:
            pool = pool.before(nested_start(pool, settings.selection))
        found = judge(
            pool, settings.targets, settings.selection, within(workspace, out), jobs, report, skip_unfit=skip_unfit
        )
    say_left_out(say, (unfit.why for unfit in found.unfit))
    count_evidence(ledger_of(workspace), found)
    return found


@dataclass(frozen=True, slots=True)
class CoreFiles:
    """A core set and where it was written; `allowlist` is None where nothing was selected."""

    core: Core
    stage: str
    summary: str
    allowlist: str | None


@dataclass(frozen=True, slots=True)
class CoreAsked:
    """How a core is asked for; None is what the configuration says."""

    weights: Path | None = None
    stage: str | None = None
    tft_bonus: float | None = None
    topk: int | None = None
    pinned: tuple[str, ...] = ()
    banned: tuple[str, ...] = ()
    keep_below: bool = False


@dataclass(frozen=True, slots=True)
class CorePaths:
    """What `aggregate-core` reads, evidence and gates, and what it writes."""

    source: Path
    tft_file: Path | None
    summary: Path
    allowlist: Path


def core_job(workspace: Workspace, asked: Asked, core: CoreAsked, paths: CorePaths, say: Say) -> CoreFiles:
    """`tftctl select aggregate-core`."""
    from tftctl.select.aggregate_core import aggregate, core_key
    from tftctl.select.gate_scores import read_gates
    from tftctl.select.ledger import ledger_of
    from tftctl.select.tree_perm import read_index

    chosen = load_settings(workspace, asked).selection
    weights, stage = stage_weights(workspace, core.weights, core.stage)
    evidence = read_index(within(workspace, paths.source))
    gates = read_gates(within(workspace, paths.tft_file)) if paths.tft_file else None
    if gates is None and core.tft_bonus is not None:
        raise UsageError(
            "--tft-bonus says what gates add, and --tft-file names none",
            f"name what tftctl select tft-gating has written: --tft-file {PLACES.gates}",
        )
    names = {name for cell in evidence for name in cell.features["feature"]}
    rules = core_rules(chosen, core, weights, names)
    found = aggregate(evidence, rules, gates)
    ledger_of(workspace).count("aggregate-core", core_key(evidence, rules, gates), {c.target: 1 for c in evidence})
    return write_core(workspace, found, evidence, gates, stage, paths, say)


def core_rules(chosen: SelectionConfig, asked: CoreAsked, weights: dict[str, float], pool: Collection[str]) -> Rules:
    """Rules of a core; a topk that nobody named is at most the pool, and what the file bans need not be there."""
    from tftctl.select.aggregate_core import Rules, means_any

    return Rules(
        weights=weights,
        topk=asked.topk if asked.topk is not None else min(chosen.topk, len(pool)),
        pinned=(*chosen.pinned, *asked.pinned),
        banned=(*(text for text in chosen.banned if means_any(text, pool)), *asked.banned),
        tft_bonus=chosen.tft_bonus if asked.tft_bonus is None else asked.tft_bonus,
        level=chosen.level,
        keep_below=asked.keep_below,
        together=chosen.evidence == "together",
    )


def write_core(
    workspace: Workspace,
    core: Core,
    evidence: Sequence[Evidence],
    gates: GateScores | None,
    stage: str,
    paths: CorePaths,
    say: Say,
) -> CoreFiles:
    """Summary and allowlist; where nothing is selected the allowlist stays as it is."""
    from tftctl.select.aggregate_core import write_summary
    from tftctl.select.origin import origin_of

    summary, place = within(workspace, paths.summary), within(workspace, paths.allowlist)
    origin = origin_of(evidence, gates)
    write_summary(summary, core, {**origin.document(), "stage": stage})
    if core.without_gate:
        say(f"{len(core.without_gate)} features of the evidence have no gate: the network was trained without them")
    if not core.selected:
        say(f"no feature passes the threshold: {workspace.shown(place)} stays as it was; --keep-below takes the best "
            "ones all the same")  # fmt: skip
        return CoreFiles(core, stage, workspace.shown(summary), None)
    facts = core_facts(core, stage, origin)
    put_allowlist(place, core.selected, "tftctl select aggregate-core", origin, facts)
    return CoreFiles(core, stage, workspace.shown(summary), workspace.shown(place))


def core_facts(core: Core, stage: str, origin: Origin) -> dict[str, Any]:
    """What an allowlist's header says of the core that it was made from."""
    rules = core.rules
    return {
        "topk": rules.topk,
        "stage": stage,
        "level": rules.level,
        "level_over": rules.level_over,
        "gates": origin.gates,
    }


def put_allowlist(path: Path, selected: Sequence[str], command: str, origin: Origin, facts: Mapping[str, Any]) -> None:
    """Write an allowlist that says what it was made from."""
    from tftctl.data.allowlist import Provenance, write_allowlist

    write_allowlist(
        path,
        selected,
        Provenance(
            command=command,
            snapshot=origin.snapshot,
            data=origin.data,
            cut=origin.cut,
            last_label_end=origin.last_label_end,
            targets=origin.targets,
            periods=origin.periods,
            made_at=now_ms(),
            facts=facts_of(facts),
        ),
    )
