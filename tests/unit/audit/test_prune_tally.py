"""Counts of columns do not depend on how rows are cut into pieces."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import scipy.stats

from tftctl.audit.prune.drift import kolmogorov_smirnov
from tftctl.audit.prune.tally import Tallies


def tallied(rows: np.ndarray, pieces: int) -> Tallies:
    """Tallies of rows that come in pieces."""
    found = Tallies(rows.shape[1])
    for part in np.array_split(rows, pieces):
        found.add(part)
    return found


def test_digests_are_those_of_the_values() -> None:
    """0.0 and -0.0 are one value, all NaN are one, a gap is none; up to sign from the first value that is not zero."""
    a = np.array([np.nan, 0.0, -0.0, 2.0, -3.0, np.nan, 0.0])
    other_nan = np.where(np.isnan(a), -np.nan, a)
    columns = np.column_stack([a, other_nan * 1.0, np.where(a == 0, -a, a), -a, np.where(np.isnan(a), 0, a), a + 1e-9])
    for pieces in (1, 2, 3, 7):
        found = tallied(columns, pieces)
        assert found.equal(0) == found.equal(1) == found.equal(2)
        assert len({found.equal(place) for place in (0, 3, 4, 5)}) == 4
        assert found.mirrored(0) == found.mirrored(3)
        assert len({found.mirrored(place) for place in (0, 4, 5)}) == 3
        assert found.equal(0) == tallied(columns, 1).equal(0)
    assert tallied(np.full((5, 1), np.nan), 2).equal(0) == b""


def test_the_favourite_is_the_value_of_more_than_half() -> None:
    """Against a count, however the rows are cut; moments and extremes against NumPy."""
    random = np.random.default_rng(2)
    for _ in range(300):
        size = int(random.integers(1, 80))
        rows = random.integers(0, 3, size=(size, 2)).astype(float)
        rows[random.random(size) < random.choice([0.0, 0.4, 0.7]), 0] = 1.0
        rows[random.random(size) < 0.2, 1] = np.nan
        found = tallied(rows, int(random.integers(1, 9)))
        for place in (0, 1):
            known = rows[~np.isnan(rows[:, place]), place]
            assert found.values[place] == known.size
            if not known.size:
                continue
            value, count = Counter(known.tolist()).most_common(1)[0]
            if count > known.size / 2:
                assert found.favourite[place] == value and found.votes[place] > 0
            assert (found.low[place], found.high[place]) == (known.min(), known.max())
            assert found.variance[place] == pytest.approx(known.var(), abs=1e-12)


def test_ks_is_that_of_scipy() -> None:
    """With ties and gaps; nothing is said of fewer than 100 values."""
    random = np.random.default_rng(4)
    for _ in range(50):
        a = random.normal(size=int(random.integers(100, 400))).round(int(random.integers(0, 4)))
        b = random.normal(random.normal(), 1.5, size=int(random.integers(100, 400))).round(1)
        got = kolmogorov_smirnov(np.append(a, np.nan), np.append(np.nan, b))
        assert got == pytest.approx(scipy.stats.ks_2samp(a, b).statistic, abs=1e-12)
    assert kolmogorov_smirnov(a[:99], b) is None
