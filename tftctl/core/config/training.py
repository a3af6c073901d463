"""`configs/weights_config.yaml` and `configs/composite_score.yaml`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, RootModel, field_validator

from tftctl.core.config.values import Number
from tftctl.core.names import TARGET_PREFIX

Weight = Annotated[Number, Field(ge=0)]


class WeightsConfig(RootModel[dict[str, dict[str, Weight]]]):
    """Stages in order, each a map target -> loss weight. The first stage holds for a whole plain training."""

    @field_validator("root")
    @classmethod
    def _targets(cls, stages: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        if not stages:
            raise ValueError("needs at least one stage")
        for stage, weights in stages.items():
            if not weights:
                raise ValueError(f"{stage} names no target")
            for target in weights:
                if not target.startswith(TARGET_PREFIX):
                    raise ValueError(f"{stage}: {target!r} is not a target (targets begin with {TARGET_PREFIX})")
        return stages

    @property
    def first_stage(self) -> dict[str, float]:
        """Weights of the first stage."""
        return next(iter(self.root.values()))


class CompositeConfig(RootModel[dict[str, Number]]):
    """Metric key -> signed weight (M5): positive where higher is better, negative where lower is better."""

    @field_validator("root")
    @classmethod
    def _non_zero(cls, weights: dict[str, float]) -> dict[str, float]:
        for key, weight in weights.items():
            if weight == 0:
                raise ValueError(f"{key}: a weight of 0 says nothing; remove the line")
            if not key.startswith("val_"):
                raise ValueError(f"{key}: metric keys begin with val_, like val_target_logreturn_rmse@1h")
        return weights
