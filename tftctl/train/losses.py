"""One loss per head, and their total (SEMANTICS M1, M2, M3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tftctl.core.config.model import ModelConfig
from tftctl.core.config.training import WeightsConfig
from tftctl.core.errors import ConfigError, choices
from tftctl.data.spec import TargetSpec
from tftctl.plugins import Registry, resolve

LOG_VAR_LIMIT = 6.0


def choose_targets(
    names: Sequence[str], described: Mapping[str, Mapping[str, Any]], config: ModelConfig, registry: Registry
) -> list[TargetSpec]:
    """Specs of the enabled targets with the loss of each: named, the target's own, or by kind and tail.

    Raises ConfigError for a target that the store lacks, or a loss that does not serve its kind.
    """
    for name in [*names, *config.losses]:
        if name not in described:
            raise ConfigError(f"the store has no target {name!r}", choices(name, described, "targets"))
    return [_target_spec(name, described[name], config, registry) for name in names]


def _target_spec(name: str, entry: Mapping[str, Any], config: ModelConfig, registry: Registry) -> TargetSpec:
    asked = config.losses.get(name) or entry["loss"] or default_loss(entry["kind"], entry["tail"])
    options = dict(asked) if isinstance(asked, dict) else {"name": asked}
    loss = registry.loss(str(options.pop("name")))
    if entry["kind"] not in loss.kinds:
        fitting = [n for n in registry.names("loss") if entry["kind"] in registry.loss(n).kinds]
        raise ConfigError(f"{name} is {entry['kind']}, the loss {loss.name!r} is not", choices("", fitting, "losses"))
    return TargetSpec(
        name=name,
        kind=entry["kind"],
        unit=entry["unit"],
        loss=loss.name,
        loss_options=options,
        outputs=loss.outputs(options),
    )


def weigh(
    targets: Sequence[TargetSpec], weights: WeightsConfig, described: Collection[str], registry: Registry
) -> tuple[list[TargetSpec], list[str]]:
    """Targets with the weights of the first stage (one that it does not name weighs 1), and idle names in the file.

    Idle are targets that plugins provide and the store lacks. Raises ConfigError for a name that is neither, and
    when every weight is 0.
    """
    named = [name for stage in weights.root.values() for name in stage if name not in described]
    provided = registry.names("target")
    for name in named:
        if not any(name == record or name.startswith(f"{record}_") for record in provided):
            raise ConfigError(f"weights_config.yaml: there is no target {name!r}", choices(name, described, "targets"))
    stage = weights.first_stage
    weighted = [target.model_copy(update={"weight": stage.get(target.name, 1.0)}) for target in targets]
    if not any(target.weight for target in weighted):
        raise ConfigError("weights_config.yaml gives every enabled target the weight 0", choices("", stage, "targets"))
    return weighted, list(dict.fromkeys(named))


def default_loss(kind: str, tail: str) -> str:
    """Binary cross-entropy; SmoothL1 for fat-tailed regression, squared error otherwise."""
    if kind == "binary":
        return "bce"
    return "smooth_l1" if tail == "fat" else "mse"


class HybridLoss(nn.Module):
    """Total = sum of w_i (L_i exp(-s_i) + s_i), s_i learned and clamped to +-6, or 0 (Kendall et al. 2018).

    L_i is the sum over the batch's labels divided by their count; a target without labels contributes nothing.
    """

    def __init__(
        self, targets: Sequence[TargetSpec], periods: Sequence[str], learned: bool, registry: Registry
    ) -> None:
        super().__init__()
        self.targets = list(targets)
        self.heads = nn.ModuleList([_make(target, registry) for target in targets])
        self.log_vars = nn.Parameter(torch.zeros(len(targets)), requires_grad=learned)
        weights = [[positive_weight(target, period) for period in periods] for target in targets]
        self.register_buffer("pos_weight", torch.tensor(weights, dtype=torch.float32))
        self.register_buffer("weight", torch.tensor([target.weight for target in targets], dtype=torch.float32))

    def forward(self, raw: Sequence[Tensor], labels: Tensor, period: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Total and the raw mean loss of each target that has labels: raw list of (B, outputs), labels (B, T)."""
        scale = self.log_vars.clamp(-LOG_VAR_LIMIT, LOG_VAR_LIMIT)
        total = raw[0][:0].float().sum()  # 0 that can be differentiated, for a batch without any label
        terms: dict[str, Tensor] = {}
        for place, target in enumerate(self.targets):
            present = labels[:, place].isfinite()
            if not present.any() or target.weight == 0:
                continue
            pos = self.pos_weight[place][period[present]] if target.kind == "binary" else None  # type: ignore[index]
            loss = self.heads[place](raw[place][present].float(), labels[present, place], pos).mean()
            total = total + target.weight * (loss * torch.exp(-scale[place]) + scale[place])
            terms[target.name] = loss
        return total, terms

    def sums(self, raw: Sequence[Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
        """Sum and count (T,) of the losses without positive weights, for `val_loss` (M3)."""
        sums, counts = [], []
        for place, head in enumerate(self.heads):
            present = labels[:, place].isfinite()
            loss = head(raw[place][present].float(), labels[present, place], None)
            sums.append(loss.sum())
            counts.append(present.sum())
        return torch.stack(sums), torch.stack(counts)

    def forecasts(self, raw: Sequence[Tensor], period: Tensor) -> Tensor:
        """Standardised value, or probability with the positive weight taken out again: (B, T)."""
        columns = []
        for place, target in enumerate(self.targets):
            point = self.heads[place].point(raw[place].float())  # type: ignore[operator]
            if target.kind == "binary":
                point = torch.sigmoid(point - self.pos_weight[place][period].log())  # type: ignore[index]
            columns.append(point)
        return torch.stack(columns, dim=1)


def positive_weight(target: TargetSpec, period: str) -> float:
    """(1 - base rate) / base rate of training labels; 1 where the period has none."""
    rate = target.base_rate.get(period)
    return (1 - rate) / rate if rate else 1.0


def _make(target: TargetSpec, registry: Registry) -> nn.Module:
    make = resolve(registry.loss(target.loss).factory)
    try:
        return make(**target.loss_options)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"losses.{target.name}: {target.loss} cannot be made with {target.loss_options}: {error}",
            f"see: tftctl plugins show {target.loss}",
        ) from None
