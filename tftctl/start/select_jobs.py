"""Feature selection with the workspace's store, runs and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tftctl.core.errors import UsageError
from tftctl.core.progress import Report, Say, silent
from tftctl.core.times import now_ms
from tftctl.core.workspace import Workspace
from tftctl.plugins import load_registry
from tftctl.start.select_settings import Asked, facts_of, load_settings, opened_pool, shown, stage_weights, within

if TYPE_CHECKING:
    from tftctl.select.aggregate_core import Core
    from tftctl.select.origin import Origin
    from tftctl.select.tft_gating import Gating
    from tftctl.select.tree_perm import TreeEvidence

TREE_FOLDER = Path("reports/feature_evidence/tree_perm")


def gating_job(workspace: Workspace, source: str, out: Path, say: Say, report: Report = silent) -> Gating:
    """`tftctl select tft-gating`."""
    from tftctl.select.tft_gating import gate_evidence

    return gate_evidence(workspace, source, out, load_registry(workspace), say, report)


def tree_job(
    workspace: Workspace,
    asked: Asked,
    out: Path,
    jobs: int | None,
    say: Say,
    report: Report = silent,
    *,
    skip_unfit: bool = False,
) -> TreeEvidence:
    """`tftctl select tree-perm`."""
    from tftctl.select.ledger import ledger_of
    from tftctl.select.tree_perm import digest, judge

    settings = load_settings(workspace, asked)
    with opened_pool(workspace, settings, say) as (pool, _):
        found = judge(
            pool, settings.targets, settings.selection, within(workspace, out), jobs, report, skip_unfit=skip_unfit
        )
    for unfit in found.unfit:
        say(f"left out: {unfit.why}")
    key = digest(sorted(str(cell.facts["key"]) for cell in found.cells))
    ledger_of(workspace).count("tree-perm", key, {cell.target: 1 for cell in found.cells})
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
    """Options of `aggregate-core`; None is what the configuration says."""

    source: Path = TREE_FOLDER
    weights: Path | None = None
    stage: str | None = None
    tft_file: Path | None = None
    tft_bonus: float | None = None
    summary: Path = Path("reports/feature_evidence/aggregated_core.csv")
    allowlist: Path = Path("configs/selected_features.txt")
    topk: int | None = None
    pinned: tuple[str, ...] = ()
    banned: tuple[str, ...] = ()
    keep_below: bool = False


def core_job(workspace: Workspace, asked: CoreAsked, overrides: list[str], say: Say) -> CoreFiles:
    """`tftctl select aggregate-core`."""
    from tftctl.core.config.loading import load_selection_config
    from tftctl.select.aggregate_core import aggregate
    from tftctl.select.gate_scores import read_gates
    from tftctl.select.ledger import ledger_of
    from tftctl.select.tree_perm import digest, read_index

    chosen = load_selection_config(workspace, None, overrides)
    weights, stage = stage_weights(workspace, asked.weights, asked.stage)
    evidence = read_index(within(workspace, asked.source))
    gates = read_gates(within(workspace, asked.tft_file)) if asked.tft_file else None
    if gates is None and asked.tft_bonus is not None:
        raise UsageError(
            "--tft-bonus says what gates add, and --tft-file names none",
            "name what tftctl select tft-gating has written: --tft-file reports/feature_evidence/tft_gating.csv",
        )
    rules = core_rules(chosen, asked, weights, len({name for cell in evidence for name in cell.features["feature"]}))
    core = aggregate(evidence, rules, gates)
    key = digest([sorted(str(cell.facts.get("key")) for cell in evidence), str(rules), gates and gates.facts])
    ledger_of(workspace).count("aggregate-core", key, {cell.target: 1 for cell in evidence})
    return write_core(workspace, core, evidence, gates, stage, asked, say)


def core_rules(chosen: Any, asked: CoreAsked, weights: dict[str, float], pool: int) -> Any:
    """Rules of a core; a topk that nobody named is at most the pool."""
    from tftctl.select.aggregate_core import Rules

    return Rules(
        weights=weights,
        topk=asked.topk if asked.topk is not None else min(chosen.topk, pool),
        pinned=(*chosen.pinned, *asked.pinned),
        banned=(*chosen.banned, *asked.banned),
        tft_bonus=chosen.tft_bonus if asked.tft_bonus is None else asked.tft_bonus,
        level=chosen.level,
        keep_below=asked.keep_below,
    )


def write_core(
    workspace: Workspace, core: Core, evidence: Any, gates: Any, stage: str, asked: CoreAsked, say: Say
) -> CoreFiles:
    """Summary and allowlist; where nothing is selected the allowlist stays as it is."""
    from tftctl.select.aggregate_core import write_summary
    from tftctl.select.origin import origin_of

    summary, place = within(workspace, asked.summary), within(workspace, asked.allowlist)
    origin = origin_of(evidence, gates)
    write_summary(summary, core, {**origin.document(), "stage": stage})
    if core.without_gate:
        say(f"{len(core.without_gate)} features of the evidence have no gate: the network was trained without them")
    if not core.selected:
        say(f"no feature passes the threshold: {shown(workspace, place)} stays as it was; --keep-below takes the best "
            "ones all the same")  # fmt: skip
        return CoreFiles(core, stage, shown(workspace, summary), None)
    facts = {"topk": core.topk, "stage": stage, "level": evidence[0].facts["level"], "gates": origin.gates}
    put_allowlist(place, core.selected, "tftctl select aggregate-core", origin, facts)
    return CoreFiles(core, stage, shown(workspace, summary), shown(workspace, place))


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
