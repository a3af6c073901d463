"""`--lr-find`: the learning rate range test (Smith 2017)."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

from tftctl.core.workspace import Workspace
from tftctl.data.loaders import train_loader
from tftctl.data.source import snapshot_number
from tftctl.train.course import frozen_by, train_order
from tftctl.train.fit import prepare
from tftctl.train.optimise import freeze
from tftctl.train.quiet import quiet_lightning
from tftctl.train.session import reproducible
from tftctl.train.setup import check_frozen, launch, make_module, set_up
from tftctl.train.undertaking import Asked, Job, Undertaking

LOWEST, HIGHEST, TRIALS = 1e-7, 1.0, 100
SMOOTHING = 0.9  # of the mean of losses so far
DIVERGED = 4.0  # times the best loss ends the test
SHOWN = 20


@dataclass(frozen=True, slots=True)
class RateTest:
    """Rates and the smoothed total loss at each; `suggestion` is where it falls fastest, None where it never does."""

    suggestion: float | None
    rates: list[float]
    losses: list[float]
    picture: str

    def curve(self) -> list[tuple[float, float]]:
        """Some of the points, evenly spread."""
        step = max(len(self.rates) // SHOWN, 1)
        return list(zip(self.rates[::step], self.losses[::step], strict=True))


def find_rate(job: Job, asked: Asked) -> RateTest:
    """Train a fresh network for up to 100 steps at rates from 1e-7 to 1, each a step higher, and draw the losses.

    It stops where the loss is four times the best one. One process does it, on the batches of one. Nothing is kept but
    a picture in reports/.
    """
    asked = replace(asked, config=asked.config.model_copy(update={"devices": 1, "num_nodes": 1}))
    with job.store.read(snapshot_number(asked.config)) as snapshot:
        undertaking = prepare(job, asked, snapshot, "train")
        rates, losses = _trial_steps(job, undertaking)
    suggestion = steepest(rates, losses)
    picture = _draw(job.workspace, rates, losses, suggestion)
    return RateTest(suggestion, rates, losses, str(picture.relative_to(job.workspace.root)))


def steepest(rates: list[float], losses: list[float]) -> float | None:
    """The rate at which the smoothed loss falls fastest over log(rate), the first tenth and the last step left out."""
    first = len(losses) // 10
    falls = [(losses[place + 1] - losses[place - 1], rate) for place, rate in list(enumerate(rates))[first + 1 : -2]]
    fall, rate = min(falls, default=(0.0, None))
    return rate if fall < 0 else None


def _trial_steps(job: Job, undertaking: Undertaking) -> tuple[list[float], list[float]]:
    config, prepared = undertaking.asked.config, undertaking.prepared
    device, course = undertaking.device, undertaking.course
    fabric = launch(config, device, course.stages)
    with reproducible(config.seed):
        module = make_module(config, prepared.spec, job.registry)
        check_frozen(module, config, course.stages)
        freeze(module, (*course.stages[0].freeze, *frozen_by(config, 0)))
        with quiet_lightning():
            parts = set_up(fabric, module, config, course)
    order = train_order(prepared, config, course.stages[0].batch_size, None)
    parts.wrapped.train()
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    for step, batch in zip(range(TRIALS), cycle(train_loader(prepared.source, order, 0)), strict=False):
        rate = LOWEST * (HIGHEST / LOWEST) ** (step / (TRIALS - 1))
        for group in parts.optimiser.param_groups:
            group["lr"] = rate
        total = parts.wrapped(fabric.to_device(batch), order.shares.parts).total
        fabric.backward(total)
        parts.step(config.gradient_clip_val)
        mean = SMOOTHING * mean + (1 - SMOOTHING) * float(total.detach())
        loss = mean / (1 - SMOOTHING ** (step + 1))
        if not math.isfinite(loss) or (losses and loss > DIVERGED * abs(min(losses))):
            break
        rates.append(rate)
        losses.append(loss)
    return rates, losses


def _draw(workspace: Workspace, rates: list[float], losses: list[float], suggestion: float | None) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses)
    if suggestion is not None:
        axes.axvline(suggestion, color="tab:red", linestyle="--", label=f"falls fastest: {suggestion:.1e}")
        axes.legend()
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss, smoothed", title="learning rate range test")
    folder = workspace.reports / "lr_find"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"lr_find-{dt.datetime.now(dt.UTC):%Y%m%d_%H%M%S}.png"
    figure.savefig(path, dpi=120)
    return path
