"""Learning is real: a short training finds the planted signal of the synthetic market, and nothing in shuffled labels.

The long form, three seeds with intervals: benchmarks/learning.py.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import r2_score, roc_auc_score
from training_world import document, tftctl

from tftctl.core.workspace import Workspace
from tftctl.start.scaffold import create_workspace
from tftctl.store import Store

SIGNALS = [f"signal_{number}" for number in range(1, 6)]
DECOYS = [f"decoy_{number}" for number in range(1, 6)]
TARGETS = ["target_logreturn", "target_binarytrend"]
RHO = np.sqrt(0.05)  # correlation of the planted signal with the next return, in standard deviations
FEATURES = f"""\
periods: [1h, 4h, 1d]
indicators: [log_return, rolling_volatility, rsi]
targets: [{", ".join(TARGETS)}]
context: {{1h: [4h, 1d], 4h: [1d]}}
context_features: [rolling_volatility]
"""
MODEL = f"""\
targets: [{", ".join(TARGETS)}]
reals: [{", ".join([*SIGNALS, *DECOYS])}, log_return, rolling_volatility, rsi, rolling_volatility__1d]
max_encoder_length: 6
hidden_size: 16
hidden_continuous_size: 8
lstm_layers: 1
attention_head_size: 2
dropout: 0.1
max_epochs: 4
max_steps: 360
lr: 1.0e-2
test_ratio: 0.2
val_ratio: 0.1
"""


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three synthetic symbols of 540 days at three periods, with features and two targets."""
    root = tmp_path_factory.mktemp("learning")
    create_workspace(root)
    (root / "configs" / "features.yaml").write_text(FEATURES)
    (root / "configs" / "model_config.yaml").write_text(MODEL)
    workspace = Workspace(root)
    document(tftctl(workspace, "data", "sample", "synthetic", "-o", "symbols=3", "-o", "days=540", "--json"))
    document(tftctl(workspace, "features", "build", "--json"))
    return workspace


@pytest.mark.slow
def test_the_planted_signal_is_found(synthetic: Workspace) -> None:
    """At least 60 % of the oracle's R2 and of its AUC above one half; much more than the oracle's would be a leak."""
    trend, returns = forecasts(synthetic, Store(synthetic.store).current())
    auc = roc_auc_score(trend["truth"], trend["prediction"]), roc_auc_score(trend["truth"], trend["x"])
    assert 0.58 < auc[1] < 0.64
    assert 0.6 < (auc[0] - 0.5) / (auc[1] - 0.5) < 1.3
    r2 = r2_score(returns["truth"], returns["prediction"]), r2_score(returns["truth"], RHO * returns["x"])
    assert 0.03 < r2[1] < 0.07
    assert 0.6 < r2[0] / r2[1] < 1.3


@pytest.mark.slow
def test_shuffled_labels_teach_nothing(synthetic: Workspace) -> None:
    """Labels in a random order of time: the forecasts are worth a fifth of the planted signal at most."""
    number = shuffled(synthetic)
    trend, returns = forecasts(synthetic, number)
    assert abs(roc_auc_score(trend["truth"], trend["x"]) - 0.5) < 0.02  # they are shuffled
    assert abs(roc_auc_score(trend["truth"], trend["prediction"]) - 0.5) < 0.02
    assert r2_score(returns["truth"], returns["prediction"]) < 0.01


def forecasts(workspace: Workspace, snapshot: int) -> list[pl.DataFrame]:
    """Test forecasts of a new training: of the trend, and of the return in standard deviations of its period.

    `x` is the signal of the same bar as the sample was made with: the mean of its columns times sqrt(5).
    """
    run = document(tftctl(workspace, "train", "--accelerator", "cpu", "-o", f"data_path={snapshot}", "--json"))["run"]
    found = document(tftctl(workspace, "eval", run, "--split", "test", "--json"))
    with Store(workspace.store).read() as stored:
        bars = stored.collect(stored.scan("bars", columns=SIGNALS))
    x = (pl.mean_horizontal(SIGNALS) * np.sqrt(5)).alias("x")
    keys = ["symbol", "period", "timestamp"]
    rows = pl.read_parquet(workspace.root / found["predictions"]).join(bars.select(*keys, x), on=keys)
    assert rows["period"].n_unique() == 3
    unit = pl.col("truth").std().over("period")
    returns = rows.filter(target="target_logreturn").with_columns(pl.col("truth", "prediction") / unit)
    return [rows.filter(target="target_binarytrend"), returns]


def shuffled(workspace: Workspace) -> int:
    """A snapshot whose labels stand in a random order of time in each group; its number."""
    store = Store(workspace.store)
    with store.write("shuffled labels") as txn:
        for period in txn.base.periods("targets"):
            rows = txn.base.collect(txn.base.scan("targets", period))
            parts = rows.partition_by("symbol", maintain_order=True)
            txn.replace("targets", period, [_shuffled(part, seed) for seed, part in enumerate(parts)])
        txn.commit()
    return store.current()


def _shuffled(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    """All but the last, which has no label yet."""
    labels = rows.select(TARGETS)
    order = np.append(np.random.default_rng(seed).permutation(rows.height - 1), rows.height - 1)
    return rows.with_columns(labels[order].get_columns())
