"""The network's gates as a score of features, and whether they agree with the trees."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tftctl.core.errors import DataError
from tftctl.select.evidence import read_facts
from tftctl.select.ranking import rank_scores

COLUMNS = ("variables", "period", "symbol", "feature", "kind", "weight", "spread", "origins", "rank")
ALL_SYMBOLS = "*"


@dataclass(frozen=True, slots=True)
class GateScores:
    """Mean gate weights of the encoder per period and feature, all symbols together; facts of the checkpoint."""

    weights: Mapping[str, Mapping[str, float]]
    facts: Mapping[str, Any]

    def scores(self, judged: Mapping[str, Collection[str]]) -> dict[str, float]:
        """Rank score in [0, 1] per feature, the mean over the periods at which it is judged.

        A column without values at a period has a gate there all the same; it says nothing.
        """
        ranked = [
            rank_scores({name: weight for name, weight in self.weights[period].items() if name in names})
            for period, names in judged.items()
            if period in self.weights
        ]
        names = dict.fromkeys(name for found in ranked for name in found)
        return {name: _mean([found[name] for found in ranked if name in found]) for name in names}


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of trees and gates: Spearman's correlation over `features` that both know, and the share that the best `top` of
    either have in common."""

    features: int
    spearman: float | None
    top: int
    overlap: float | None


def read_gates(path: Path) -> GateScores:
    """The file that `tftctl select tft-gating` writes. Raises DataError where it is not there or not that."""
    if not path.is_file():
        raise DataError(f"{path} does not exist", f"make it: tftctl select tft-gating --ckpt RUN --out {path}")
    try:
        table = pl.read_csv(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} cannot be read: {error}", "make it again: tftctl select tft-gating") from None
    lacking = [name for name in COLUMNS if name not in table.columns]
    if lacking:
        raise DataError(f"{path} has no column {lacking[0]!r}", "make it again: tftctl select tft-gating")
    mine = table.filter(
        (pl.col("variables") == "encoder") & (pl.col("symbol") == ALL_SYMBOLS) & (pl.col("kind") == "real")
    )
    weights = {
        str(period): dict(zip(rows["feature"].to_list(), rows["weight"].cast(pl.Float64).to_list(), strict=True))
        for (period,), rows in mine.group_by(["period"], maintain_order=True)
    }
    facts = read_facts(path.with_suffix(".json")) or {}
    if any(not facts.get(name) for name in ("run", "checkpoint", "last_label_end")):
        raise DataError(
            f"{path.with_suffix('.json')} does not say whose gates these are and which labels they have seen",
            "make both files again: tftctl select tft-gating",
        )
    return GateScores(weights, facts)


def agreement(trees: Mapping[str, float], gates: Mapping[str, float]) -> Agreement:
    """How far two scores of the same features say the same."""
    from scipy.stats import spearmanr

    names = [name for name in trees if name in gates]
    if len(names) < 3:
        return Agreement(len(names), None, 0, None)
    found = float(spearmanr([trees[name] for name in names], [gates[name] for name in names]).statistic)
    top = max(1, len(names) // 4)
    best = [set(_best(scores, names, top)) for scores in (trees, gates)]
    return Agreement(len(names), None if found != found else found, top, len(best[0] & best[1]) / top)


def _best(scores: Mapping[str, float], names: Sequence[str], top: int) -> list[str]:
    return sorted(names, key=lambda name: (-scores[name], name))[:top]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
