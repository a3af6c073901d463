"""Which column is what: the names that exchanges and vendors use."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tftctl.core.errors import DataError
from tftctl.core.names import BAR_COLUMNS

# the first of these names that a table has holds
_NAMES: dict[str, tuple[str, ...]] = {
    "timestamp": ("open_time", "opentime", "open_timestamp", "timestamp", "timestamp_utc", "timestamp_ms", "unix",
                  "unix_timestamp", "unix_time", "epoch", "start_time", "starttime", "start_at", "period_start",
                  "time_period_start", "window_start", "time", "time_utc", "ts", "t"),
    "datetime": ("datetime", "date_time", "date", "dates", "day", "date_utc", "datetime_utc", "gmt_time", "trade_date",
                 "trading_day", "observation_date"),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price", "max"),
    "low": ("low", "l", "low_price", "min"),
    "close": ("close", "c", "close_price", "close_last", "last", "last_price", "price"),
    "volume": ("volume", "vol", "v", "base_volume", "volume_base", "shares", "volumefrom", "volume_from",
               "tick_volume", "tickvol"),
    "quote_volume": ("quote_volume", "quote_asset_volume", "volume_quote", "volumeto", "volume_to", "vol_ccy_quote",
                     "turnover", "amount"),
    "trades": ("trades", "tradecount", "trade_count", "number_of_trades", "num_trades", "transactions", "count", "n"),
    "taker_buy_volume": ("taker_buy_volume", "taker_buy_base_volume", "taker_buy_base_asset_volume", "taker_base_vol"),
    "taker_buy_quote_volume": ("taker_buy_quote_volume", "taker_buy_quote_asset_volume", "taker_quote_vol"),
    "vwap": ("vwap", "vw", "weighted_price"),
    "adj_close": ("adj_close", "adjusted_close", "adjclose", "close_adj"),
    "finished": ("confirm", "confirmed", "is_final", "is_closed", "is_complete", "complete"),
    "symbol": ("symbol", "ticker", "pair", "code", "instrument", "name"),
    "period": ("period", "interval", "timeframe", "per", "resolution"),
}  # fmt: skip
_CANONICAL = {name: canonical for canonical, names in _NAMES.items() for name in names}
# where no column is called so, pandas may have kept the times as an index without a name
_INDEX = ("", "index", "unnamed_0", "level_0")
_QUOTES = ("usd", "usdt", "usdc", "busd", "fdusd", "tusd", "dai", "eur", "gbp", "jpy", "krw", "try", "currency")
_COINS = frozenset("btc xbt eth xrp ltc bch ada sol doge bnb dot link avax trx matic pol eos xlm etc atom uni".split())
_VOLUME = re.compile(r"vol(?:ume)?_([a-z0-9]{2,10})")
_DERIVED = frozenset("ma sma ema wma avg mean std change chg pct ratio delta osc adj ccy spike zscore".split())
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
    found = _recognised(plain)
    if "timestamp" not in found and "datetime" not in found:
        index = next((name for name in names if plain[name] in _INDEX), None)
        found |= {} if index is None else {"datetime": index}
    missing = [name for name in (*PRICES, "volume") if name not in found]
    if missing or not ({"timestamp", "datetime"} & set(found)):
        wanted = ", ".join(missing) if missing else "a time column"
        ends = "; a bar is stamped with its open" if not missing and "close_time" in plain.values() else ""
        raise DataError(f"{place} has no column for {wanted}{ends}", f"its columns: {', '.join(names)}")
    _refuse_twins(place, plain, found)
    asked = {plain[name]: name for name in names if plain[name] in extras}
    absent = [name for name in extras if name not in asked and name not in found]
    if absent:
        raise DataError(f"{place} has no column {absent[0]!r}", f"its columns: {', '.join(names)}")
    used = {*found.values(), *asked.values()}
    return ColumnMap(found, asked, tuple(name for name in names if name not in used and plain[name]))


def known_columns(names: Sequence[str]) -> dict[str, str]:
    """canonical name -> name in the file, of whatever there is; an index without a name is a date, as bars have it."""
    found = _recognised({name: plain_name(name) for name in names})
    if "timestamp" not in found and "datetime" not in found and (index := time_column(names)) is not None:
        found["datetime"] = index
    return found


def is_time_column(name: str) -> bool:
    """Whether a column of this name says when."""
    return _CANONICAL.get(plain_name(name)) in ("timestamp", "datetime")


def time_column(names: Sequence[str]) -> str | None:
    """The column that says when: a timestamp before a date, an index without a name where there is neither."""
    by_plain = {plain_name(name): name for name in reversed(names)}
    known = ("timestamp", *_NAMES["timestamp"], *_NAMES["datetime"], *_INDEX)
    return next((by_plain[name] for name in known if name in by_plain), None)


def is_known_column(name: str) -> bool:
    """Whether vendors call any column of bars so."""
    return plain_name(name) in _CANONICAL


def is_bar_column(name: str) -> bool:
    """Whether a column of this name holds a price or the volume of a bar."""
    simple = plain_name(name)
    return _CANONICAL.get(simple) in BAR_COLUMNS or _VOLUME.fullmatch(simple) is not None


def plain_name(name: str) -> str:
    """Lower case, everything else than letters and digits as one underscore; `openPrice` is open_price."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")


def _recognised(plain: Mapping[str, str]) -> dict[str, str]:
    """canonical name -> name in the file."""
    by_plain: dict[str, str] = {}
    for name, simple in plain.items():
        by_plain.setdefault(simple, name)
    found = {
        canonical: by_plain[next(name for name in names if name in by_plain)]
        for canonical, names in _NAMES.items()
        if any(name in by_plain for name in names)
    }
    return found | _volumes_by_currency(plain, found)


def _volumes_by_currency(plain: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """`Volume BTC` is the base currency's, `Volume USDT` and a plain `volume` beside a coin's are the quote's.

    Of two coins the first is the base. `volume_ma` is no volume: beside a plain one only known coins are currencies.
    """
    parts = {name: match[1] for name, simple in plain.items() if (match := _VOLUME.fullmatch(simple))
             and simple not in _CANONICAL}  # fmt: skip
    quotes = [name for name, currency in parts.items() if currency in _QUOTES]
    bases = [name for name, currency in parts.items() if currency not in _QUOTES and currency not in _DERIVED
             and ("volume" not in found or currency in _COINS)]  # fmt: skip
    made: dict[str, str] = {}
    if bases:
        made["volume"] = bases[0]
        quotes += [*bases[1:], *([found["volume"]] if "volume" in found else [])]
    if quotes and "quote_volume" not in found:
        made["quote_volume"] = quotes[0]
    return made


def _refuse_twins(place: str, plain: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Two columns of one name: nothing says which of them is the bar's."""
    counted = Counter(re.sub(r"_\d+$", "", simple) if name.endswith(")") else simple for name, simple in plain.items())
    for canonical in (*PRICES, "volume", "timestamp", "datetime"):
        if canonical in found and counted[plain[found[canonical]]] > 1:
            raise DataError(f"{place} has two columns {plain[found[canonical]]!r}", "remove or rename one of them")
