"""`configs/weights_config.yaml` and `configs/composite_score.yaml`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, RootModel, field_validator, model_validator

from tftctl.core.config.values import Names, Number, Strict
from tftctl.core.names import TARGET_PREFIX

Weight = Annotated[Number, Field(ge=0)]
Weights = dict[str, Weight]


class StageConfig(Strict):
    """One stage in its full form.

    `weights`: target -> loss weight, 1 for one that it does not name. `epochs` says how long it lasts, or `from_epoch`
    (from 0) when it begins. `lr` replaces the peak of the schedule while it lasts, `freeze` names parameters that are
    not trained (patterns like `lstm_*`), `targets` those that are trained, and `batch_size` another batch.
    """

    weights: Weights = {}
    epochs: Annotated[int, Field(ge=1)] | None = None
    from_epoch: Annotated[int, Field(ge=0)] | None = None
    lr: Annotated[float, Field(gt=0)] | None = None
    freeze: Names | None = None
    targets: Names | None = None
    batch_size: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> StageConfig:
        for name in [*self.weights, *(self.targets or ())]:
            if not name.startswith(TARGET_PREFIX):
                raise ValueError(f"{name!r} is not a target (targets begin with {TARGET_PREFIX})")
        if self.epochs is not None and self.from_epoch is not None:
            raise ValueError("has both epochs and from_epoch; one of them says how long it lasts")
        left = [name for name in self.weights if self.targets is not None and name not in self.targets]
        if left:
            raise ValueError(f"weighs {left[0]}, which is not among its targets")
        return self


def _full(value: Any) -> Any:
    """A plain map target -> weight as the full form; a key of the full form makes it one."""
    if not isinstance(value, dict) or set(value) & set(StageConfig.model_fields):
        return value
    if not value:
        raise ValueError("names no target")
    return {"weights": value}


Stage = Annotated[StageConfig, BeforeValidator(_full, json_schema_input_type=Weights | StageConfig)]


class WeightsConfig(RootModel[dict[str, Stage]]):
    """Stages in order, each a plain map target -> loss weight, or in full. Plain trainings use the first one only."""

    @field_validator("root")
    @classmethod
    def _some(cls, stages: dict[str, StageConfig]) -> dict[str, StageConfig]:
        if not stages:
            raise ValueError("needs at least one stage")
        return stages


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
