"""Symbol and period from file names, folders and columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tftctl.core.errors import DataError, UsageError
from tftctl.core.periods import is_month, parse_period

_NOISE = frozenset(
    """binance coinbase gemini kraken bitstamp bitfinex bitmex poloniex huobi htx kucoin gateio mexc deribit okx bybit
    nasdaq nyse amex oanda forexcom investing yahoo stooq vision spot perp perpetual swap futures stock stocks crypto
    data bars ohlc ohlcv ohlcvt klines kline candles candle raw local tz utc csv dow vendor split adjusted""".split()
)
_QUOTES = frozenset("USD USDT USDC BUSD FDUSD TUSD DAI EUR GBP JPY KRW TRY AUD CAD CHF BRL".split())
_DATE = re.compile(r"(?<![A-Za-z0-9])((19|20)\d{2}([-_.]\d{2}){0,2}|(19|20)\d{4,12}|\d{10,})(?![A-Za-z0-9])")
# BRK.B, BTCUSDT.P, AAPL.US, 2330.TW: a dot before a share class, a perpetual, or a country
_DOTTED = re.compile(
    r"([A-Za-z0-9]{1,12}|\d{4,6})\.([abcpABCP]|us|uk|de|jp|hk|US|UK|DE|JP|HK|L|PA|TO|AX|SS|SZ|NS|MI|AS|SW|T|(?<=\d\.)[A-Z]{1,3})"
)
_TICKER = re.compile(r"[A-Z0-9][A-Z0-9./^=_-]{0,19}")
_METATRADER = re.compile(r"([MHDW])(1|4|5|15|30)")
_ISO = re.compile(r"P(?:T(\d+)([HM])|(\d+)([DW]))")
_WORDS = re.compile(r"(\d+)\s*(m|h|d|w)(?:in|ins|inute|inutes|r|rs|our|ours|ay|ays|eek|eeks|k|ks)?", re.IGNORECASE)
_MINUTES = {"m": 1, "h": 60, "d": 1440, "w": 10_080}


def stem_of(path: Path) -> str:
    """File name without its suffixes; for a zip member, the zip's."""
    name = path.name
    for suffix in (".gz", ".csv", ".tsv", ".txt", ".zip", ".parquet", ".pkl", ".pickle"):
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return name


def symbol_from_name(path: Path) -> str:
    """The one capital token of the name, or its only one that is no period, date or vendor; `BTC-USDT` is one.

    Raises DataError when the name does not decide.
    """
    tokens = [token for token in _tokens(stem_of(path)) if not _is_period(token) and any(c.isalpha() for c in token)]
    capital = [token for token in tokens if token.isupper()]
    others = [token for token in tokens if token.lower() not in _NOISE]
    for found in (capital, [token for token in capital if token in others], others):
        joined = _pair(found)
        if len(set(joined)) == 1:
            return joined[0].upper()
    raise DataError(
        f"{path}: which symbol is it? the name may hold {', '.join(capital or others) or 'none'}",
        "name it: --symbol NAME",
    )


def period_from_path(path: Path) -> str | None:
    """A period in the file's name, else in its folder's; None when there is none. Raises DataError for months."""
    for text in (stem_of(path), path.parent.name):
        for token in _tokens(text):
            if is_month(token):
                why = f"{path}: {token} stands for months, and bars of months are not handled"
                raise DataError(why, "name it: --period 1m")
            if _is_period(token):
                return read_period(token)
    return None


def read_period(text: str) -> str:
    """The period as vendors write it: `60`, `H1`, `PT1H`, `1 hour` are 1h. Raises UsageError for what is none."""
    plain = text.strip()
    if plain.isdecimal() and int(plain):
        return _from_minutes(int(plain))
    if (found := _METATRADER.fullmatch(plain)) is not None:
        return _from_minutes(int(found[2]) * _MINUTES[found[1].lower()])
    if (found := _ISO.fullmatch(plain.upper())) is not None:
        count, unit = (found[1], found[2]) if found[1] else (found[3], found[4])
        return _from_minutes(int(count) * _MINUTES[unit.lower()])
    if (found := _WORDS.fullmatch(plain)) is not None and found[1].strip("0") and not is_month(plain):
        return _from_minutes(int(found[1]) * _MINUTES[found[2].lower()])
    return parse_period(plain)


def normal_symbol(text: str) -> str:
    """`BTC/USDT` and `btc-usdt` are BTCUSDT. Raises DataError for what cannot be a symbol."""
    symbol = re.sub(r"[/\-\s]", "", text.strip()).upper()
    if not re.fullmatch(r"[A-Z0-9._^=]{1,32}", symbol):
        raise DataError(f"{text!r} cannot be a symbol", "use up to 32 letters, digits, dots and underscores")
    return symbol


def is_ticker(text: str) -> bool:
    """Whether a text looks like a symbol rather than a company's name."""
    return _TICKER.fullmatch(text.strip()) is not None


def _pair(tokens: Sequence[str]) -> list[str]:
    """`BTC`, `USDT` -> `BTCUSDT`; a second quote behind is the currency that futures settle in."""
    if (
        len(tokens) in (2, 3)
        and tokens[0].upper() not in _QUOTES - {"EUR", "GBP", "AUD"}
        and all(token.upper() in _QUOTES for token in tokens[1:])
    ):
        return [tokens[0] + tokens[1]] if len(set(tokens[1:])) == 1 else list(tokens)
    return list(tokens)


def _from_minutes(count: int) -> str:
    """The canonical name of so many minutes."""
    unit = next(unit for unit in ("w", "d", "h", "m") if count % _MINUTES[unit] == 0)
    return f"{count // _MINUTES[unit]}{unit}"


def _tokens(text: str) -> list[str]:
    parts = [part for part in re.split(r"[_\-\s,()]+", re.sub(_DATE, " ", text)) if part]
    return [token for part in parts for token in ([part] if _is_dotted(part) else part.split(".")) if token]


def _is_dotted(part: str) -> bool:
    found = _DOTTED.fullmatch(part)
    return found is not None and found[1].lower() not in _NOISE and not _is_period(found[1])


def _is_period(token: str) -> bool:
    """A bare number is none: it may be a version, or a copy's."""
    if is_month(token) or _METATRADER.fullmatch(token) or token.lower() in ("d", "daily", "hourly", "weekly"):
        return True
    if not token[0].isdigit() or token.isdecimal():
        return False
    try:
        read_period(token)
    except UsageError:
        return False
    return True
