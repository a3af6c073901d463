"""The training itself, from top to bottom: epochs of steps, a validation after each, and what is kept of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from tftctl.core.config.model import ModelConfig
from tftctl.core.progress import TrainingStatus
from tftctl.data.assemble import Prepared
from tftctl.data.loaders import ordered_loader, train_loader
from tftctl.data.order import Shares, TrainOrder
from tftctl.data.windows import Batch
from tftctl.train.advance import after_epoch
from tftctl.train.checkpoint import CheckpointContent, LoadedCheckpoint, write_checkpoint
from tftctl.train.clock import Clock
from tftctl.train.course import frozen_by, train_order
from tftctl.train.judge import Judge
from tftctl.train.optimise import freeze, rate_of, scale_peak, step_schedule
from tftctl.train.parts import Ears, Outputs, Parts
from tftctl.train.predict import forecasts_of
from tftctl.train.recorder import Row
from tftctl.train.saved import module_state, process_states, restore, training_state
from tftctl.train.scores import Forecasts
from tftctl.train.stages import Stage, stage_at
from tftctl.train.sums import EpochSums
from tftctl.train.validation import gathered, validation_losses

AGREE_EVERY = 8  # steps between two questions whether any process was asked to stop


class Interrupted(KeyboardInterrupt):
    """Somebody asked the training to stop; its last checkpoint is written."""


class TrainingLoop:
    """One training, from the epoch and step in `progress` on.

    `content` is what its checkpoints say, but for their progress; `looking` origins are forecast at once in validation.
    """

    def __init__(
        self,
        parts: Parts,
        prepared: Prepared,
        content: CheckpointContent,
        judge: Judge,
        outputs: Outputs | None,
        ears: Ears,
        looking: int,
    ) -> None:
        self.parts, self.prepared, self.content = parts, prepared, content
        self.judge, self.outputs, self.ears = judge, outputs, ears
        self.progress = content.progress
        self._looking = looking
        self._names = [target.name for target in prepared.spec.targets]
        self._sums = self._no_sums()
        self._lr = content.course.lr
        self._frozen: tuple[str, ...] = ()
        self._clock = Clock(content.course.steps, content.progress.global_step)

    @property
    def config(self) -> ModelConfig:
        """The training's configuration."""
        return self.content.config

    def run(self) -> None:
        """Train to the last epoch, or until early stopping. Raises Interrupted between two steps."""
        while self.progress.epoch < self.content.course.epochs and not self.progress.stopped:
            stage = self.enter(self.progress.epoch)
            self._train(stage)
            values, forecasts = self._validate(stage)
            self._end_epoch(stage, values, forecasts)

    def enter(self, epoch: int) -> Stage:
        """What is different in the stage of an epoch: weights, peak of the schedule, frozen parameters."""
        stage = stage_at(self.content.course.stages, epoch)
        self.parts.module.loss.set_weights(stage.weights)
        scale_peak(self.parts.optimiser, self.parts.schedule, self._lr, stage.lr)
        self._lr = stage.lr
        patterns = (*stage.freeze, *frozen_by(self.config, epoch))
        resting = [self._names.index(name) for name in stage.resting] if len(self._names) > 1 else []
        if (*patterns, *map(str, resting)) != self._frozen:
            self._frozen = (*patterns, *map(str, resting))
            still = freeze(self.parts.module, patterns, resting)
            self.ears.say(f"{still:,} parameters are frozen from epoch {epoch + 1} on")
        return stage

    def order(self, stage: Stage) -> TrainOrder:
        """The order of an epoch in a stage, for this process."""
        fabric, prepared = self.parts.fabric, self.prepared
        return train_order(
            prepared, self.config, stage.batch_size, self.content.course.steps_per_epoch,
            fabric.world_size, fabric.global_rank,
        )  # fmt: skip

    def _train(self, stage: Stage) -> None:
        """The steps of this epoch that have not been made."""
        order = self.order(stage)
        order.epoch, order.first = self.progress.epoch, self.progress.step
        workers = 0 if self.config.num_workers == "auto" else self.config.num_workers
        portions = iter(train_loader(self.prepared.source, order, workers))
        self.parts.wrapped.train()
        self._clock.start()
        for step in range(order.first, order.steps):
            self._step(portions, order.shares)
            self._advance(epoch=self.progress.epoch, step=step + 1, global_step=self.progress.global_step + 1)
            self._clock.add(order.shares.batch_size * order.shares.parts)
            self._tell("train", stage, step + 1, order.steps)
            self._save_or_stop()

    def _step(self, portions: Iterator[Batch], shares: Shares) -> None:
        """One optimiser step over all portions of a global batch (M1)."""
        fabric = self.parts.fabric
        for number in range(shares.accumulate):
            batch = fabric.to_device(next(portions))
            with fabric.no_backward_sync(self.parts.wrapped, enabled=number < shares.accumulate - 1):
                losses = self.parts.wrapped(batch, shares.parts)
                fabric.backward(losses.total / shares.accumulate)
            self._sums.add(losses)
        self.parts.step(self.config.gradient_clip_val)
        step_schedule(self.parts.schedule)
        if self.parts.average is not None:
            self.parts.average.update(self.parts.module, self.progress.global_step + 1)

    def _save_or_stop(self) -> None:
        """A checkpoint every so many steps; and before the training stops because somebody asked it to."""
        asked = self._asked()
        every = self.config.checkpoint_every_steps
        if asked or (every and self.progress.global_step % every == 0):
            self._save_last()
        if asked:
            raise Interrupted

    def _asked(self) -> bool:
        """Whether any process was asked to stop: all of them have to stop at the same step."""
        asked = self.ears.stopper.asked
        if self.parts.fabric.world_size == 1:
            return asked
        if self.progress.global_step % AGREE_EVERY:
            return False
        everyone = self.parts.fabric.all_reduce(torch.tensor(float(asked)), reduce_op="sum")
        return bool(torch.as_tensor(everyone) > 0)

    def _validate(self, stage: Stage) -> tuple[dict[str, float], list[Forecasts]]:
        """Losses of the validation origins that choose checkpoints (M3, S6), and the forecasts of the main process."""
        parts, fabric = self.parts, self.parts.fabric
        parts.wrapped.eval()
        mine = torch.from_numpy(self.prepared.choosing)[fabric.global_rank :: fabric.world_size]
        loader = ordered_loader(self.prepared.source, mine, self._looking)
        seen: list[tuple[Tensor, ...]] = []
        with parts.averaged(), torch.no_grad(), fabric.autocast():
            for number, batch in enumerate(loader):
                looked = parts.module.look(fabric.to_device(batch))
                seen.append((batch["origin"], *(tensor.cpu() for tensor in looked)))
                self._tell("validation", stage, number + 1, len(loader))
                if fabric.world_size == 1 and self.ears.stopper.asked:
                    self._save_last()
                    raise Interrupted
        origins, forecasts, sums, counts = gathered(fabric, seen)
        values = validation_losses(self._names, sums, counts)
        if not fabric.is_global_zero:
            return values, []
        found = forecasts_of(self.prepared, origins.numpy(), forecasts.numpy())
        return {**values, **self.judge.score(found, values)}, found

    def _end_epoch(self, stage: Stage, values: dict[str, float], forecasts: list[Forecasts]) -> None:
        """Write the epoch's row, pictures, stages and checkpoint; what is chosen is chosen for all processes."""
        trained = self._sums.values(self.parts.fabric, self._names)
        logged = {**trained, **self.parts.fabric.broadcast(values)}
        row = self._row(stage, logged)
        done = self.progress.epoch + 1
        self.progress = after_epoch(self.progress, self.config, stage, logged, self.judge.composite.removed)
        self._sums = self._no_sums()
        states = process_states(self.parts, self._sums)
        if self.outputs is not None:
            self.outputs.recorder.add(row)
            every = self.config.plot_every_n_epochs
            if every and (done % every == 0 or done == self.content.course.epochs or self.progress.stopped):
                self.outputs.recorder.draw(forecasts, done - 1, self.progress.global_step)
            self.outputs.recorder.write_stages(self.progress.stages)
            self.outputs.keeper.end_epoch(done - 1, logged, partial(self._write, states=states))
        self._tell("epoch", stage, done, self.content.course.epochs, row)
        if not math.isfinite(logged["val_loss"]):
            self.ears.say("warning: the network has diverged, its losses are not finite; lower lr or gradient_clip_val")
        if self.progress.stopped:
            self.ears.say(
                f"stopped early: {self.config.monitor} has not become better for {self.progress.waited} epochs"
            )

    def _row(self, stage: Stage, values: Mapping[str, float]) -> Row:
        scales = self.parts.module.loss.scales().tolist()
        return {
            "epoch": self.progress.epoch,
            "step": self.progress.global_step,
            "stage": stage.name,
            "lr": rate_of(self.parts.optimiser),
            **{f"weight_{name}": stage.weights[name] for name in self._names},
            **{f"log_var_{name}": scale for name, scale in zip(self._names, scales, strict=True)},
            **values,
            **self._clock.row(),
        }

    def _advance(self, **changes: Any) -> None:
        self.progress = self.progress.model_copy(update=changes)

    def load(self, loaded: LoadedCheckpoint) -> None:
        """Go on where a checkpoint was written."""
        self._lr = restore(self.parts, self._sums, loaded)

    def _save_last(self) -> None:
        states = process_states(self.parts, self._sums)
        if self.outputs is not None:
            self.outputs.keeper.save_last(partial(self._write, states=states))
        self.parts.fabric.barrier()

    def _write(self, path: Path, states: list[dict[str, Any]]) -> None:
        kept = self.outputs.keeper.kept if self.outputs is not None else []
        content = self.content.model_copy(update={"progress": self.progress.model_copy(update={"kept": kept})})
        write_checkpoint(path, content, module_state(self.parts), training_state(self.parts, self._lr, states))

    def _no_sums(self) -> EpochSums:
        return EpochSums.empty(len(self._names), self.parts.fabric.device)

    def _losses_so_far(self) -> dict[str, float]:
        """The mean losses of this epoch, a few times a second: each look at them waits for the device."""
        return self._sums.here(self._names) if self._clock.due() else {}

    def _tell(
        self,
        phase: Literal["train", "validation", "epoch"],
        stage: Stage,
        done: int,
        total: int,
        row: Mapping[str, float] | None = None,
    ) -> None:
        epoch = self.progress.epoch - (phase == "epoch")
        self.ears.watch(
            TrainingStatus(
                phase=phase,
                stage=stage.name,
                stages=len(self.content.course.stages),
                epoch=epoch,
                epochs=self.content.course.epochs,
                done=done,
                total=total,
                lr=rate_of(self.parts.optimiser),
                values=row if row is not None else self._losses_so_far(),
                windows_per_second=self._clock.pace(),
                remaining_seconds=self._clock.remaining(),
            )
        )
