"""`configs/model_config.yaml`: data, network and optimisation of one training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tftctl.core.config.values import Lag, Names, Periods, Strict

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
PosWeight = Literal["fixed", "batch", "off"]
# a group is a symbol at a period, and both are embedded (S2): these keys say so and cannot say otherwise
GROUP_KEYS = ("group_ids", "categoricals", "x_categoricals")


class OneCycle(Strict):
    """torch.optim.lr_scheduler.OneCycleLR, stepped per batch."""

    pct_start: Fraction = 0.3
    div_factor: Annotated[float, Field(gt=1)] = 25.0
    final_div_factor: Annotated[float, Field(gt=1)] = 100.0


class Cosine(Strict):
    """A linear warm-up over `warmup_share` of all steps, then half a cosine down to `final_factor` times lr."""

    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    final_factor: Annotated[float, Field(ge=0, lt=1)] = 0.01


class EarlyStopping(Strict):
    """Ends a training after `patience` epochs in which `monitor` has not become better by more than `min_delta`."""

    patience: Positive
    min_delta: Annotated[float, Field(ge=0)] = 0.0


class WarmStart(Strict):
    """How a warm start differs from a training: its peak rates, and whether they warm up.

    `lr` is that of loaded weights (a tenth of the lr of the configuration when null), `fresh_lr` that of parts that
    are new (all of it).
    """

    lr: Annotated[float, Field(gt=0)] | None = None
    fresh_lr: Annotated[float, Field(gt=0)] | None = None
    warmup: bool = False


class ModelConfig(Strict):
    """The whole of `configs/model_config.yaml`; keys and defaults of DESIGN §7."""

    data_path: int | str | None = None
    periods: Periods | None = None
    symbols: Names | None = None
    targets: Names = ["target_logreturn", "target_binarytrend"]
    losses: dict[str, str | dict[str, Any]] = {}
    categoricals: list[Literal["symbol", "period"]] = ["symbol", "period"]
    reals: Names | None = None
    time_idx: Literal["time_idx"] = "time_idx"
    group_ids: list[Literal["symbol", "period"]] = ["symbol", "period"]
    static_categoricals: Annotated[list[Literal["symbol", "period"]], Field(min_length=1)] = ["symbol", "period"]
    static_reals: Annotated[list[str], Field(max_length=0)] = []
    x_categoricals: list[Literal["symbol", "period"]] = ["symbol", "period"]
    x_reals: Names | None = None
    categories: dict[Literal["symbol"], Names] = {}
    unseen: Literal["exclude", "error", "pooled"] = "exclude"
    output_size: list[Positive] | None = None

    max_encoder_length: Positive = 96
    max_prediction_length: Literal[1] = 1
    hidden_size: Positive = 256
    hidden_continuous_size: Positive | None = None
    lstm_layers: Positive = 2
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.15
    attention_head_size: Positive = 4
    embedding_sizes: dict[Literal["symbol", "period"], Positive] = {}

    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 2025  # what NumPy's generator takes
    batch_size: Positive = 256
    max_epochs: Positive = 50
    max_steps: Positive | None = None
    balance: Literal["none", "periods", "groups"] = "none"
    accumulate_grad_batches: Positive = 1
    optimizer: Literal["adam", "adamw"] = "adam"
    lr: Annotated[float, Field(gt=0)] = 1.5e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    gradient_clip_val: Annotated[float, Field(ge=0)] = 0.5
    schedule: Literal["onecycle", "cosine", "constant"] = "onecycle"
    onecycle: OneCycle = OneCycle()
    cosine: Cosine = Cosine()
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    freeze: Names | None = None
    unfreeze_at_epoch: Positive | None = None
    uncertainty: Literal["learned", "off"] = "learned"
    pos_weight: PosWeight | dict[str, PosWeight] = "fixed"
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    num_workers: Literal["auto"] | Annotated[int, Field(ge=0)] = "auto"
    devices: Literal["auto"] | Positive = 1
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"] = "auto"
    num_nodes: Positive = 1

    val_mode: Literal["ratio", "days"] = "ratio"
    val_ratio: Fraction = 0.15
    val_days: Positive = 60
    test_ratio: Fraction = 0.15
    test_days: Positive = 60
    embargo: Lag = "0h"

    resume_ckpt: str | None = None
    warm_start_ckpt: str | None = None
    warm_start: WarmStart = WarmStart()
    monitor: str = "val_composite_score"
    monitor_mode: Literal["min", "max"] = "max"
    top_k: Annotated[int, Field(ge=0)] = 3
    save_last: bool = True
    checkpoint_every_steps: Positive | None = None
    early_stopping: EarlyStopping | None = None
    plot_every_n_epochs: Annotated[int, Field(ge=0)] = 5

    @model_validator(mode="after")
    def _consistent(self) -> ModelConfig:
        if self.hidden_size % self.attention_head_size:
            raise ValueError("hidden_size must be a multiple of attention_head_size")
        if self.val_mode == "ratio" and self.val_ratio + self.test_ratio >= 1:
            raise ValueError("val_ratio and test_ratio leave nothing to train on")
        if not self.top_k and not self.save_last and not self.checkpoint_every_steps:
            raise ValueError("top_k: 0 with save_last: false keeps no checkpoint at all")
        nameless = [name for name, loss in self.losses.items() if isinstance(loss, dict) and "name" not in loss]
        if nameless:
            raise ValueError(f"losses.{nameless[0]} needs the name of a loss: {{name: smooth_l1, beta: 0.5}}")
        if self.output_size is not None and len(self.output_size) != len(self.targets):
            raise ValueError(f"output_size has {len(self.output_size)} entries for {len(self.targets)} targets")
        for key in GROUP_KEYS:
            if sorted(getattr(self, key)) != ["period", "symbol"]:
                raise ValueError(f"{key} is [symbol, period] here: both are embedded, and a group is one of each")
        if self.reals is not None and self.x_reals is not None and set(self.reals) != set(self.x_reals):
            raise ValueError("reals and x_reals name different inputs; set one of them")
        if self.unfreeze_at_epoch is not None and not self.freeze:
            raise ValueError("unfreeze_at_epoch needs freeze: the parameters that are frozen until then")
        return self

    @property
    def inputs(self) -> list[str] | None:
        """Input columns as `reals` or `x_reals` names them; None means every column that is allowed."""
        return self.reals if self.reals is not None else self.x_reals
