"""What a (target, period) says of every feature: one table, its facts beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tftctl.core.errors import DataError
from tftctl.core.files import replace_file, replace_text

REVISION = 3
SCHEMA = {
    "feature": pl.String, "kind": pl.String, "gain": pl.Float64, "importance": pl.Float64, "se": pl.Float64,
    "low": pl.Float64, "high": pl.Float64, "z": pl.Float64, "p": pl.Float64, "above": pl.Boolean, "cluster": pl.Int64,
    "cluster_importance": pl.Float64, "cluster_low": pl.Float64, "cluster_high": pl.Float64, "cluster_z": pl.Float64,
    "cluster_p": pl.Float64, "cluster_above": pl.Boolean,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Of one target at one period: `table` has a row per feature and per null probe (`kind`), `facts` the rest.

    gain: share of the training loss that its splits save. importance: by how much the loss of a test row grows when it
    takes values of other times, as a share of the loss of the best constant forecast; se, low and high by a bootstrap
    over blocks of time (95 %); z = importance / se; p: chance of as large a z among features that mean nothing;
    above: z is beyond the threshold. cluster and what follows: the same of the features that are permuted together.
    """

    target: str
    period: str
    table: pl.DataFrame
    facts: Mapping[str, Any]

    @property
    def features(self) -> pl.DataFrame:
        """Rows of features, without probes."""
        return self.table.filter(pl.col("kind") == "feature")


def summarise(cell: Evidence) -> dict[str, Any]:
    """A cell in a few numbers; rows are those of all folds together."""
    folds = cell.facts["folds"]
    return {
        "target": cell.target,
        "period": cell.period,
        "skill": cell.facts["skill"],
        "threshold_z": cell.facts["threshold_z"],
        "above": int(cell.features["above"].sum()),
        "rows": cell.facts["rows"],
        "folds": len(folds),
        **{
            key: sum(fold[key] for fold in folds)
            for key in ("train_rows", "train_rows_read", "test_rows", "test_rows_read")
        },
    }


def evidence_path(folder: Path, period: str, target: str) -> Path:
    """Where a cell's Parquet file lies; CSV and facts beside it."""
    return folder / f"{period}-{target}.parquet"


def write_evidence(folder: Path, found: Evidence) -> Path:
    """Write Parquet and CSV, then the facts: where these are, the cell is complete."""
    path = evidence_path(folder, found.period, found.target)
    folder.mkdir(parents=True, exist_ok=True)
    write_table(path.with_suffix(".csv"), found.table)
    replace_json(path.with_suffix(".json"), found.facts)
    return path


def write_table(path: Path, table: pl.DataFrame) -> None:
    """A table as Parquet, and as CSV at `path` beside it; each is there whole or not at all. Their folder is there."""
    replace_file(path.with_suffix(".parquet"), table.write_parquet)
    replace_file(path, table.write_csv)


def replace_json(path: Path, document: Mapping[str, Any]) -> None:
    """One readable JSON document, there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(document, indent=2, default=str) + "\n")


def read_facts(path: Path) -> Mapping[str, Any] | None:
    """A JSON document; None where there is none. Raises DataError for one that is damaged."""
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}", "remove it, and run the command that makes it again") from None


def read_cell(path: Path) -> Evidence:
    """The evidence of one Parquet file and the facts beside it. Raises DataError where either is missing or damaged."""
    facts = read_facts(path.with_suffix(".json"))
    if facts is None:
        raise DataError(f"{path.with_suffix('.json')} is missing", "make the evidence again: tftctl select tree-perm")
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} cannot be read: {error}", "make it again: tftctl select tree-perm") from None
    lacking = [name for name in SCHEMA if name not in table.columns]
    if lacking or "target" not in facts or "period" not in facts:
        raise DataError(f"{path} is no evidence of tree-perm: it has no {(lacking or ['facts'])[0]!r}",
                        "name the folder that tftctl select tree-perm wrote")  # fmt: skip
    return Evidence(str(facts["target"]), str(facts["period"]), table, facts)
