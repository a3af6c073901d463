"""A seeded training on real bars follows the committed curve: nothing moves what is learned unseen.

A change that is meant:
python tests/golden/test_loss_curve.py ../shared/data > tests/golden/loss_curve.json
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tftctl.core.config.loading import load_features_config
from tftctl.core.workspace import Workspace
from tftctl.ingest.importer import ImportOptions
from tftctl.start.data_jobs import import_job
from tftctl.start.jobs import build_job, train_job
from tftctl.start.scaffold import create_workspace
from tftctl.train.curves import read_rows
from tftctl.train.rundir import Run

GOLDEN = Path(__file__).with_name("loss_curve.json")
TOLERANCE = 1e-3  # relative; processors differ
FILES = [
    f"crypto/{period}/{symbol}USDT.{'csv.gz' if period == '4h' else 'parquet'}"
    for symbol in ("BTC", "ETH")
    for period in ("1h", "4h", "1d")
]
FEATURES = """\
periods: [1h, 4h, 1d]
indicators: [log_return, rsi, rolling_volatility, amplitude_range, day_clock]
targets: [target_binarytrend, target_logreturn, target_logsharpe_ratio, target_drawdown_prob]
context: {1h: [4h, 1d], 4h: [1d]}
context_features: [log_return, rsi]
"""
PLAN = """\
together: {target_binarytrend: 1.0, target_logreturn: 1.0, target_logsharpe_ratio: 1.0, target_drawdown_prob: 1.0}
focus: {weights: {target_binarytrend: 1.5, target_logreturn: 0.8}, lr: 4e-3, freeze: ["lstm_*"], from_epoch: 2}
"""
OPTIONS = [
    "max_epochs=4", "max_steps=32", "max_encoder_length=16", "hidden_size=8", "attention_head_size=2", "lstm_layers=1",
    "batch_size=64", "lr=1e-2", "val_mode=days", "val_days=40", "test_days=40", "plot_every_n_epochs=0",
    "targets=[target_binarytrend, target_logreturn, target_logsharpe_ratio, target_drawdown_prob]",
]  # fmt: skip
KEYS = ("stage", "step", "train_loss", "val_loss", "val_composite_score")


def curve(root: Path, data: Path) -> list[dict[str, Any]]:
    """Two symbols, three periods, four targets, two stages: what each epoch logs."""
    create_workspace(root)
    workspace = Workspace(root)
    (root / "configs" / "features.yaml").write_text(FEATURES)
    (root / "plan.yaml").write_text(PLAN)
    import_job(workspace, [data / name for name in FILES], ImportOptions())
    build_job(workspace)
    targets = load_features_config(workspace).targets
    run = train_job(workspace, None, OPTIONS, "cpu", lambda _: None, plan=root / "plan.yaml").run
    keys = [*KEYS, *(f"val_{target.name}_loss" for target in targets)]
    return [{key: row[key] for key in keys} for row in read_rows(Run(workspace.runs / str(run)))]


@pytest.mark.shared
def test_a_seeded_training_on_real_bars_follows_its_curve(tmp_path: Path, shared_data: Path) -> None:
    """Stages, losses, val_loss and composite score of every epoch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = curve(tmp_path / "market", shared_data)
    finally:
        torch.set_num_threads(threads)
    want = json.loads(GOLDEN.read_text())
    assert [row["stage"] for row in found] == ["together", "together", "focus", "focus"]
    assert len(found) == len(want)
    for got, row in zip(found, want, strict=True):
        assert got == {
            key: value if isinstance(value, str) else pytest.approx(value, rel=TOLERANCE) for key, value in row.items()
        }
    assert want[-1]["val_loss"] < want[0]["val_loss"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        json.dump(curve(Path(folder) / "market", Path(sys.argv[1])), sys.stdout, indent=1)
        print()  # noqa: T201
