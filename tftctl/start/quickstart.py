"""`tftctl quickstart`: the whole main job on the embedded synthetic market."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tftctl.core.progress import Report, Say, Watch, silent, unwatched
from tftctl.core.workspace import Workspace, open_workspace
from tftctl.start.data_jobs import fetch_job
from tftctl.start.jobs import build_job, eval_job, train_job
from tftctl.start.scaffold import create_workspace, template, write_new

if TYPE_CHECKING:
    from tftctl.evaluate.evaluation import Evaluation
    from tftctl.features.build import BuildResult
    from tftctl.ingest.sources import Fetched
    from tftctl.train.undertaking import TrainResult

CONFIG = "quickstart_model.yaml"
SAMPLE = ("symbols=3", "days=540")


@dataclass(frozen=True, slots=True)
class Quickstart:
    """What each step made."""

    workspace: str
    sample: Fetched
    build: BuildResult
    training: TrainResult
    evaluation: Evaluation
    seconds: float


def quickstart(folder: Path, say: Say, report: Report = silent, watch: Watch = unwatched) -> Quickstart:
    """Sample -> build -> train a small network -> eval, in a workspace of its own.

    A second run adds a run to the same workspace; sample and features are there already. Raises DataError when
    `folder` is a file or cannot be written to.
    """
    started = time.perf_counter()
    workspace = _workspace(folder)
    say("1/4 a synthetic market: 3 symbols at 1h, 4h and 1d, with 5 predictive columns among 10 decoys")
    sample = fetch_job(workspace, "synthetic", SAMPLE, sample=True, report=report)
    say("2/4 indicators, targets, and the fused table")
    build = build_job(workspace, report=report)
    say("3/4 a small network for four targets at three periods")
    training = train_job(workspace, workspace.configs / CONFIG, [], "auto", say, watch)
    say("4/4 forecasts for the test part, beside two baselines")
    evaluation = eval_job(workspace, training.run, "test", "best", report)
    seconds = round(time.perf_counter() - started, 1)
    return Quickstart(str(workspace.root), sample, build, training, evaluation, seconds)


def _workspace(folder: Path) -> Workspace:
    root = create_workspace(folder).root
    write_new(root / "configs" / CONFIG, template(CONFIG))
    return open_workspace(root)
