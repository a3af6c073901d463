"""Adjusted prices: their level holds later splits and dividends, so what the network takes may not read it (T5)."""

from __future__ import annotations

import numpy as np
import polars as pl

from tftctl.audit.leakage.classes import LATE
from tftctl.audit.leakage.compare import columns_of
from tftctl.audit.leakage.evidence import Evidence, Unproven
from tftctl.audit.leakage.world import Group
from tftctl.core.errors import PluginError
from tftctl.core.names import BAR_COLUMNS
from tftctl.features.adjust import wanted_basis

FACTOR = 2.0  # a power of two: what is free of scale rounds alike
CLOSE = 1e-9


def audit_levels(group: Group, fresh: pl.DataFrame, names: list[str], evidence: Evidence) -> None:
    """Note columns that call themselves free of scale and follow the level of prices that later events have set.

    Only where prices are adjusted, by their source or by factors.
    """
    if not _is_adjusted(group):
        return
    free = {f.column for instance in group.instances() for f in instance.features if f.scale == "free"}
    wanted = [name for name in names if name in free]
    try:
        again = columns_of(group.run(_rescaled(group), wanted), wanted)
    except PluginError as error:
        evidence.unproven += [Unproven(name, *group.name, f"fails on other prices: {error.message}") for name in wanted]
        return
    stamps = fresh["timestamp"].to_numpy()
    for name, before in columns_of(fresh, wanted).items():
        usual = np.abs(before[np.isfinite(before)])
        allowed = CLOSE * (float(np.median(usual)) if usual.size else 0.0)
        with np.errstate(invalid="ignore"):
            moved = np.abs(again[name] - before) > CLOSE * np.abs(before) + allowed
        moved |= np.isnan(again[name]) != np.isnan(before)
        if moved.any():
            how = "it follows the level of adjusted prices, which later splits and dividends set"
            evidence.suspect(name, group.name, stamps[moved], how, "adjustment", LATE)


def _is_adjusted(group: Group) -> bool:
    wanted = wanted_basis(group.symbol, group.recipe.config.adjust)
    return group.recipe.bases[group.symbol] != "raw" or (
        wanted != "raw" and group.factors is not None and not group.factors.is_empty()
    )


def _rescaled(group: Group) -> pl.DataFrame:
    scales = {**dict.fromkeys(BAR_COLUMNS, "price"), "volume": "volume", **group.recipe.extra_scales}
    powers = {"price": FACTOR, "volume": 1 / FACTOR, "free": 1.0}
    return group.prepared.with_columns(
        pl.col(name) * powers[scale] for name, scale in scales.items() if name in group.prepared.columns
    )
