"""Split and dividend adjustment at build time (SEMANTICS T5)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from tftctl.core.calendars import by_pattern
from tftctl.core.config.features import DEFAULT_ADJUSTMENT, Adjustment
from tftctl.core.errors import ConfigError
from tftctl.core.periods import DAY_MS, is_intraday
from tftctl.core.records import Scale

Basis = Adjustment
_PRICES = ("open", "high", "low", "close")
_VENDOR_SCALES: dict[str, Scale] = {"vwap": "price", "taker_buy_volume": "volume"}


def wanted_basis(symbol: str, adjust: Basis | Mapping[str, Basis]) -> Basis:
    """The basis of a symbol's features: one for all, or that of its name or pattern, as for calendars."""
    return adjust if isinstance(adjust, str) else by_pattern(symbol, adjust, DEFAULT_ADJUSTMENT)


def adjust_bars(
    bars: pl.DataFrame,
    factors: pl.DataFrame | None,
    *,
    basis: Basis,
    wanted: Basis,
    extras: Mapping[str, Scale] | None = None,
) -> pl.DataFrame:
    """Bring one group's bars from the basis of their file to the wanted one.

    `factors`: rows timestamp (session date 00:00 UTC), price_factor, split_factor, each valid up to and including
    its date; bars after the last date keep factor 1. Splits divide the volume, dividends do not touch it. `extras`
    are the declared scales of further columns; what vendors publish in units of price or shares is known besides.
    Without factors raw bars stay raw: nothing says that they ever split.

    Raises ConfigError when the basis of the file cannot be undone.
    """
    if basis == wanted or (basis == "raw" and (factors is None or factors.is_empty())):
        return bars
    if basis != "raw":
        symbol = bars["symbol"][0]
        raise ConfigError(
            f"adjust: {wanted} is not possible for {symbol}, whose files carry {basis}-adjusted prices only",
            f"set adjust: {basis}, for it alone adjust: {{{symbol}: {basis}}}, or import raw prices and their factors: "
            "data import --as factors",
        )
    assert factors is not None
    split, price = _at_dates(bars, factors)
    scale = split * (price if wanted == "total" else 1.0)
    scales = {**_VENDOR_SCALES, **(extras or {}), **dict.fromkeys(_PRICES, "price"), "volume": "volume"}
    return bars.with_columns(
        *(pl.col(name) * pl.Series(scale) for name in bars.columns if scales.get(name) == "price"),
        *(pl.col(name) / pl.Series(split) for name in bars.columns if scales.get(name) == "volume"),
    )


def _at_dates(bars: pl.DataFrame, factors: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Split and price factor of each bar: those of the first factor date not before the bar's session date."""
    factors = factors.sort("timestamp")
    place = np.searchsorted(factors["timestamp"].to_numpy(), _session_dates(bars), side="left")
    split = np.append(factors["split_factor"].to_numpy(), 1.0)
    price = np.append(factors["price_factor"].to_numpy(), 1.0)
    return split[place], price[place]


def _session_dates(bars: pl.DataFrame) -> np.ndarray:
    """Session date of each bar. Exchange hours lie inside one UTC day for every bar that has factors (US)."""
    stamps = bars["timestamp"].to_numpy()
    return stamps // DAY_MS * DAY_MS if is_intraday(bars["period"][0]) else stamps
