"""A made-up selection with known numbers: what the page and its pictures are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from tftctl.select.aggregate_core import Rules, aggregate, summary_document
from tftctl.select.evidence import SCHEMA, Evidence
from tftctl.select.gate_scores import GateScores
from tftctl.select.page import Findings

THRESHOLD = 3.0


def cell(target: str, period: str, names: Sequence[str], good: int, seed: int) -> Evidence:
    """The first `good` features are above, the last two are a cluster that is above as one, the rest and the probes
    are below."""
    rng = np.random.default_rng(seed)
    size = len(names)
    se = rng.uniform(0.0005, 0.002, 2 * size)
    z = np.concatenate([rng.uniform(4, 9, good), rng.uniform(-1, 2.5, 2 * size - good)])
    clustered = [size - 2, size - 1]
    number = [1 if place in clustered else None for place in range(2 * size)]

    def of_cluster(value: Any) -> list[Any]:
        return [None if mark is None else value for mark in number]

    table = {
        "feature": [*names, *names],
        "kind": ["feature"] * size + ["probe"] * size,
        "gain": rng.uniform(size=2 * size),
        "importance": z * se,
        "se": se,
        "low": z * se - 1.9 * se,
        "high": z * se + 2.1 * se,
        "z": z,
        "p": np.where(z > THRESHOLD, 1e-5, 0.8),
        "above": z > THRESHOLD,
        "cluster": number,
        "cluster_importance": of_cluster(0.01),
        "cluster_low": of_cluster(0.005),
        "cluster_high": of_cluster(0.015),
        "cluster_z": of_cluster(5.0),
        "cluster_p": of_cluster(1e-5),
        "cluster_above": of_cluster(True),
    }
    facts = {"threshold_z": THRESHOLD, "level": 0.05, "skill": 0.03, "rows": 9000}
    frame = pl.DataFrame(table, schema=SCHEMA, strict=False)
    return Evidence(target, period, frame.sort(["kind", "importance"], descending=[False, True]), facts)


def make_findings(
    names: Sequence[str] = tuple(f"feature_{number}" for number in range(12)),
    targets: Sequence[str] = ("target_up", "target_return"),
    periods: Sequence[str] = ("1d", "1h"),
    good: int = 4,
    *,
    gates: bool = True,
    optimize: bool = True,
    rolling: bool = True,
    p: float | None = 0.004,
    remaining: float = 0.0091,
) -> Findings:
    """Evidence, core, strengths and the document of a whole pipeline; `p` and `remaining` are of the deflated gain."""
    pairs = [(target, period) for period in periods for target in targets]
    cells = [cell(target, period, names, good, seed) for seed, (target, period) in enumerate(pairs)]
    scores = _gates(names[:-1], periods) if gates else None
    core = aggregate(cells, Rules({}), scores)
    selected = list(core.selected)[:-1] if optimize else list(core.selected)
    document = {
        "command": "select run-pipeline",
        "made_at": "2026-03-01T10:20:30Z",
        "snapshot": 7,
        "data": "abc123",
        "cut": "2025-01-05T00:00:00Z",
        "until": "2024-12-31T00:00:00Z",
        "last_label_end": "2025-01-04T23:00:00Z",
        "targets": list(targets),
        "periods": list(periods),
        "pool": len(names),
        "seconds": 512.3,
        "stages": [{"name": "evidence", "seconds": 301.2, "fresh": True, "note": "4 cells"}],
        "evidence": [_of_cell(found, number) for number, found in enumerate(cells)],
        "unfit": [{"target": "target_rare", "period": "1w", "why": "a purged fold needs 250 rows"}],
        "absent": {"1d": ["never_there"]},
        "core": summary_document(core),
        "gates": _gate_facts() if gates else None,
        "optimize": _search(len(core.selected), selected) if optimize else None,
        "rolling": _rolling(names, selected, p, remaining) if rolling else None,
        "selected": selected,
        "allowlist": "configs/selected_features.txt",
    }
    rng = np.random.default_rng(3)
    values = np.abs(np.corrcoef(rng.standard_normal((len(names), 40)))) if len(names) > 1 else np.ones((1, 1))
    values[-2:, -2:] = 1.0
    return Findings(document, cells, core.summary, {period: (tuple(names), values) for period in periods}, scores)


def _of_cell(found: Evidence, number: int) -> dict[str, Any]:
    return {
        "target": found.target,
        "period": found.period,
        "skill": 0.031 - 0.02 * number,
        "threshold_z": THRESHOLD,
        "above": int(found.features["above"].sum()),
        "rows": 9000 + number,
        "folds": 5,
        "train_rows": 45_678,
        "train_rows_read": 12_345,
        "test_rows": 3000,
        "test_rows_read": 1000,
    }


def _gates(names: Sequence[str], periods: Sequence[str]) -> GateScores:
    rng = np.random.default_rng(9)
    weights = {period: dict(zip(names, rng.dirichlet(np.ones(len(names))).tolist(), strict=True)) for period in periods}
    return GateScores(weights, {})


def _gate_facts() -> dict[str, Any]:
    return {
        "run": "train-20260101_1200",
        "checkpoint": "runs/train-20260101_1200/checkpoints/last.ckpt",
        "cut": "2025-01-05T00:00:00Z",
        "last_label_end": "2025-01-04T23:00:00Z",
        "chosen_by_validation": False,
        "why": "the last checkpoint, whose length was fixed before",
        "origins": 51_200,
    }


def _search(pool: int, selected: Sequence[str]) -> dict[str, Any]:
    objectives = [0.020, 0.024, 0.022, 0.027]
    return {
        "method": "tpe",
        "pool": pool,
        "selected": list(selected),
        "size": len(selected),
        "objective": 0.027,
        "skill": 0.0285,
        "pool_skill": 0.0262,
        "trials": 4,
        "stopped_by": "patience",
        "seconds": 61.3,
        "history": [
            {"trial": number, "size": 1 + number % pool, "skill": value, "objective": value,
             "best": max(objectives[: number + 1])}
            for number, value in enumerate(objectives)
        ],
        "nested": {
            "first": "2024-09-01T00:00:00Z",
            "last": "2024-12-20T00:00:00Z",
            "skill": 0.0243,
            "pool_skill": 0.0236,
            "gain": {"value": 0.0007, "se": 0.0006, "low": -0.0004, "high": 0.0019},
            "spent_before": 2,
            "seen_by_pool": True,
        },
        "unfit": [],
        "study": "reports/study.sqlite",
    }  # fmt: skip


def _rolling(names: Sequence[str], selected: Sequence[str], p: float | None, remaining: float) -> dict[str, Any]:
    def gain(value: float) -> dict[str, float]:
        return {"value": value, "se": 0.001, "low": value - 0.002, "high": value + 0.002}

    skills = ((0.021, None), (0.023, 0.018), (0.019, 0.0175))
    return {
        "folds": [
            {
                "first": f"2024-0{number}-03T00:00:00Z",
                "last": f"2024-0{number}-28T00:00:00Z",
                "selected": list(selected),
                "skill": {"selected": mine, "all": mine - 0.001, "random": 0.01, "random_low": 0.004,
                          "random_high": 0.016, "last_selection": before},
            }
            for number, (mine, before) in enumerate(skills, 1)
        ],
        "gains": {"all": gain(0.0123), "random": gain(0.0145), "last_selection": None},
        "stability": {
            "frequency": {name: (1.0 if name in selected else 0.0) for name in names[:-1]} | {names[-1]: 1 / 3},
            "jaccard": 0.71,
            "kuncheva": 0.78,
        },
        "trials": {"target_up": 57, "target_return": 41},
        "deflated": {
            "statistic": "gain less luck",
            "trials": 57,
            "gain": remaining,
            "p": p,
            "per_target": {"target_up": {"trials": 57, "gain": -0.0031, "p": 0.7}},
        },
    }  # fmt: skip
