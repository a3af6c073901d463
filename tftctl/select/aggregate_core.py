"""`tftctl select aggregate-core`: evidence of all targets and periods as one core set of features."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import polars as pl

from tftctl.core.errors import DataError, UsageError, choices
from tftctl.core.names import is_pattern
from tftctl.select.evidence import Evidence, replace_json, write_table
from tftctl.select.gate_scores import Agreement, GateScores, agreement
from tftctl.select.ranking import rank_scores
from tftctl.select.resampling import DRAWS
from tftctl.select.work import digest, shares

_WEIGHTLESS = ("every target of the evidence weighs 0", "give one of them a weight, or name another --stage")


@dataclass(frozen=True, slots=True)
class Rules:
    """What makes the core: `topk` features at most, null for all; `pinned` always, `banned` never (names or patterns).

    `level`: the chance that any feature without information becomes evidence, in each (target, period); with
    `together` in all of them.
    `keep_below` also takes features without evidence, up to topk.
    """

    weights: Mapping[str, float]
    topk: int | None = None
    pinned: Sequence[str] = ()
    banned: Sequence[str] = ()
    tft_bonus: float = 0.15
    level: float = 0.05
    keep_below: bool = False
    together: bool = False

    def tests(self, cells: int) -> int:
        """How many cells a p has to be corrected for."""
        return cells if self.together else 1

    @property
    def level_over(self) -> str:
        """What the level holds for: `each` cell, or all of them `together`."""
        return "together" if self.together else "each"


@dataclass(frozen=True, slots=True, eq=False)
class Core:
    """`selected` in the order of their rank, and a row of `summary` for every feature of the pool.

    `rules` are those it was made by, with the topk that held.
    """

    selected: tuple[str, ...]
    summary: pl.DataFrame
    rules: Rules
    agreement: Mapping[str, Agreement] = field(default_factory=dict)
    without_gate: tuple[str, ...] = ()


def aggregate(evidence: Sequence[Evidence], rules: Rules, gates: GateScores | None = None) -> Core:
    """Rank all features of the evidence and choose.

    A feature's score is the mean of its rank scores (`cell_scores`), targets by their weights and each target's periods
    alike, over the cells where it has values; beside it `tft_bonus` times its gate score. It is evidence where its
    importance, or that of the cluster of which it is the best, passes the threshold at `level` in some cell; with
    `together` at `level` divided by the number of cells (Bonferroni). Raises UsageError for a topk larger than the
    pool, names that are not in it, and weights of 0 alone.
    """
    weighed = [cell for cell in evidence if rules.weights.get(cell.target, 1.0) > 0]
    if not weighed:
        raise UsageError(*_WEIGHTLESS)
    pool = _pool(evidence)
    topk = _topk(rules.topk, len(pool))
    pinned, banned = _named(rules.pinned, pool, "pinned"), _named(rules.banned, pool, "banned")
    _refuse_both(pinned, banned)
    _require_level(rules.level, rules.tests(len(weighed)))
    scores = dict.fromkeys(pool, 0.0) | _scores(weighed, rules.weights)
    by_period = _by_period(weighed, rules.weights)
    judged = _judged(weighed)
    bonus = gates.scores(judged) if gates is not None else {}
    total = {name: scores[name] + rules.tft_bonus * bonus.get(name, 0.0) for name in pool}
    proof = _proof(weighed, rules)
    order = sorted(pool, key=lambda name: (-total[name], name))
    selected = _choose(order, topk, pinned, banned, proof, keep_below=rules.keep_below)
    rows = [
        {
            "rank": place,
            "feature": name,
            "selected": name in selected,
            "why": _why(name, selected, pinned, banned, proof),
            "score": total[name],
            "trees": scores[name],
            "gate": bonus.get(name),
            "p": proof[name].p if name in proof else None,
            "above": proof[name].above if name in proof else 0,
            "best": proof[name].best if name in proof else None,
            "cluster_of": proof[name].clustered if name in proof else False,
            **{f"trees_{period}": mine.get(name) for period, mine in by_period.items()},
        }
        for place, name in enumerate(order, 1)
    ]
    return Core(
        selected=tuple(name for name in order if name in selected),
        summary=pl.DataFrame(rows, infer_schema_length=None),
        rules=replace(rules, topk=topk),
        agreement=_agreements(scores, by_period, gates, bonus),
        without_gate=tuple(name for name in pool if gates is not None and name not in bonus),
    )


@dataclass(frozen=True, slots=True)
class _Proof:
    """The smallest p over cells, corrected as the rules say; `above` counts cells at their own level."""

    p: float
    above: int
    best: str
    clustered: bool
    evident: bool


def _require_level(level: float, cells: int) -> None:
    """No p is smaller than one by the number of bootstrap draws; with many cells none could pass a small level."""
    smallest = cells / (DRAWS + 1)
    if smallest > level:
        raise UsageError(
            f"level {level:g}: over {cells} cells no p below {smallest:.2g} can be told from {DRAWS} draws",
            f"use a level of at least {smallest:.2g}, or fewer targets and periods",
        )


def core_key(evidence: Sequence[Evidence], rules: Rules, gates: GateScores | None) -> str:
    """Changes with everything that a core depends on: one choice, whichever command makes it."""
    network = None if gates is None else [gates.facts["run"], gates.facts["checkpoint"], gates.weights]
    weights = {cell.target: rules.weights.get(cell.target, 1.0) for cell in evidence}
    return digest([sorted(str(cell.facts["key"]) for cell in evidence), {**asdict(rules), "weights": weights}, network])


def pinned_in(summary: pl.DataFrame) -> frozenset[str]:
    """Features of a core's summary that are there because they were pinned."""
    return frozenset(summary.filter(pl.col("why") == "pinned")["feature"].to_list())


def read_pinned(path: Path) -> frozenset[str]:
    """Of a summary that was written as CSV. Raises DataError where its Parquet file is missing or damaged."""
    try:
        return pinned_in(pl.read_parquet(path.with_suffix(".parquet")))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path.with_suffix('.parquet')} cannot be read: {error}", "make it again: "
                        "tftctl select aggregate-core") from None  # fmt: skip


def at_most(rules: Rules, evidence: Sequence[Evidence]) -> Rules:
    """The rules with a topk of at most the features that the evidence has: cells that were left out may lack some."""
    size = len(_pool(evidence))
    return replace(rules, topk=min(rules.topk or size, size))


def _pool(evidence: Sequence[Evidence]) -> list[str]:
    return list(dict.fromkeys(name for cell in evidence for name in cell.features["feature"].to_list()))


def check_rules(rules: Rules, targets: Sequence[str], pool: Sequence[str], periods: int = 1) -> None:
    """Raise UsageError for rules that no evidence of these targets and features could satisfy, before there is any."""
    _require_level(rules.level, rules.tests(len(targets) * periods))
    if all(rules.weights.get(target, 1.0) == 0 for target in targets):
        raise UsageError(*_WEIGHTLESS)
    _topk(rules.topk, len(pool))
    pinned, banned = (_named(asked, pool, what) for asked, what in ((rules.pinned, "pinned"), (rules.banned, "banned")))
    _refuse_both(pinned, banned)


def _topk(asked: int | None, pool: int) -> int:
    if asked is not None and asked > pool:
        raise UsageError(f"topk {asked}: the pool has {pool} features", f"use at most {pool}, or leave --topk out")
    return pool if asked is None else asked


def _named(asked: Sequence[str], pool: Sequence[str], what: str) -> set[str]:
    found: set[str] = set()
    for text in asked:
        matching = {name for name in pool if fnmatchcase(name, text)} if is_pattern(text) else {text} & set(pool)
        if not matching:
            raise UsageError(f"{what}: {text!r} is no feature of the evidence", choices(text, pool, "features"))
        found |= matching
    return found


def _refuse_both(pinned: set[str], banned: set[str]) -> None:
    both = sorted(pinned & banned)
    if both:
        raise UsageError(
            f"{both[0]} is both pinned and banned", "take it, or a pattern that means it, out of one of them"
        )


def means_any(text: str, pool: Collection[str]) -> bool:
    """Whether a name or pattern means any of these features."""
    return any(fnmatchcase(name, text) for name in pool) if is_pattern(text) else text in pool


def cell_scores(cell: Evidence) -> dict[str, float]:
    """Of one cell the mean of two rank scores: by permutation importance, and by the trees' gain.

    A permutation importance below zero means as little as none. Among features of which none stands out it is chance
    that ranks them; what trees use is steadier from sample to sample.
    """
    table = cell.features
    names, gain = table["feature"].to_list(), table["gain"].to_list()
    worth = [max(value, 0.0) for value in table["importance"].to_list()]
    both = [rank_scores(dict(zip(names, values, strict=True))) for values in (worth, gain)]
    return {name: (both[0][name] + both[1][name]) / 2 for name in names}


def _scores(cells: Sequence[Evidence], weights: Mapping[str, float]) -> dict[str, float]:
    """Weighted mean of the rank scores: each target's weight is divided evenly among the cells it has."""
    sums: dict[str, float] = {}
    totals: dict[str, float] = {}
    share = shares([cell.target for cell in cells], weights)
    for cell in cells:
        weight = share[cell.target]
        for name, score in cell_scores(cell).items():
            sums[name] = sums.get(name, 0.0) + weight * score
            totals[name] = totals.get(name, 0.0) + weight
    return {name: sums[name] / totals[name] for name in sums}


def _judged(cells: Sequence[Evidence]) -> dict[str, set[str]]:
    """Features with evidence at each period."""
    found: dict[str, set[str]] = {}
    for cell in cells:
        found.setdefault(cell.period, set()).update(cell.features["feature"].to_list())
    return found


def _by_period(cells: Sequence[Evidence], weights: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Scores at each period, of the features that have values there."""
    periods = dict.fromkeys(cell.period for cell in cells)
    return {period: _scores([cell for cell in cells if cell.period == period], weights) for period in periods}


def _proof(cells: Sequence[Evidence], rules: Rules) -> dict[str, _Proof]:
    found: dict[str, _Proof] = {}
    for cell in cells:
        table = cell.features
        best_of = _best_of_clusters(table)
        for row in table.iter_rows(named=True):
            stands_for = best_of.get(row["cluster"]) == row["feature"] and row["cluster_p"] < row["p"]
            p = min(1.0, (row["cluster_p"] if stands_for else row["p"]) * rules.tests(len(cells)))
            known = found.get(row["feature"])
            above = bool(row["above"]) or (bool(row["cluster_above"]) and stands_for)
            count = (known.above if known else 0) + above
            if known is None or p < known.p:
                where = f"{cell.target}@{cell.period}"
                found[row["feature"]] = _Proof(p, count, where, stands_for, p <= rules.level)
            else:
                found[row["feature"]] = _Proof(known.p, count, known.best, known.clustered, known.evident)
    return found


def _best_of_clusters(table: pl.DataFrame) -> dict[int, str]:
    """The member of each cluster with the largest importance of its own; the table is sorted by it."""
    best: dict[int, str] = {}
    for cluster, name in table.select("cluster", "feature").iter_rows():
        if cluster is not None:
            best.setdefault(cluster, name)
    return best


def _choose(
    order: Sequence[str],
    topk: int,
    pinned: set[str],
    banned: set[str],
    proof: Mapping[str, _Proof],
    *,
    keep_below: bool,
) -> set[str]:
    """Pinned ones first, also when these alone are more than topk; then the best that are evidence."""
    chosen = pinned - banned
    for name in order:
        if len(chosen) >= topk:
            break
        if name not in banned and (keep_below or (name in proof and proof[name].evident)):
            chosen.add(name)
    return chosen


def _why(name: str, selected: set[str], pinned: set[str], banned: set[str], proof: Mapping[str, _Proof]) -> str:
    if name in banned:
        return "banned"
    if name in pinned:
        return "pinned"
    if name in proof and proof[name].evident:
        return "evidence" if name in selected else "beyond topk"
    return "kept without evidence" if name in selected else "below the threshold"


def _agreements(
    scores: Mapping[str, float],
    by_period: Mapping[str, Mapping[str, float]],
    gates: GateScores | None,
    bonus: Mapping[str, float],
) -> dict[str, Agreement]:
    """Over all periods, and of each."""
    if gates is None:
        return {}
    periods = {period: agreement(mine, gates.weights.get(period, {})) for period, mine in by_period.items()}
    return {"all": agreement(scores, bonus), **periods}


def summary_document(core: Core) -> dict[str, Any]:
    """Of a core: what was chosen and why, for JSON."""
    return {
        "selected": list(core.selected),
        "topk": core.rules.topk,
        "level": core.rules.level,
        "level_over": core.rules.level_over,
        "pool": core.summary.height,
        "counts": {why: int(number) for why, number in core.summary.group_by("why").len().iter_rows()},
        "agreement": {
            period: {"features": found.features, "spearman": found.spearman, "top": found.top, "overlap": found.overlap}
            for period, found in core.agreement.items()
        },
        "without_gate": list(core.without_gate),
    }


def write_summary(path: Path, core: Core, origin: Mapping[str, Any]) -> None:
    """The summary as CSV; beside it the same as Parquet, and what was chosen from what (`origin`) as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, core.summary)
    replace_json(path.with_suffix(".json"), {**summary_document(core), **origin})
