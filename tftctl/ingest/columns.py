"""Which column is what: the names that exchanges and vendors use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tftctl.core.errors import DataError

_NAMES: dict[str, tuple[str, ...]] = {
    "timestamp": ("timestamp", "unix", "unix_timestamp", "open_time", "opentime", "open_timestamp", "time", "ts"),
    "datetime": ("datetime", "date", "dates", "day", "date_utc", "datetime_utc", "trade_date"),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price", "max"),
    "low": ("low", "l", "low_price", "min"),
    "close": ("close", "c", "close_price", "price", "last", "close_last"),
    "volume": ("volume", "vol", "v", "base_volume", "volume_base", "shares"),
    "quote_volume": ("quote_volume", "quote_asset_volume", "volume_quote", "turnover", "amount"),
    "trades": ("trades", "tradecount", "trade_count", "number_of_trades", "num_trades"),
    "taker_buy_volume": ("taker_buy_volume", "taker_buy_base_volume", "taker_buy_base_asset_volume", "taker_base_vol"),
    "taker_buy_quote_volume": ("taker_buy_quote_volume", "taker_buy_quote_asset_volume", "taker_quote_vol"),
    "vwap": ("vwap",),
    "adj_close": ("adj_close", "adjusted_close", "adjclose"),
    "symbol": ("symbol", "ticker", "pair", "code", "name", "instrument"),
    "period": ("period", "interval", "timeframe"),
}  # fmt: skip
_CANONICAL = {name: canonical for canonical, names in _NAMES.items() for name in names}
_QUOTES = ("usd", "usdt", "usdc", "busd", "eur", "gbp", "jpy", "krw")
_VOLUME = re.compile(r"vol(?:ume)?_([a-z0-9]{2,10})")
PRICES = ("open", "high", "low", "close")
VENDOR_EXTRAS = ("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume", "vwap", "adj_close")


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """canonical name -> name in the file, asked extras, and the columns that nothing is made of."""

    found: Mapping[str, str]
    extras: Mapping[str, str]
    ignored: tuple[str, ...]

    def kept_extras(self) -> dict[str, str]:
        """Columns beside the bar's own that are stored: stored name -> name in the file."""
        vendor = {name: self.found[name] for name in VENDOR_EXTRAS if name in self.found}
        return {**vendor, **self.extras}


def map_columns(place: str, names: Sequence[str], extras: Sequence[str]) -> ColumnMap:
    """Recognise the columns of a bars file. Raises DataError when one that bars need is missing or is there twice."""
    plain = {name: plain_name(name) for name in names}
    found: dict[str, str] = {}
    for name, simple in plain.items():
        canonical = _CANONICAL.get(simple) or _volume_of(simple)
        if canonical == "base_volume":
            # `volume_btc` is in the base currency; a plain `volume` beside it is the quote's
            if "volume" in found:
                found.setdefault("quote_volume", found["volume"])
            found["volume"] = name
        elif canonical == "volume" and "volume" in found:
            found.setdefault("quote_volume", name)
        elif canonical is not None:
            found.setdefault(canonical, name)
    missing = [name for name in (*PRICES, "volume") if name not in found]
    if missing or not ({"timestamp", "datetime"} & set(found)):
        wanted = ", ".join(missing) if missing else "a time column"
        raise DataError(f"{place} has no column for {wanted}", f"its columns: {', '.join(names)}")
    asked = {plain[name]: name for name in names if plain[name] in extras}
    absent = [name for name in extras if name not in asked and name not in found]
    if absent:
        raise DataError(f"{place} has no column {absent[0]!r}", f"its columns: {', '.join(names)}")
    used = {*found.values(), *asked.values()}
    return ColumnMap(found, asked, tuple(name for name in names if name not in used))


def is_time_column(name: str) -> bool:
    """Whether a column of this name says when."""
    return _CANONICAL.get(plain_name(name)) in ("timestamp", "datetime")


def plain_name(name: str) -> str:
    """Lower case, everything else than letters and digits as one underscore."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def _volume_of(simple: str) -> str | None:
    match = _VOLUME.fullmatch(simple)
    if match is None:
        return None
    return "quote_volume" if match[1] in _QUOTES else "base_volume"
