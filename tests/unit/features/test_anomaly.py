"""Scores of unusual bars against loops, and scikit-learn called bar by bar (SEMANTICS T4, F8)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
from feature_bars import features_config, indicators, numbers, prepared, row_of_bars
from sklearn.neighbors import LocalOutlierFactor

from tftctl.core.calendars import open_calendar
from tftctl.features.anomaly import anomalies
from tftctl.features.groups import Recipe

COLUMNS = ["log_return", "volume"]
MAD = {"mad": {"window": {"1h": 20}, "columns": COLUMNS, "threshold": 4.0}}
LOF = {"lof": {"fit": 60, "block": 10, "neighbours": 5, "columns": COLUMNS, "threshold": 1.5}}


def recipe(**settings: Any) -> Recipe:
    """The engine for one symbol."""
    config = features_config(anomalies=settings)
    return Recipe(config, tuple(indicators("log_return")), (), {"AAA": open_calendar("24x7")}, {"AAA": "raw"}, ())


def rows(size: int = 260) -> pl.DataFrame:
    """Hours with a short and a long hole."""
    return prepared(row_of_bars(size, "1h", missing=[90, 91, 150, 151, 152, 153, 154], seed=3))


def samples_before(frame: pl.DataFrame, row: int) -> np.ndarray:
    """Values of real bars before a row that have all columns, (samples, columns)."""
    before = frame.head(row).filter(~pl.col("is_filled")).drop_nulls(COLUMNS)
    return before.select(COLUMNS).to_numpy()


def test_mad_against_a_loop() -> None:
    """The largest distance from the median, in units of 1.4826 MAD, of the last 20 samples."""
    made = recipe(**MAD).features(rows())
    score, hint = numbers(made["anomaly_mad"]), made["anomaly_mad_hint"]
    for row in range(made.height):
        past = samples_before(made, row)[-20:]
        own = [made[name][row] for name in COLUMNS]
        if len(past) < 20:
            assert math.isnan(score[row])
            continue
        median = np.median(past, axis=0)
        mad = 1.4826 * np.median(np.abs(past - median), axis=0)
        each = [abs(v - m) / s for v, m, s in zip(own, median, mad, strict=True) if v is not None]
        assert score[row] == np.float64(max(each)) or abs(score[row] - max(each)) < 1e-9 * max(each)
        assert hint[row] == (max(each) > 4.0)


def test_lof_against_scikit_learn_bar_by_bar() -> None:
    """Blocks begin at bar numbers divisible by 10 and see the 60 samples before them."""
    made = recipe(**LOF).features(rows())
    score = numbers(made["anomaly_lof"])
    scored = 0
    for row in range(made.height):
        past = samples_before(made, row // 10 * 10)[-60:]
        own = made.select(COLUMNS).row(row)
        if len(past) < 60 or None in own:
            assert math.isnan(score[row])
            continue
        low, middle, high = np.quantile(past, [0.25, 0.5, 0.75], axis=0)
        model = LocalOutlierFactor(n_neighbors=5, novelty=True).fit((past - middle) / (high - low))
        expected = -model.score_samples([(np.array(own) - middle) / (high - low)])[0]
        np.testing.assert_allclose(score[row], expected, rtol=1e-9)
        scored += 1
    assert scored > 150


def test_a_halted_symbol_does_not_break_it() -> None:
    """Identical bars count once: their neighbours are not infinitely far. A market that never moves has no score."""
    still = rows().with_columns(
        pl.when(pl.int_range(pl.len()).is_between(70, 130)).then(50.0).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low", "close", "volume")
    )
    made = recipe(**MAD, **LOF).features(still)
    assert made["anomaly_lof"].drop_nulls().max() < 1e3
    assert made["anomaly_lof"][132:].drop_nulls().len() > 60
    flat = rows().with_columns(pl.lit(50.0).alias(name) for name in ("open", "high", "low", "close", "volume"))
    made = recipe(**MAD, **LOF).features(flat)
    assert made["anomaly_lof"].null_count() == made["anomaly_mad"].null_count() == made.height


def test_later_bars_and_later_starts_change_nothing() -> None:
    """A1, F8: cut anywhere, or computed from row 200 on, the same bits."""
    whole = recipe(**MAD, **LOF).features(rows())
    names = [name for name in whole.columns if name.startswith("anomaly")]
    for cut in (120, 149, 157, 200):
        assert recipe(**MAD, **LOF).features(rows().head(cut))[names].equals(whole[names].head(cut))
    assert recipe(**MAD, **LOF).features(rows(), first=200)[names].equals(whole[names].slice(200))


def test_a_period_without_a_window_is_null() -> None:
    """F4: the schema is the same for all periods."""
    config = features_config(anomalies=MAD).anomalies
    (mad,) = anomalies(config, "4h")
    made = mad.compute(recipe(**MAD).features(rows()).with_columns(bar_index=pl.int_range(pl.len())))
    assert made["anomaly_mad"].null_count() == made["anomaly_mad_hint"].null_count() == rows().height
