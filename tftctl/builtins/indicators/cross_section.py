"""Cross-section: a symbol beside the others of its universe at the same instant (SEMANTICS F7).

The market is the equally weighted mean of the log returns of the members that have a bar. Sources: Sharpe (1964) for
beta, Levy (1967) for relative strength, Jegadeesh and Titman (1993) for ranks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tftctl.api import CrossSectionParams, Indicator, Output, hookimpl

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

Window = Annotated[int, Field(ge=3, le=5000)]
RETURN = "log_return"
# share of a window in which a symbol must have returns
LEAST_SHARE = 0.8


class MarketParams(CrossSectionParams):
    """Instants in the window."""

    period: Window = 50


class StrengthParams(CrossSectionParams):
    """Instants in the window, and the symbol to compare with; without one it is the market."""

    period: Window = 20
    reference: str | None = None


def return_rank(columns: Mapping[str, Array], params: CrossSectionParams, symbols: Sequence[str]) -> dict[str, Array]:
    """Rank of the return among the members, 0 the lowest, 1 the highest, ties in the middle."""
    import numpy as np

    returns = columns[RETURN]
    there = np.isfinite(returns)
    count = there.sum(axis=1, keepdims=True)
    below = np.full(returns.shape, np.nan)
    for place in range(returns.shape[1]):
        own = returns[:, place, None]
        lower, equal = (returns < own).sum(axis=1), (returns == own).sum(axis=1)
        below[:, place] = lower + 0.5 * (equal - 1)
    return {"return_rank": np.where(there & (count > 1), below / np.maximum(count - 1, 1), np.nan)}


def return_dispersion(
    columns: Mapping[str, Array], params: CrossSectionParams, symbols: Sequence[str]
) -> dict[str, Array]:
    """Population standard deviation of the members' returns, and their mean; the same for all of them."""
    import numpy as np

    returns = columns[RETURN]
    there = np.isfinite(returns)
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    known = np.where(there, returns, 0.0)
    mean = known.sum(axis=1, keepdims=True) / count
    spread = np.sqrt((np.where(there, returns - mean, 0.0) ** 2).sum(axis=1, keepdims=True) / count)
    return {
        "return_dispersion": np.where(there, spread, np.nan),
        "market_return": np.where(there, mean, np.nan),
    }


def market_beta(columns: Mapping[str, Array], params: MarketParams, symbols: Sequence[str]) -> dict[str, Array]:
    """cov(r, m)/var(m) and correlation of a symbol's returns with the market's over the window; null where either
    does not move, or a symbol has fewer than four fifths of the returns."""
    from tftctl.builtins.indicators.kernels_cross import rolling_beta

    returns = columns[RETURN]
    beta, correlation = rolling_beta(returns, _market(returns), params.period, _least(params.period))
    return {"market_beta": beta, "market_correlation": correlation}


def relative_strength(columns: Mapping[str, Array], params: StrengthParams, symbols: Sequence[str]) -> dict[str, Array]:
    """Sum of the returns of the window less that of the reference, over the instants that both have."""
    import numpy as np

    from tftctl.builtins.indicators.kernels_cross import rolling_excess

    returns = columns[RETURN]
    if params.reference is None:
        reference = _market(returns)
    elif params.reference in symbols:
        reference = np.ascontiguousarray(returns[:, list(symbols).index(params.reference)])
    else:
        raise ValueError(f"the universe has no symbol {params.reference!r}; it has {', '.join(symbols)}")
    return {"relative_strength": rolling_excess(returns, reference, params.period, _least(params.period))}


def _market(returns: Array) -> Array:
    """Mean of the members' returns, (instants,); NaN where none has one."""
    import numpy as np

    there = np.isfinite(returns)
    count = there.sum(axis=1)
    total = np.where(there, returns, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _least(window: int) -> int:
    import math

    return math.ceil(LEAST_SHARE * window)


@hookimpl
def tftctl_indicators() -> Iterable[Indicator]:
    """Rank, dispersion, beta, relative strength."""
    yield Indicator(
        name="return_rank",
        summary="rank of the log return among the symbols of the universe, 0 lowest, 1 highest",
        inputs=lambda p: (RETURN,),
        outputs=(Output("return_rank"),),
        params=CrossSectionParams,
        kernel=return_rank,
        scope="cross_section",
    )
    yield Indicator(
        name="return_dispersion",
        summary="standard deviation of log returns over the universe, and their mean, the market's return",
        inputs=lambda p: (RETURN,),
        outputs=(Output("return_dispersion"), Output("market_return")),
        params=CrossSectionParams,
        kernel=return_dispersion,
        scope="cross_section",
    )
    yield Indicator(
        name="market_beta",
        summary="beta and correlation of log returns to the mean of the universe over n instants",
        inputs=lambda p: (RETURN,),
        outputs=(Output("market_beta"), Output("market_correlation")),
        params=MarketParams,
        kernel=market_beta,
        scope="cross_section",
        settle=lambda p: p.period - 1,
    )
    yield Indicator(
        name="relative_strength",
        summary="log return over n instants less that of a chosen symbol, or of the universe",
        inputs=lambda p: (RETURN,),
        outputs=(Output("relative_strength"),),
        params=StrengthParams,
        kernel=relative_strength,
        scope="cross_section",
        settle=lambda p: p.period - 1,
    )
