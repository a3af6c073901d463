"""What a training writes beside its checkpoints."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tftctl.core.config.yaml import read_yaml
from tftctl.train.checkpoint import StageBest
from tftctl.train.recorder import Recorder, better
from tftctl.train.rundir import Run
from tftctl.train.stages import Stage

STAGES = [
    Stage(name=name, first=first, last=first + 2, weights={"target_a": weight}, lr=0.1, batch_size=8)
    for name, first, weight in (("warm", 0, 1.0), ("focus", 2, 2.0))
]


def recorder(folder: Path, name: str) -> Recorder:
    """Of a new run."""
    (folder / name / "lightning_logs").mkdir(parents=True)
    return Recorder(Run(folder / name), STAGES, folder / "stage_logs" / "log.yaml", {})


def row(epoch: int, loss: float) -> dict[str, float | str]:
    """An epoch."""
    return {"epoch": epoch, "step": 10 * epoch + 10, "stage": "warm", "val_loss": loss, "val_composite_score": 0.5}


def test_rows_are_json_and_scalars(tmp_path: Path) -> None:
    """DESIGN 7: one object per epoch with null for what is undefined, and the same numbers in TensorBoard by step."""
    made = recorder(tmp_path, "run")
    made.inherit([row(0, 3.0)])
    made.add(row(1, 2.0))
    made.add(row(2, math.nan))
    made.close()
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [entry["val_loss"] for entry in rows] == [3.0, 2.0, None]
    events = EventAccumulator(str(tmp_path / "run" / "lightning_logs")).Reload()
    assert sorted(events.Tags()["scalars"]) == ["val_composite_score", "val_loss"]
    assert [(event.step, event.value) for event in events.Scalars("val_loss")] == [(10, 3.0), (20, 2.0)]


def test_stages_of_several_runs_stand_in_one_log(tmp_path: Path) -> None:
    """`--log-name`: each run has its entry, and its own stages.yaml."""
    best = StageBest(epochs=2, composite_score=0.75, val_loss=1.5)
    recorder(tmp_path, "one").write_stages({"warm": best})
    recorder(tmp_path, "two").write_stages({})
    log = read_yaml(tmp_path / "stage_logs" / "log.yaml")
    assert list(log) == ["one", "two"]
    assert log["one"] == read_yaml(tmp_path / "one" / "stages.yaml")
    warm, focus = log["one"]["warm"], log["one"]["focus"]
    assert (warm["from_epoch"], warm["epochs"], warm["epochs_done"]) == (0, 2, 2)
    assert (warm["best_composite_score"], warm["best_val_loss"], warm["weights"]) == (0.75, 1.5, {"target_a": 1.0})
    assert (focus["from_epoch"], focus["epochs_done"], focus["best_val_loss"]) == (2, 0, None)


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ([(0.5, 2.0), (0.7, 3.0), (0.6, 1.0)], (3, 0.7, 1.0)),
        ([(math.nan, math.nan)], (1, None, None)),
        ([(math.nan, 2.0), (0.1, math.inf)], (2, 0.1, 2.0)),
    ],
)
def test_the_best_of_a_stage(values: list[tuple[float, float]], want: tuple[int, float | None, float | None]) -> None:
    """The highest composite score and the lowest val_loss, each from its own epoch."""
    best = None
    for score, loss in values:
        best = better(best, {"val_composite_score": score, "val_loss": loss})
    assert best is not None
    assert (best.epochs, best.composite_score, best.val_loss) == want
