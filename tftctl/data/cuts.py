"""Where a configuration cuts the rows of a training (SEMANTICS S4). No torch here."""

from __future__ import annotations

from tftctl.core.config.model import ModelConfig
from tftctl.core.frequencies import lag_ms
from tftctl.data.splits import Cuts, Instants, cuts_by_days, cuts_by_ratio


def training_cuts(available_at: Instants, config: ModelConfig) -> Cuts:
    """The cuts of rows that are available at these instants, in any order. Raises DataError for too few days."""
    embargo = lag_ms(config.embargo)
    if config.val_mode == "days":
        return cuts_by_days(available_at, config.val_days, config.test_days, embargo)
    return cuts_by_ratio(available_at, config.val_ratio, config.test_ratio, embargo)
