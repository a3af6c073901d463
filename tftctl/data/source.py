"""Which snapshot a training reads, and whether it can be trained on. Asked before torch loads: nothing heavy here."""

from __future__ import annotations

from tftctl.core.config.model import ModelConfig
from tftctl.core.errors import ConfigError, DataError
from tftctl.store import Snapshot


def snapshot_number(config: ModelConfig) -> int | None:
    """The snapshot that the configuration names; None for the newest."""
    if config.data_path is None or isinstance(config.data_path, int):
        return config.data_path
    raise ConfigError(
        f"data_path: {config.data_path!r} is not a snapshot number",
        "adopt a long table first (tftctl data import --as fused FILE), then leave data_path null",
    )


def require_tables(snapshot: Snapshot) -> None:
    """Raises DataError where there are no features or no targets."""
    if not (snapshot.has("fused") and snapshot.has("targets")):
        first = "tftctl features build" if snapshot.has("bars") else "tftctl data import FILES, then features build"
        raise DataError("there are no features and targets to train on", f"make them: {first}")
