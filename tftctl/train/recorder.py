"""What a training writes while it goes on: `metrics.jsonl`, TensorBoard, pictures, and the best of each stage."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from tftctl.core.config.loading import dump_yaml, read_yaml
from tftctl.core.errors import ConfigError
from tftctl.core.files import replace_text
from tftctl.train.checkpoint import StageBest
from tftctl.train.composite import COMPOSITE_KEY
from tftctl.train.pictures import add_pictures, draw_forecasts, save_pictures
from tftctl.train.rundir import Run
from tftctl.train.scores import Forecasts
from tftctl.train.stages import Stage

Row = dict[str, Any]


class Recorder:
    """Writes into one run, and the stages also into `stage_log`, a file that several runs may share.

    `units` has the unit of each target, for the pictures.
    """

    def __init__(self, run: Run, stages: Sequence[Stage], stage_log: Path, units: Mapping[str, str]) -> None:
        self._run = run
        self._units = units
        self._stages = stages
        self._stage_log = stage_log
        self._writer = SummaryWriter(str(run.root / "lightning_logs"))

    def inherit(self, rows: Iterable[Row]) -> None:
        """The rows of the run that goes on here."""
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """Append an epoch's row; JSON has no NaN."""
        plain = {name: _finite(value) for name, value in row.items()}
        with self._run.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(plain) + "\n")
        for name, value in plain.items():
            if isinstance(value, int | float) and name not in ("epoch", "step"):
                self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()

    def draw(self, forecasts: Iterable[Forecasts], epoch: int, step: int) -> None:
        """Pictures of an epoch, as files and for TensorBoard."""
        figures = draw_forecasts(forecasts, f"{self._run.name}, epoch {epoch + 1}", self._units)
        save_pictures(figures, self._run.root / "pictures", epoch)
        add_pictures(self._writer, figures, step)

    def write_stages(self, best: Mapping[str, StageBest]) -> None:
        """`stages.yaml`, and the run's entry in the stage log."""
        document = {stage.name: _entry(stage, best.get(stage.name)) for stage in self._stages}
        replace_text(self._run.root / "stages.yaml", dump_yaml(document))
        self._stage_log.parent.mkdir(parents=True, exist_ok=True)
        replace_text(self._stage_log, dump_yaml({**read_stage_log(self._stage_log), self._run.name: document}))

    def close(self) -> None:
        """Finish the event file."""
        self._writer.close()


def read_stage_log(path: Path) -> dict[str, Any]:
    """Entries by run; none where there is no file yet. Raises ConfigError where it is something else."""
    found = (read_yaml(path) if path.is_file() else None) or {}
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is no log of stages", "choose another --log-name")
    return found


def better(before: StageBest | None, values: Mapping[str, float]) -> StageBest:
    """The best of a stage after one more epoch."""
    seen = before or StageBest(epochs=0, composite_score=None, val_loss=None)
    return StageBest(
        epochs=seen.epochs + 1,
        composite_score=_best(max, seen.composite_score, values.get(COMPOSITE_KEY)),
        val_loss=_best(min, seen.val_loss, values.get("val_loss")),
    )


def _best(choose: Any, *values: float | None) -> float | None:
    defined = [value for value in values if value is not None and math.isfinite(value)]
    return choose(defined) if defined else None


def _entry(stage: Stage, best: StageBest | None) -> dict[str, Any]:
    options: dict[str, Any] = {"freeze": stage.freeze, "resting": stage.resting}
    return {
        "from_epoch": stage.first,
        "epochs": stage.epochs,
        "weights": stage.weights,
        "lr": stage.lr,
        "batch_size": stage.batch_size,
        **{name: value for name, value in options.items() if value},
        "epochs_done": best.epochs if best else 0,
        "best_composite_score": best.composite_score if best else None,
        "best_val_loss": best.val_loss if best else None,
    }


def _finite(value: Any) -> Any:
    return value if not isinstance(value, float) or math.isfinite(value) else None
