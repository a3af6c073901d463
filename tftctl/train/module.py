"""The LightningModule: network, losses, optimiser, scores at the end of each validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor

from tftctl.core.config.model import ModelConfig
from tftctl.data.windows import Batch
from tftctl.model.network import ForecastNetwork
from tftctl.train.hybrid import HybridLoss

# origins (N,), forecasts (N, T), values so far -> more values by key
Scorer = Callable[[Tensor, Tensor, Mapping[str, float]], Mapping[str, float]]


class ForecastModule(lightning.LightningModule):
    """Trains one network on several targets. `score` is called with all validation forecasts of an epoch."""

    def __init__(
        self, network: ForecastNetwork, loss: HybridLoss, config: ModelConfig, total_steps: int, score: Scorer
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self._config = config
        self._total_steps = total_steps
        self._score = score
        self._seen: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def forward(self, batch: Batch) -> list[Tensor]:
        """Raw outputs per target."""
        return self.network(batch)

    def training_step(self, batch: Batch, number: int) -> Tensor:
        """Total of M1; logs it and the raw loss of each target."""
        total, terms = self.loss(self.network(batch), batch["labels"], batch["period"])
        size = batch["origin"].numel()
        self.log("train_loss", total.detach(), on_step=False, on_epoch=True, batch_size=size)
        for name, value in terms.items():
            self.log(f"train_{name}_loss", value.detach(), on_step=False, on_epoch=True, batch_size=size)
        return total

    def validation_step(self, batch: Batch, number: int) -> None:
        """Collect forecasts, loss sums and counts."""
        raw = self.network(batch)
        sums, counts = self.loss.sums(raw, batch["labels"])
        forecasts = self.loss.forecasts(raw, batch["period"])
        self._seen.append((batch["origin"].cpu(), forecasts.cpu(), sums.cpu(), counts.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log val_loss (M3), every metric, and the composite score."""
        origins, forecasts, sums, counts = (list(part) for part in zip(*self._seen, strict=True))
        self._seen.clear()
        total, count = torch.stack(sums).sum(0), torch.stack(counts).sum(0)
        means = (total / count)[count > 0]
        losses = {f"val_{t.name}_loss": v for t, v in zip(self.loss.targets, (total / count).tolist(), strict=True)}
        values = {"val_loss": float(means.mean()), "val_loss_for_ckpt": float(means.mean()), **losses}
        values.update(self._score(torch.cat(origins), torch.cat(forecasts), values))
        for name, value in values.items():
            self.log(name, value, on_epoch=True, prog_bar=False)

    def configure_optimizers(self) -> Any:
        """Adam or AdamW, fused; OneCycleLR per step; no weight decay on biases, norms and log-variances."""
        config = self._config
        make = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
        optimiser = make(self._parameter_groups(), lr=config.lr, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            max_lr=config.lr,
            total_steps=max(self._total_steps, 2),
            pct_start=config.onecycle.pct_start,
            div_factor=config.onecycle.div_factor,
            final_div_factor=config.onecycle.final_div_factor,
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _parameter_groups(self) -> list[dict[str, Any]]:
        decayed: list[torch.nn.Parameter] = []
        plain: list[torch.nn.Parameter] = []
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            matrix = parameter.ndim > 1 and "norm" not in name and name != "loss.log_vars"
            (decayed if matrix else plain).append(parameter)
        return [
            {"params": decayed, "weight_decay": self._config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
