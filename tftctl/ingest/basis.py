"""How a file's prices are adjusted already, as far as its columns tell (SEMANTICS T5)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

Basis = Literal["raw", "split", "total"]

# beside raw prices, some vendors give the adjustments apart: Tiingo, Alpha Vantage
_APART = frozenset(
    "split_factor split_coefficient div_cash dividend_amount adj_open adj_high adj_low adj_volume".split()
)
# yfinance writes adjusted prices beside the events, IEX the volume that is not adjusted
_EVENTS = frozenset("dividends stock_splits unadjusted_volume unadjusted_close".split())


def basis_of(names: Collection[str], given: Basis | None) -> tuple[Basis, str | None]:
    """The basis of a table with these (plain) column names, and what the user should know about the choice."""
    if given is not None:
        return given, None
    if _APART & set(names):
        return (
            "raw",
            "prices taken as raw, for the file has its adjustments apart; if they are not: --basis split|total",
        )
    if "adj_close" in names:
        return "split", "prices taken as adjusted for splits, as beside an adjusted close (Yahoo); if not: --basis raw"
    if events := sorted(_EVENTS & set(names)):
        return (
            "raw",
            f"prices taken as raw, but {events[0]} speaks of adjusted ones: name them with --basis split|total",
        )
    return "raw", None
