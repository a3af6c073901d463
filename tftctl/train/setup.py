"""What a training is set up from: the network with its losses, optimiser and schedule, on one or several devices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.fabric import Fabric

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import ConfigError
from tftctl.data.spec import DataSpec
from tftctl.model.network import ForecastNetwork
from tftctl.plugins import Registry
from tftctl.train.checkpoint import Course, network_shape
from tftctl.train.course import frozen_by
from tftctl.train.device import Device
from tftctl.train.hybrid import HybridLoss
from tftctl.train.module import ForecastModule
from tftctl.train.optimise import Average, check_patterns, freeze, make_optimiser, make_schedule
from tftctl.train.parts import Parts
from tftctl.train.quiet import quiet_lightning
from tftctl.train.stages import Stage


def launch(config: ModelConfig, device: Device, stages: Sequence[Stage]) -> Fabric:
    """Lightning's Fabric on the chosen devices; other processes of the training begin here."""
    strategy: str = config.strategy
    if strategy != "ddp_find_unused_parameters_true" and device.processes > 1:
        rests = config.freeze or any(stage.freeze or 0 in stage.weights.values() for stage in stages)
        if rests and strategy == "ddp":
            raise ConfigError("strategy: ddp waits for gradients of frozen parts and resting targets", "use auto")
        strategy = "ddp_find_unused_parameters_true" if rests else "ddp"
    with quiet_lightning():
        fabric = Fabric(
            accelerator=device.accelerator,
            devices=device.devices,
            num_nodes=device.nodes,
            strategy=strategy,
            precision=device.precision,  # type: ignore[arg-type]
        )
        fabric.launch()
    return fabric


def make_module(config: ModelConfig, spec: DataSpec, registry: Registry) -> ForecastModule:
    """A network with fresh weights, and its losses."""
    with quiet_lightning():
        network = ForecastNetwork(network_shape(config, spec))
    loss = HybridLoss(spec.targets, spec.periods, config.uncertainty == "learned", registry, config.pos_weight)
    return ForecastModule(network, loss, len(spec.symbols) if spec.pooled else None)


def check_frozen(module: ForecastModule, config: ModelConfig, stages: Sequence[Stage]) -> None:
    """Raise ConfigError where a stage, the later ones too, freezes what is not there, or everything."""
    check_patterns(module, [*(pattern for stage in stages for pattern in stage.freeze), *(config.freeze or ())])
    for stage in stages:
        freeze(module, (*stage.freeze, *frozen_by(config, stage.first)))
    freeze(module, ())


def set_up(fabric: Fabric, module: ForecastModule, config: ModelConfig, course: Course) -> Parts:
    """The module on its device, with optimiser, schedule, and the average of its weights where one is asked for."""
    optimiser = make_optimiser(config, module, course.fresh, course.fresh_scale)
    schedule = make_schedule(config, optimiser, course.schedule_steps, course.lr, warmup=course.warmup)
    wrapped, stepped = fabric.setup(module, optimiser)
    average = Average(module, config.ema_decay) if config.ema_decay is not None else None
    if not fabric.is_global_zero:
        torch.manual_seed(config.seed + fabric.global_rank)  # weights come from the first process, dropout does not
    return Parts(fabric, module, wrapped, optimiser, stepped, schedule, average)
