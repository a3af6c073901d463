"""Refits at fixed bars, each on bars before it, and the filter that runs on from there to the next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tftctl_garch import fitting
from tftctl_garch.fitting import Window
from tftctl_garch.models import MODELS, Model
from tftctl_garch.settings import OLDEST_REFIT, RefitParams

Array = npt.NDArray[np.float64]


def conditional_volatility(name: str, columns: Mapping[str, Array], params: RefitParams) -> dict[str, Array]:
    """Columns `<name>_volatility_next`, `<name>_volatility_now` and `<name>_residual` of one unbroken segment.

    Volatilities are standard deviations of one bar's log return. At bar t, `next` is the forecast for bar t+1 from
    returns up to t; `now` is that of bar t itself from returns up to t-1; `residual` is (r[t] - mu) / now.
    """
    model = MODELS[name]
    close = columns["close"]
    returns = _log_returns(close)
    ahead, now, residual = (np.full(close.size, np.nan) for _ in range(3))
    for begin, end, window, theta in _blocks(model, returns, int(columns["bar_index"][0]), params):
        if theta is None:
            continue
        # from the start of the window on, so that the block inherits a variance and not a guess
        first = begin - window.returns.size
        variance = fitting.variances(model, theta, returns[first:end], window.variance)
        deviation = np.sqrt(variance[window.returns.size :])
        now[begin:end], ahead[begin:end] = deviation[:-1], deviation[1:]
        residual[begin:end] = (returns[begin:end] - theta[0]) / now[begin:end]
    return {f"{name}_volatility_next": ahead, f"{name}_volatility_now": now, f"{name}_residual": residual}


def refit_bars(first_bar: int, size: int, params: RefitParams) -> list[int]:
    """Positions in the segment: after `min_fit` bars, then at every bar whose number in the group is a multiple.

    `first_bar` is the number of the segment's first bar. Bar numbers, not positions, make an update that begins
    in the middle of a segment refit at the same bars.
    """
    numbers = np.arange(params.min_fit, size) + first_bar
    later = np.flatnonzero(numbers % params.refit_every == 0) + params.min_fit
    return sorted({params.min_fit, *(int(at) for at in later)}) if size > params.min_fit else []


def _blocks(
    model: Model, returns: Array, first_bar: int, params: RefitParams
) -> Iterator[tuple[int, int, Window, Array | None]]:
    """Begin and end of every block, the window before it, and the parameters that hold in it."""
    refits = refit_bars(first_bar, returns.size, params)
    fits: dict[int, Array | None] = {}
    for begin, end in pairwise([*refits, returns.size]):
        window = fitting.window_of(returns[max(1, begin - params.fit_window) : begin])
        if window is not None:
            fits[begin] = fitting.fit(model, window)
            recent = [fits[at] for at in fits if at >= begin - OLDEST_REFIT * params.refit_every]
            yield begin, end, window, _best(model, recent, window)


def _best(model: Model, candidates: list[Array | None], window: Window) -> Array | None:
    """The parameters under which the window is likeliest: as a rule the last ones, unless that fit went astray."""
    usable = [theta for theta in reversed(candidates) if theta is not None]
    scores = [fitting.likelihood(model, theta, window) for theta in usable]
    best = max(range(len(usable)), key=scores.__getitem__, default=None)
    return usable[best] if best is not None and np.isfinite(scores[best]) else None


def _log_returns(close: Array) -> Array:
    """ln(C[t] / C[t-1]); NaN at the first bar and where a price is not positive."""
    returns = np.full(close.size, np.nan)
    with np.errstate(all="ignore"):
        returns[1:] = np.log(close[1:] / close[:-1])
    return returns
