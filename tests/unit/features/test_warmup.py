"""`tftctl features health --warmup`: declared and measured memory (SEMANTICS F3)."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from feature_bars import builtin_names, features_config, prepared, real_bars, row_of_bars, write_bars
from typer.testing import CliRunner

from tftctl.cli.app import app
from tftctl.core.errors import DataError
from tftctl.core.workspace import Workspace, open_workspace
from tftctl.features.warmup import longest_segment, measure_warmup, relative_difference, starts_of
from tftctl.plugins import load_registry
from tftctl.store import Store

# an exponential mean of weight 0.1 forgets a factor of 1e-9 in about 197 bars
PLUGIN = """
import numpy as np
from tftctl.api import Indicator, Output, Params, hookimpl

class Weight(Params):
    settle: int = 30
    first: int = 4

def mean(columns, params):
    close = columns["close"]
    made, level = np.empty(close.size), close[0]
    for bar, price in enumerate(close):
        level += 0.1 * (price - level)
        made[bar] = level
    made[:4] = np.nan
    return {"slow_mean": made}

@hookimpl
def tftctl_indicators():
    yield Indicator(
        name="slow_mean", summary="a mean", outputs=(Output("slow_mean", scale="price"),),
        inputs=lambda params: ("close",), params=Weight, kernel=mean,
        first_valid=lambda params: params.first, settle=lambda params: params.settle,
    )
"""
SIZE = 5200


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with an indicator whose settle is a parameter, and bars with a gap."""
    folder = tmp_path_factory.mktemp("warmup")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "slow.py").write_text(PLUGIN)
    (folder / "tftctl.toml").write_text('plugins = ["plugins/slow.py"]\n')
    (folder / "configs").mkdir()
    (folder / "configs" / "features.yaml").write_text("periods: [1h, 4h]\nindicators: [slow_mean, log_return]\n")
    hours = row_of_bars(SIZE, "1h", "AAA", missing=range(200, 240), seed=4)
    write_bars(Store(folder / "store"), hours, row_of_bars(90, "4h", "AAA"), row_of_bars(70, "1h", "BBB"))
    return open_workspace(folder)


def measured(planted: Workspace, *entries: dict, period: str = "1h", symbols: list[str] | None = None) -> dict:
    """Memory by column."""
    config = features_config(periods=["1h", "4h"], indicators=list(entries))
    found = measure_warmup(Store(planted.store), config, load_registry(planted), symbols, period)
    return {memory.column: memory for memory in found}


def drift_by_hand(planted: Workspace) -> np.ndarray:
    """Largest relative difference of the mean at every length of history, by its recursion."""
    with Store(planted.store).read() as snapshot:
        bars = snapshot.scan("bars", "1h", symbols=["AAA"]).collect()
    close = bars["close"].to_list()[200:]
    whole = [close[0]]
    for price in close[1:]:
        whole.append(0.9 * whole[-1] + 0.1 * price)
    usual = statistics.median(whole[4:])
    worst = np.zeros(2300)
    for start, length in starts_of(len(close), 2300):
        level = close[start]
        for bar in range(length):
            level = 0.9 * level + 0.1 * close[start + bar]
            size = max(abs(level), abs(whole[start + bar]), usual)
            worst[bar] = max(worst[bar], abs(level - whole[start + bar]) / size)
    return worst


def test_a_settle_that_is_too_small_is_found(planted: Workspace) -> None:
    """Measured on the longest segment, against the recursion itself."""
    memory = measured(planted, {"name": "slow_mean"})["slow_mean"]
    worst = drift_by_hand(planted)
    needed = int(np.flatnonzero(worst > 1e-9)[-1]) + 1
    assert memory.verdict == "too small"
    assert 150 < memory.forgotten_after == needed < 230
    assert memory.bars == 2299
    for name, bars in {"50": 50, "100": 100, "200": 200, "1x settle": 30, "1.5x settle": 45, "2x settle": 60}.items():
        assert memory.drift[name] == pytest.approx(worst[bars:].max(), rel=1e-3, abs=1e-14), name


def test_the_settle_that_is_needed_holds(planted: Workspace) -> None:
    """And one bar less does not."""
    needed = measured(planted, {"name": "slow_mean"})["slow_mean"].forgotten_after
    for settle, verdict in ((needed, "holds"), (needed - 1, "too small")):
        (memory,) = measured(planted, {"name": "slow_mean", "settle": settle}).values()
        assert (memory.verdict, memory.settle) == (verdict, settle)


def test_too_few_bars_and_no_settle_are_said(planted: Workspace) -> None:
    """90 bars of four hours show nothing about a settle of 46; -1 declares that nothing is ever forgotten."""
    (memory,) = measured(planted, {"name": "slow_mean", "settle": 46}, period="4h").values()
    assert (memory.verdict, memory.forgotten_after, memory.bars) == ("too few bars", None, 44)
    assert memory.drift["100"] is memory.drift["1x settle"] is None
    (memory,) = measured(planted, {"name": "slow_mean", "settle": -1}).values()
    assert memory.verdict == "never forgets"
    assert "1x settle" not in memory.drift


def test_the_first_value_is_measured_unblanked(planted: Workspace) -> None:
    """F3: declared 9, there is one at bar 4; no drift is told before the declared one."""
    memory = measured(planted, {"name": "slow_mean", "first": 60, "settle": 300})["slow_mean_300_60"]
    assert (memory.first_valid, memory.first_value, memory.verdict) == (60, 4, "holds")
    assert memory.drift["50"] is None
    assert memory.drift["100"] is not None


def test_the_worst_comes_first(planted: Workspace) -> None:
    """A finding is not hidden below what holds."""
    assert list(measured(planted, {"name": "log_return"}, {"name": "slow_mean"})) == ["slow_mean", "log_return"]


def test_relative_difference_by_cases() -> None:
    """Relative to the larger value or the usual size; a value against none is infinitely far."""
    nan = float("nan")
    expected, found = np.array([2.0, 1e-6, nan, nan, 0.0, 5.0]), np.array([3.0, 2e-6, nan, 1.0, 0.0, nan])
    made = relative_difference(expected, found, 0.5)
    np.testing.assert_allclose(made, [1 / 3, 2e-6, 0, np.inf, 0, np.inf])


@pytest.mark.parametrize(
    ("period", "symbols", "words"),
    [("1w", None, "no bars at 1w"), ("1h", ["AAB"], "no bars of AAB"), ("4h", ["BBB"], "no bars of BBB at 4h")],
)
def test_what_has_no_bars_is_named(planted: Workspace, period: str, symbols: list[str] | None, words: str) -> None:
    """DESIGN 7."""
    with pytest.raises(DataError, match=words):
        measured(planted, {"name": "sma"}, period=period, symbols=symbols)


def test_the_command(planted: Workspace) -> None:
    """One document; in a pipe a table of columns by length of history, remarks on stderr."""
    arguments = ["-w", str(planted.root), "features", "health", "--warmup", "--period", "1h"]
    document = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert [entry["column"] for entry in document["columns"]] == ["slow_mean", "log_return"]
    assert document["columns"][0]["drift"]["2000"] < 1e-9 < document["columns"][0]["drift"]["1x settle"]
    shown = CliRunner().invoke(app, [*arguments, "--symbols", "AAA"])
    first, second, _ = (line.split("\t") for line in shown.stdout.splitlines())
    assert first[0] == "column"
    assert {"50", "2000", "1x settle", "verdict"} <= set(first)
    assert (second[0], second[-1]) == ("slow_mean", "too small")
    assert "the settle of 1 is too small" in shown.stderr


@pytest.mark.shared
def test_the_settle_of_every_builtin_holds_on_real_bars(shared_data: Path, tmp_path: Path) -> None:
    """Fifteen months of BTCUSDT 1h; an indicator's declaration is not only true of random walks."""
    bars = real_bars(shared_data, "BTCUSDT", "1h", "2022-01-01", "2023-04-10")
    bars = bars.with_columns(taker_buy_volume=pl.col("volume") * (pl.col("close") - pl.col("low")) / pl.col("high"))
    store = Store(tmp_path / "store")
    write_bars(store, bars)
    assert longest_segment(prepared(bars)).height > 11_000
    found = measure_warmup(store, features_config(indicators=builtin_names("indicator")), load_registry())
    assert {(memory.column, memory.forgotten_after) for memory in found if memory.verdict == "too small"} == set()
    assert [memory.column for memory in found if memory.verdict == "too few bars"] == []
    assert sum(memory.verdict == "holds" for memory in found) > 150
    assert [memory.column for memory in found if memory.first_value != memory.first_valid] == []
