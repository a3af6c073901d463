"""Ready-made declarations of series that many use (SEMANTICS T6): `tftctl macro import FILE --like M2SL`.

Release lags count from the end of the reference period and are on the late side: a value that is there a day earlier
than declared costs a day of freshness, one that is there a day later would be a leak.
"""

from __future__ import annotations

from dataclasses import dataclass

from tftctl.core.config.features import MacroSeries
from tftctl.core.errors import UsageError, choices


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """A publisher's identifier, the name of our column, what it is and when it comes out."""

    identifier: str
    name: str
    about: str
    series: MacroSeries
    column: str | None = None


def _known(
    identifier: str,
    name: str,
    about: str,
    frequency: str,
    stamp: str,
    lag: str,
    revised: bool,
    column: str | None = None,
) -> KnownSeries:
    declared = {"frequency": frequency, "stamp": stamp, "release_lag": lag, "revised": revised}
    return KnownSeries(identifier, name, about, MacroSeries.model_validate(declared), column)


KNOWN = {
    known.identifier: known
    for known in (
        _known("M2SL", "m2", "US money stock M2 (FRED): fourth Tuesday after the month", "1mo", "start", "28d", True),
        _known("FEDFUNDS", "fed_funds", "federal funds rate, monthly mean (FRED)", "1mo", "start", "3d", False),
        _known(
            "WALCL", "fed_assets", "Federal Reserve's assets on Wednesdays (FRED): Thursday", "1w", "end", "1d", True
        ),
        _known("DGS10", "us10y", "10-year Treasury yield, daily (FRED H.15): next day", "1bd", "end", "1d", False),
        _known(
            "DTWEXBGS",
            "dollar_broad",
            "broad dollar index, daily (FRED H.10): the Monday after",
            "1bd",
            "end",
            "7d",
            True,
        ),
        _known("VIXCLS", "vix", "VIX close, daily (FRED): next day", "1bd", "end", "1d", False),
        _known(
            "VIX", "vix", "VIX, daily bars (Cboe): the close, by the end of the day", "1bd", "end", "0h", False, "close"
        ),
        _known("US10Y_MONTHLY", "us10y_monthly", "10-year Treasury yield, monthly mean", "1mo", "start", "3d", False),
        _known("FEAR_GREED", "fear_greed", "Crypto Fear & Greed index, daily", "1d", "end", "0h", False),
        _known("DXY", "dxy", "US dollar index (ICE), daily close", "1bd", "end", "0h", False),
        _known(
            "BTC_ETF_FLOWS",
            "btc_etf_flows",
            "net flows of US Bitcoin ETFs: next morning",
            "1bd",
            "end",
            "1d",
            True,
            "total",
        ),
    )
}


def known_series(identifier: str) -> KnownSeries:
    """The ready-made declaration of that identifier, in any case. Raises UsageError with the nearest match."""
    found = KNOWN.get(identifier.upper())
    if found is None:
        raise UsageError(
            f"there is no ready-made declaration of {identifier!r}", choices(identifier.upper(), KNOWN, "declarations")
        )
    return found


def fitting(stem: str) -> str | None:
    """The identifier that a file's name seems to carry: `fred_M2SL` -> `M2SL`; the longest where several do."""
    words = stem.upper()
    return max((name for name in KNOWN if name in words), key=len, default=None)
