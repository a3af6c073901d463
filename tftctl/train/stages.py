"""Stages of a training: the weights of each target, and from which epoch on."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tftctl.core.config.training import WeightsConfig
from tftctl.core.errors import ConfigError, choices
from tftctl.data.spec import TargetSpec
from tftctl.plugins import Registry


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
