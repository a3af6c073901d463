"""Markets that indicators are compared on."""

from __future__ import annotations

import polars as pl
import pytest
from builtin_bars import UNBROKEN, random_bars, real_hours


@pytest.fixture(params=["random", pytest.param("BTCUSDT 1h", marks=pytest.mark.shared)])
def market(request: pytest.FixtureRequest) -> pl.DataFrame:
    """One unbroken segment: a random walk, and real hours."""
    if request.param == "random":
        return random_bars(700, seed=4)
    bars = real_hours(request.getfixturevalue("shared_data"), "BTCUSDT", UNBROKEN, 3000)
    assert bars["segment"].n_unique() == 1 and not bars["is_filled"].any()
    return bars
