"""What a training has before it: in which order it sees its windows, in how many steps, and what rests meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import ConfigError
from tftctl.data.assemble import Prepared
from tftctl.data.order import Shares, TrainOrder, categories_of
from tftctl.train.checkpoint import Course
from tftctl.train.device import Device
from tftctl.train.stages import Stage


def make_course(
    prepared: Prepared,
    config: ModelConfig,
    stages: Sequence[Stage],
    steps_per_epoch: int | None,
    device: Device,
    *,
    lr: float,
    warmup: bool,
) -> Course:
    """All steps of a training. Raises ConfigError where the origins do not make one global batch."""
    steps = sum(
        stage.epochs * steps_of(prepared, config, stage.batch_size, steps_per_epoch, device) for stage in stages
    )
    return Course(
        stages=list(stages),
        epochs=stages[-1].last,
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        schedule_steps=steps,
        lr=lr,
        warmup=warmup,
    )


def steps_of(prepared: Prepared, config: ModelConfig, batch_size: int, steps: int | None, device: Device) -> int:
    """Optimiser steps of an epoch. Raises ConfigError where there are fewer origins than processes to share them."""
    order = train_order(prepared, config, batch_size, steps, device.processes)
    if not order.steps:
        raise ConfigError(
            f"{prepared.splits['train'].size} training origins are fewer than the {order.shares.parts} portions of a "
            "batch",
            "lower accumulate_grad_batches or devices",
        )
    if prepared.choosing.size < device.processes:
        raise ConfigError(
            f"{prepared.choosing.size} validation origins are fewer than the {device.processes} processes",
            "lower devices, or raise val_ratio or val_days",
        )
    return order.steps


def train_order(
    prepared: Prepared, config: ModelConfig, batch_size: int, steps: int | None, world: int = 1, rank: int = 0
) -> TrainOrder:
    """The order of training origins, balanced as configured."""
    origins = prepared.splits["train"]
    group = prepared.panel.group[origins]
    period = prepared.source.period.numpy()[group]
    return TrainOrder(
        torch.from_numpy(origins),
        prepared.source.labels,
        Shares(batch_size, config.accumulate_grad_batches, world, rank),
        config.seed,
        categories_of(group, period, config.balance),
        steps,
    )


def frozen_by(config: ModelConfig, epoch: int) -> list[str]:
    """The patterns of `freeze` until `unfreeze_at_epoch`."""
    over = config.unfreeze_at_epoch is not None and epoch >= config.unfreeze_at_epoch
    return [] if over else list(config.freeze or ())
