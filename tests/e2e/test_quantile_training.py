"""A quantile head and a likelihood through the command line: configured, trained, scored, written."""

from __future__ import annotations

import polars as pl
import pytest
from training_world import TARGETS, document, epochs_of, linked, tftctl

from tftctl.core.config.loading import read_yaml
from tftctl.core.workspace import Workspace

LEVELS = {"target_logreturn": ("q5", "q50", "q97_5"), "target_max_drawdown": ("q10", "q50", "q90")}
COMPOSITE = """\
val_target_logreturn_pinball@1h: -0.4
val_target_max_drawdown_coverage@1h: 0.3
val_target_logreturn_icir@1h: 0.3
"""


@pytest.fixture(scope="module")
def run(trained: Workspace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    """The tiny market after four steps with three other losses, its own score and configuration."""
    workspace = linked(trained, tmp_path_factory.mktemp("quantiles"))
    _own_configs(workspace)
    options = (
        "losses.target_logreturn={name: quantile, levels: [0.05, 0.5, 0.975]}",
        "losses.target_max_drawdown=student_t",
        "losses.target_binarytrend=focal",
        "output_size=[1, 3, 3]",
        "batch_size=1000",
    )
    overrides = [part for option in options for part in ("-o", option)]
    done = tftctl(workspace, "train", "--max-steps", "4", "--accelerator", "cpu", "--json", *overrides)
    found = document(done)
    assert "composite score: left out, undefined in these data: val_target_logreturn_icir@1h" in done.stderr
    return workspace, found["run"]


def _own_configs(workspace: Workspace) -> None:
    """A folder of its own in the place of the link."""
    texts = {path.name: path.read_text() for path in workspace.configs.iterdir()} | {"composite_score.yaml": COMPOSITE}
    (workspace.root / "configs").unlink()
    workspace.configs.mkdir()
    for name, text in texts.items():
        (workspace.configs / name).write_text(text)


def test_what_is_logged_and_composed(run: tuple[Workspace, str]) -> None:
    """M4, M5: quantile metrics of the heads that have quantiles; three symbols have no cross-section to rank."""
    workspace, name = run
    row = epochs_of(workspace, name)[-1]
    scored = {key.removesuffix("_pinball@1h").removeprefix("val_") for key in row if key.endswith("_pinball@1h")}
    assert scored == set(LEVELS)
    pinball, covered = row["val_target_logreturn_pinball@1h"], row["val_target_max_drawdown_coverage@1h"]
    want = (0.4 / (1 + pinball) + 0.3 * (1 - abs(covered - 0.8))) / 0.7
    assert row["val_composite_score"] == pytest.approx(want, abs=1e-6)
    losses = read_yaml(workspace.runs / name / "configs" / "model_config.yaml")["losses"]
    assert losses["target_logreturn"] == {"name": "quantile", "levels": [0.05, 0.5, 0.975]}


def test_predictions_hold_quantiles_that_give_the_scores(run: tuple[Workspace, str]) -> None:
    """M4: coverage counted in the file, at the origins that all models have; the point is the median."""
    workspace, name = run
    found = document(tftctl(workspace, "eval", name, "--split", "val", "--json"))
    frame = pl.read_parquet(workspace.root / found["predictions"])
    assert frame.columns[-5:] == ["q5", "q10", "q50", "q90", "q97_5"]
    values = {(m["model"], m["target"], m["period"], m["metric"]): m["value"] for m in found["metrics"]}
    scored = {(model, target) for model in ("tft", "mean") for target in LEVELS}
    assert {key[:2] for key in values if key[3] == "coverage"} == scored
    for target in TARGETS:
        rows = frame.filter(pl.col("target") == target, pl.col("period") == "1h")
        columns = LEVELS.get(target, ())
        absent = [column for column in ("q5", "q10", "q50", "q90", "q97_5") if column not in columns]
        assert all(rows[column].null_count() == rows.height for column in absent)
        if not columns:
            continue
        low, middle, high = (rows[column] for column in columns)
        assert ((low <= middle) & (middle <= high)).all()
        assert middle.to_list() == pytest.approx(rows["prediction"].to_list())
        common = rows.drop_nulls(["mean", "persistence"])
        share = common.select(
            ((pl.col(columns[0]) <= pl.col("truth")) & (pl.col("truth") <= pl.col(columns[2]))).mean()
        )
        assert values["tft", target, "1h", "coverage"] == pytest.approx(share.item())
    text = (workspace.root / found["predictions"]).with_suffix(".csv").read_text().splitlines()
    assert text[0].endswith("q5,q10,q50,q90,q97_5")


def test_a_coverage_without_quantiles_starts_no_run(run: tuple[Workspace, str]) -> None:
    """M5: a configuration error that says which loss would help; nothing is left behind."""
    workspace, _ = run
    before = sorted(path.name for path in workspace.runs.iterdir())
    failed = document(tftctl(workspace, "train", "--json"), code=2)["error"]
    assert failed["message"].endswith("the loss of target_logreturn forecasts no quantiles")
    assert "quantile, student_t" in failed["hint"]
    assert sorted(path.name for path in workspace.runs.iterdir()) == before
