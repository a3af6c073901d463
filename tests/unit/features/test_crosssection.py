"""Cross-sections and fused-row indicators against loops (SEMANTICS F7)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from feature_bars import features_config, numbers, row_of_bars, table, write_bars

from tftctl.core.errors import ConfigError
from tftctl.features import crosssection
from tftctl.features.build import build
from tftctl.plugins import load_registry
from tftctl.store import Store
from tftctl.testing import check_indicator

REGISTRY = load_registry()
SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
WINDOW = 10
CROSS: list[Any] = [
    "log_return",
    {"name": "return_rank", "min_symbols": 2},
    "return_dispersion",
    {"name": "market_beta", "period": WINDOW},
    {"name": "relative_strength", "period": WINDOW, "reference": "BBB"},
]


def store_of(folder: Path) -> Store:
    """Four symbols: one with holes, short and long, one that is listed late."""
    store = Store(folder)
    missing = {"BBB": [20, 21, 50, 51, 52, 53, 54], "DDD": list(range(40))}
    write_bars(store, *(row_of_bars(120, "1h", s, missing=missing.get(s, []), seed=ord(s[0])) for s in SYMBOLS))
    return store


def run(store: Store, **changes: Any) -> pl.DataFrame:
    """The features table of one build."""
    build(store, features_config(**{"periods": ["1h"], "context": {}, "indicators": CROSS, **changes}), REGISTRY)
    return table(store, "features", "1h")


def by_instant(rows: pl.DataFrame, instant: int) -> dict[str, float]:
    """Log returns of the members at an instant: unfilled bars that have one."""
    there = rows.filter((pl.col("available_at") == instant) & ~pl.col("is_filled"))
    values = dict(zip(there["symbol"], numbers(there["log_return"]), strict=True))
    return {symbol: value for symbol, value in values.items() if math.isfinite(value)}


def test_rank_and_dispersion_against_a_loop(tmp_path: Path) -> None:
    """F7: members are unfilled bars at that instant; null below min_symbols, for filled bars and without a return."""
    rows = run(store_of(tmp_path))
    seen = 0
    for row in rows.iter_rows(named=True):
        members = by_instant(rows, row["available_at"])
        own = None if row["is_filled"] else members.get(row["symbol"])
        found = row["return_rank_all_2"]
        if own is None or len(members) < 2:
            assert found is None
        else:
            others = [value for symbol, value in members.items() if symbol != row["symbol"]]
            rank = (sum(v < own for v in others) + 0.5 * sum(v == own for v in others)) / len(others)
            assert found == pytest.approx(rank, rel=1e-6)
            seen += 1
        spread, mean = row["return_dispersion"], row["market_return"]
        if own is None or len(members) < 3:
            assert (spread, mean) == (None, None)
        else:
            assert spread == pytest.approx(np.std(list(members.values())), rel=1e-5)
            assert mean == pytest.approx(np.mean(list(members.values())), rel=1e-5, abs=1e-9)
    assert seen > 300


def test_beta_and_strength_against_a_loop(tmp_path: Path) -> None:
    """Over the window's instants at which both have a return, at least four fifths of them."""
    rows = run(store_of(tmp_path))
    instants = sorted(rows["available_at"].unique())
    members = [by_instant(rows, instant) for instant in instants]
    checked = 0
    for row in rows.filter(~pl.col("is_filled")).iter_rows(named=True):
        now = instants.index(row["available_at"])
        past = members[max(0, now - WINDOW + 1) : now + 1]
        pairs = [(m[row["symbol"]], np.mean(list(m.values()))) for m in past if row["symbol"] in m]
        beta = row[f"market_beta_all_3_{WINDOW}"]
        if len(past) < WINDOW or len(pairs) < 8 or row["symbol"] not in past[-1] or len(past[-1]) < 3:
            assert beta is None
        else:
            own, market = np.array(pairs).T
            assert beta == pytest.approx(np.cov(own, market)[0, 1] / np.var(market, ddof=1), rel=1e-4)
            assert row[f"market_correlation_all_3_{WINDOW}"] == pytest.approx(np.corrcoef(own, market)[0, 1], rel=1e-4)
            checked += 1
        against = [m[row["symbol"]] - m["BBB"] for m in past if row["symbol"] in m and "BBB" in m]
        strength = row[f"relative_strength_all_3_{WINDOW}_bbb"]
        if strength is not None:
            assert strength == pytest.approx(sum(against), rel=1e-4, abs=1e-8)
    assert checked > 200


def test_blocks_of_instants_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded memory: blocks of a few instants give the same bits."""
    whole = run(store_of(tmp_path / "whole"))
    monkeypatch.setattr(crosssection, "BLOCK_VALUES", 28)
    assert run(store_of(tmp_path / "blocks")).equals(whole)


def test_a_universe_is_a_named_list(tmp_path: Path) -> None:
    """F7: others get no value, and the name has to exist."""
    store = store_of(tmp_path)
    rank = {"name": "return_rank", "universe": "majors", "min_symbols": 2}
    rows = run(store, indicators=["log_return", rank], universes={"majors": ["AAA", "CCC"]})
    ranked = rows.filter(pl.col("return_rank_majors_2").is_not_null())
    assert set(ranked["symbol"]) == {"AAA", "CCC"}
    assert set(ranked["return_rank_majors_2"]) == {0.0, 1.0}
    with pytest.raises(ConfigError, match="no universe 'majors'"):
        run(store, indicators=["log_return", rank])


def test_what_a_cross_section_reads_has_to_be_made(tmp_path: Path) -> None:
    """STYLE 12: what is asked, what to add."""
    with pytest.raises(ConfigError, match="return_rank needs the column 'log_return'"):
        run(store_of(tmp_path), indicators=["return_rank"])


def test_trend_agreement_reads_the_fused_row(tmp_path: Path) -> None:
    """The mean sign of own and context trends; null where the own is."""
    store = Store(tmp_path)
    sizes = {"1h": 480, "4h": 120, "1d": 20}
    write_bars(store, *(row_of_bars(size, period, "AAA", seed=len(period)) for period, size in sizes.items()))
    made = {
        "periods": ["1h", "4h", "1d"],
        "indicators": [{"name": "ema", "period": 5}, {"name": "trend_agreement", "column": "ema_distance_5"}],
    }
    build(store, features_config(**made, context_features=["ema_distance_5"]), REGISTRY)
    for period, contexts in {"1h": ["4h", "1d"], "4h": ["1d"], "1d": []}.items():
        names = ["ema_distance_5", *(f"ema_distance_5__{q}" for q in contexts)]
        for row in table(store, "fused", period).iter_rows(named=True):
            signs = [np.sign(row[name]) for name in names if row[name] is not None]
            expected = None if row["ema_distance_5"] is None else pytest.approx(np.mean(signs), abs=1e-6)
            assert row["trend_agreement_ema_distance_5"] == expected


@pytest.mark.parametrize("name", [n for n in REGISTRY.names("indicator") if REGISTRY.indicator(n).scope != "group"])
def test_the_built_ins_of_wider_scopes_pass_the_checks(name: str) -> None:
    """F7: causal, forgetful, blind to the order of the symbols."""
    assert check_indicator(REGISTRY.indicator(name)) == []
