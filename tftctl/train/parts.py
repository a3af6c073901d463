"""What a training is made of: what learns, who is told, and where it writes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from lightning.fabric import Fabric
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tftctl.core.progress import Say, Watch
from tftctl.train.keeper import Keeper
from tftctl.train.module import ForecastModule
from tftctl.train.optimise import Average
from tftctl.train.recorder import Recorder
from tftctl.train.signals import Stopper


@dataclass(frozen=True, slots=True)
class Parts:
    """What learns. `wrapped` is `module` as Fabric runs it, and `stepped` its `optimiser`; `average` may be None."""

    fabric: Fabric
    module: ForecastModule
    wrapped: Any
    optimiser: Optimizer
    stepped: Any
    schedule: LRScheduler
    average: Average | None

    def averaged(self) -> AbstractContextManager[None]:
        """The module with averaged weights, where there are any."""
        return nullcontext() if self.average is None else self.average.used(self.module)

    def step(self, clip: float) -> None:
        """Clip the gradients to this norm (0: not at all), one step of the optimiser, and no gradients afterwards."""
        if clip:
            self.fabric.clip_gradients(self.wrapped, self.stepped, max_norm=clip, error_if_nonfinite=False)
        self.stepped.step()
        self.stepped.zero_grad()


@dataclass(frozen=True, slots=True)
class Ears:
    """Who is told: `say` lines, `watch` every step; `stopper` is asked after every step."""

    say: Say
    watch: Watch
    stopper: Stopper


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the main process writes; None in the others."""

    keeper: Keeper
    recorder: Recorder
