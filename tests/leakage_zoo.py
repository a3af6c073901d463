"""Planted leaks of every class, drawn at random: class x indicator x parameter x share of the rows x size.

Formulas are written the way they are written by mistake, with NumPy over one segment. A specimen mixes what a mistake
sees into a sound indicator: all of it, or a millionth of it in fewer than one row of a hundred.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import talib

from tftctl.api import CrossSectionParams, Indicator, Output, Params
from tftctl.audit.leakage import classes
from tftctl.core.periods import period_ms
from tftctl.core.workspace import Workspace

Array = np.ndarray
HOUR = 3_600_000
START = 1_614_556_800_000  # Monday 2021-03-01
RATES = (1.0, 0.02, 0.009, 0.006)
SIZES = (1.0, 1e-3, 1e-6)


@dataclass(frozen=True)
class Specimen:
    """An indicator and the class of the mistake in it; `None` for a sound one."""

    record: Indicator
    kind: str | None
    rate: float
    size: float

    @property
    def is_plain(self) -> bool:
        """The mistake is all there is, so that its class can be told."""
        return self.rate == 1.0 and self.size == 1.0


def specimens(seed: int) -> list[Specimen]:
    """One of every class as it is, some of each mixed into a sound indicator, sound ones, and cross-sections."""
    rng = np.random.default_rng(seed)
    found = []
    for kind, mistakes in MISTAKES.items():
        for number, mistake in enumerate(mistakes):
            bars = int(rng.integers(2, 9))
            found.append(_specimen(f"plain_{_short(kind)}_{number}", kind, mistake, _draw_base(rng), bars, 1.0, 1.0))
            rate, size = float(rng.choice(RATES)), float(rng.choice(SIZES[1:]))
            found.append(
                _specimen(f"mixed_{_short(kind)}_{number}", kind, mistake, _draw_base(rng), bars, rate, size,
                          int(rng.integers(1 << 30)))
            )  # fmt: skip
    for number in range(4):
        kind = str(rng.choice(list(MISTAKES)))
        found.append(
            _rare(f"rare_{number}", kind, MISTAKES[kind][0], _draw_base(rng), int(rng.integers(1, 6)), 1e-6, rng)
        )
    found.append(_rare("single_candle", classes.SHIFT, shifted, log_return, 1, 1.0, rng))
    found += [_specimen(f"sound_{number}", None, None, _draw_base(rng), 3, 1.0, 1.0) for number in range(4)]
    return [*found, *_cross_sections(rng)]


def log_return(close: Array, bars: int) -> Array:
    """Over so many bars."""
    made = np.full(close.size, np.nan)
    if close.size > bars:
        made[bars:] = np.log(close[bars:] / close[:-bars])
    return made


def distance(close: Array, bars: int) -> Array:
    """From the mean of so many bars."""
    return close / talib.SMA(close, 4 * bars) - 1 if close.size > 4 * bars else np.full(close.size, np.nan)


def strength(close: Array, bars: int) -> Array:
    """Wilder's, which remembers long."""
    return talib.RSI(close, 2 * bars + 1) / 100 if close.size > 2 * bars + 2 else np.full(close.size, np.nan)


def trend(close: Array, bars: int) -> Array:
    """Distance from an exponential mean, which remembers a thousand bars."""
    return close / talib.EMA(close, 20 * bars) - 1 if close.size > 20 * bars else np.full(close.size, np.nan)


BASES: tuple[Callable[[Array, int], Array], ...] = (log_return, distance, strength, trend)
# bars until the first value, and until the start is forgotten, by base
MEMORY: dict[Callable[[Array, int], Array], tuple[Callable[[int], int], Callable[[int], int]]] = {
    log_return: (lambda bars: bars, lambda bars: bars),
    distance: (lambda bars: 4 * bars, lambda bars: 4 * bars),
    strength: (lambda bars: 2 * bars + 2, lambda bars: 22 * (2 * bars + 1)),
    trend: (lambda bars: 20 * bars, lambda bars: 220 * bars),
}


def shifted(base: Array, close: Array, stamps: Array, bars: int) -> Array:
    """The value of a later row."""
    made = np.full(base.size, np.nan)
    made[: max(base.size - bars, 0)] = base[bars:]
    return made


def centred(base: Array, close: Array, stamps: Array, bars: int) -> Array:
    """`rolling(window, center=True).mean()` of the returns."""
    values = pl.Series(np.nan_to_num(log_return(close, 1)))
    return values.rolling_mean(2 * bars + 1, center=True).cast(pl.Float64).to_numpy()


def filled_backwards(base: Array, close: Array, stamps: Array, bars: int) -> Array:
    """`bfill()` where a feed has no value."""
    missing = (stamps // HOUR * 2654435761 % 1000) < 300
    values = pl.Series(np.where(missing, np.nan, base), nan_to_null=True)
    return values.fill_null(strategy="backward").to_numpy()


def standardised(base: Array, close: Array, stamps: Array, bars: int) -> Array:
    """By mean and deviation of everything."""
    with np.errstate(invalid="ignore"):
        return (base - np.nanmean(base)) / np.nanstd(base) if np.isfinite(base).sum() > 2 else base * np.nan


def ranged(base: Array, close: Array, stamps: Array, bars: int) -> Array:
    """By least and greatest of everything."""
    return (close - close.min()) / max(close.max() - close.min(), 1e-12)


def label(base: Array, close: Array, stamps: Array, bars: int) -> Array:
    """What is to be forecast."""
    return shifted(log_return(close, 1), close, stamps, 1)


def corrected(base: Array, close: Array, stamps: Array, bars: int) -> Array:
    """A swing that is drawn at its bar once later bars have confirmed it: until then the last price stands there."""
    rising = np.append(np.diff(close) > 0, False)
    tops = np.flatnonzero(~rising)
    high = tops[np.searchsorted(tops, np.arange(close.size))]
    return np.log(close[high] / close[0])


def merged_on_open(base: Array, close: Array, stamps: Array, bars: int) -> Array:
    """Every row of a longer bar sees that bar's close: joined on open times."""
    block = stamps // ((bars + 2) * HOUR)
    last = np.searchsorted(block, block, side="right") - 1
    return np.log(close[last] / close)


def labelled_left(base: Array, close: Array, stamps: Array, bars: int) -> Array:
    """`resample(closed="right", label="left")`, then forward fill: the first bar after the block is in it."""
    block = stamps // ((bars + 2) * HOUR)
    last = np.minimum(np.searchsorted(block, block, side="right"), close.size - 1)
    return np.log(close[last] / close)


Mistake = Callable[[Array, Array, Array, int], Array]
MISTAKES: dict[str, tuple[Mistake, ...]] = {
    classes.SHIFT: (shifted,),
    classes.CENTRED: (centred,),
    classes.BACKWARD: (filled_backwards,),
    classes.ALL_DATA: (standardised, ranged),
    classes.LABEL: (label,),
    classes.LATE: (corrected,),
    classes.OPEN_TIME: (merged_on_open,),
    classes.LABEL_SIDE: (labelled_left,),
}


def _specimen(name: str, kind: str | None, mistake: Mistake | None, base: Callable[[Array, int], Array], bars: int,
              rate: float, size: float, salt: int = 0) -> Specimen:  # fmt: skip
    def kernel(columns: Mapping[str, Array], params: Params) -> dict[str, Array]:
        close, stamps = columns["close"], columns["timestamp"].astype(np.int64)
        sound = base(close, bars)
        if mistake is None:
            return {name: sound}
        seen = mistake(sound, close, stamps, bars)
        if rate == 1.0 and size == 1.0:
            return {name: seen}
        chosen = ((stamps // HOUR * 2654435761 + salt) % 1_000_003) < rate * 1_000_003
        more = np.nan_to_num(np.clip(seen, -3, 3)) * size * np.maximum(np.abs(sound), 1e-3)
        return {name: np.where(chosen, sound + more, sound)}

    record = Indicator(
        name=name,
        summary=f"{kind or 'sound'}; {base.__name__} of {bars}",
        inputs=lambda params: ("close", "timestamp"),
        outputs=(Output(name),),
        kernel=kernel,
        first_valid=lambda params: MEMORY[base][0](bars),
        settle=lambda params: MEMORY[base][1](bars),
    )
    return Specimen(record, kind, rate, size)


def _rare(name: str, kind: str, mistake: Mistake, base: Callable[[Array, int], Array], bars: int, size: float,
          rng: np.random.Generator) -> Specimen:  # fmt: skip
    """In six of a thousand rows."""
    return _specimen(name, kind, mistake, base, bars, 0.006, size, int(rng.integers(1 << 30)))


def _cross_sections(rng: np.random.Generator) -> list[Specimen]:
    """A mean over all symbols of what comes, and one of what is."""
    made = []
    for name, ahead, kind in (("crowd_next", 1, classes.OTHER_SYMBOLS), ("crowd_now", 0, None)):

        def kernel(columns: Mapping[str, Array], params: Params, symbols: Sequence[str], ahead: int = ahead,
                   name: str = name) -> dict[str, Array]:  # fmt: skip
            values = columns["log_return"]
            with np.errstate(invalid="ignore"):
                mean = np.nan_to_num(values).mean(axis=1)
            later = np.append(mean[ahead:], np.full(ahead, np.nan))
            return {name: np.where(np.isfinite(values), later[:, None], np.nan)}

        record = Indicator(
            name=name,
            summary="mean over the symbols",
            inputs=lambda params: ("log_return",),
            outputs=(Output(name),),
            kernel=kernel,
            params=CrossSectionParams,
            scope="cross_section",
        )
        made.append(Specimen(record, kind, 1.0, 1.0))
    return made


def _draw_base(rng: np.random.Generator) -> Callable[[Array, int], Array]:
    return BASES[int(rng.integers(len(BASES)))]


def _short(kind: str) -> str:
    return "".join(word[0] for word in kind.replace("'", "").split())


def market(size: int, seed: int, period: str = "1h", symbol: str = "AAA") -> pl.DataFrame:
    """Bars of a random walk with a few holes, as the bars table has them."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(0.01 * rng.standard_normal(size)))
    opened = np.append(50.0, close[:-1])
    stamps = START + period_ms(period) * np.arange(size)
    kept = np.ones(size, bool)
    for first in rng.integers(100, size - 100, 3):
        kept[first : first + int(rng.integers(1, 9))] = False
    frame = pl.DataFrame(
        {
            "symbol": [symbol] * size,
            "period": [period] * size,
            "timestamp": stamps,
            "available_at": stamps + period_ms(period),
            "open": opened,
            "high": np.maximum(opened, close) * (1 + 0.004 * rng.random(size)),
            "low": np.minimum(opened, close) * (1 - 0.004 * rng.random(size)),
            "close": close,
            "volume": rng.lognormal(5, 0.7, size),
        }
    )
    return frame.filter(pl.Series(kept))


def slower(bars: pl.DataFrame, period: str) -> pl.DataFrame:
    """The same market at a longer period."""
    slot = pl.col("timestamp") // period_ms(period) * period_ms(period)
    made = bars.group_by(slot.alias("slot"), maintain_order=True).agg(
        pl.col("symbol").first(), pl.first("open"), pl.max("high"), pl.min("low"), pl.last("close"), pl.sum("volume")
    )
    return made.select(
        "symbol", pl.lit(period).alias("period"), pl.col("slot").alias("timestamp"),
        (pl.col("slot") + period_ms(period)).alias("available_at"), "open", "high", "low", "close", "volume",
    )  # fmt: skip


def workspace_with(root: Workspace, frames: Sequence[pl.DataFrame], basis: str = "raw") -> Workspace:
    """Bars of some groups, on a basis, in the store of a workspace."""
    from tftctl.store import Store

    symbols = sorted({frame["symbol"][0] for frame in frames})
    entry = {"calendar": "24x7", "basis": basis, "anchor": {}, "delay_ms": 0}
    with Store(root.store).write("bars") as txn:
        for period in dict.fromkeys(frame["period"][0] for frame in frames):
            here = [frame for frame in frames if frame["period"][0] == period]
            txn.replace("bars", period, pl.concat(here).sort("symbol", "timestamp"))
        txn.set_meta("bars", {"symbols": dict.fromkeys(symbols, entry), "extras": {}})
        txn.commit()
    return root
