"""Predictions against truth as files of the run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tftctl.evaluate.comparison import Comparison


def prediction_frame(comparisons: Sequence[Comparison]) -> pl.DataFrame:
    """One row per origin and target, sorted by target, period, symbol and time.

    symbol, period, timestamp, available_at, label_end (ms UTC), target, prediction and truth in the target's unit
    (a probability and 0 or 1 where it is binary), and the baselines beside them, null where one has no forecast.
    Then one column per quantile level of any target, q10 or q97_5, null where the target's head has none.
    """
    levels = sorted({level for comparison in comparisons for level in comparison.network.levels})
    columns = list(dict.fromkeys(map(quantile_column, levels)))
    frames = [_target_frame(comparison, columns) for comparison in comparisons]
    return pl.concat(frames).sort("target", "period", "symbol", "timestamp")


def quantile_column(level: float) -> str:
    """The level in percent: 0.1 -> q10, 0.975 -> q97_5."""
    return f"q{100 * level:.10g}".replace(".", "_")


def write_predictions(folder: Path, frame: pl.DataFrame, document: Mapping[str, Any]) -> None:
    """Write predictions.parquet, predictions.csv and evaluation.json; each appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    staged = {name: folder / f".{name}.{os.getpid()}" for name in _NAMES}
    try:
        frame.write_parquet(staged["predictions.parquet"], compression="zstd")
        frame.write_csv(staged["predictions.csv"])
        staged["evaluation.json"].write_text(json.dumps(_finite(document), indent=2) + "\n", encoding="utf-8")
        for name, path in staged.items():
            os.replace(path, folder / name)
    finally:
        for path in staged.values():
            path.unlink(missing_ok=True)


_NAMES = ("predictions.parquet", "predictions.csv", "evaluation.json")


def _target_frame(comparison: Comparison, columns: Sequence[str]) -> pl.DataFrame:
    network = comparison.network
    absent = np.full(network.timestamp.size, np.nan)
    made = () if network.quantiles_raw is None else network.quantiles_raw.T
    quantiles = dict(zip(map(quantile_column, network.levels), made, strict=True))
    return pl.DataFrame(
        {
            "symbol": network.symbol.astype(object),
            "period": network.period.astype(object),
            "timestamp": network.timestamp,
            "available_at": network.available_at,
            "label_end": network.label_end,
            "target": [network.target] * network.timestamp.size,
            "prediction": network.prediction_raw,
            "truth": network.truth_raw,
            **{name: np.asarray(values) for name, values in comparison.baselines.items()},
            **{column: quantiles.get(column, absent) for column in columns},
        },
        schema_overrides={"symbol": pl.String, "period": pl.String, "target": pl.String},
        nan_to_null=True,
    )


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
