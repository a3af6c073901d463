"""Symbol and period from file names, folders and columns."""

from __future__ import annotations

import re
from pathlib import Path

from tftctl.core.errors import DataError, UsageError
from tftctl.core.periods import parse_period

_NOISE = frozenset(
    """binance coinbase gemini kraken bitstamp bitfinex okx bybit investing yahoo stooq vision spot perp futures swap
    stock stocks crypto data bars ohlcv klines kline candles raw local tz utc csv dow vendor split adjusted""".split()
)
_DATE = re.compile(r"\d{4}([-_.]\d{2}){0,2}|\d{6,}")


def stem_of(path: Path) -> str:
    """File name without its suffixes; for a zip member, the zip's."""
    name = path.name
    for suffix in (".gz", ".csv", ".txt", ".zip", ".parquet", ".pkl", ".pickle"):
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return name


def symbol_from_name(path: Path) -> str:
    """The one capital token of the name, or its only one that is no period, date or vendor.

    Raises DataError when the name does not decide.
    """
    tokens = [token for token in _tokens(stem_of(path)) if not _is_period(token)]
    capital = [token for token in tokens if token.isupper() and any(c.isalpha() for c in token)]
    others = [token for token in tokens if token.lower() not in _NOISE and any(c.isalpha() for c in token)]
    for found in (capital, others):
        if len(set(found)) == 1:
            return found[0].upper()
    raise DataError(
        f"{path}: which symbol is it? the name may hold {', '.join(capital or others) or 'none'}",
        "name it: --symbol NAME",
    )


def period_from_path(path: Path) -> str | None:
    """A period in the file's name, else in its folder's; None when there is none."""
    for text in (stem_of(path), path.parent.name):
        for token in _tokens(text):
            if _is_period(token):
                return parse_period(token)
    return None


def normal_symbol(text: str) -> str:
    """`BTC/USDT` and `btc-usdt` are BTCUSDT. Raises DataError for what cannot be a symbol."""
    symbol = re.sub(r"[/\-\s]", "", text.strip()).upper()
    if not re.fullmatch(r"[A-Z0-9._^=]{1,32}", symbol):
        raise DataError(f"{text!r} cannot be a symbol", "use up to 32 letters, digits, dots and underscores")
    return symbol


def _tokens(text: str) -> list[str]:
    return [token for token in re.split(r"[_\-\s.]+", re.sub(_DATE, " ", text)) if token]


def _is_period(token: str) -> bool:
    if not (token[0].isdigit() or token.lower() in ("d", "daily", "hourly", "weekly")):
        return False
    try:
        parse_period(token)
    except UsageError:
        return False
    return True
