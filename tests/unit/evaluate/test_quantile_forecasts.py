"""Quantiles from the head's columns to scores and predictions (SEMANTICS M4)."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mean_pinball_loss
from training_world import prepare

from tftctl.core.errors import PluginError
from tftctl.core.workspace import Workspace
from tftctl.data.assemble import Prepared
from tftctl.evaluate.comparison import average, compare, pick_rows, score_models
from tftctl.evaluate.predictions import prediction_frame, quantile_column
from tftctl.plugins import load_registry
from tftctl.train.predict import forecasts_of
from tftctl.train.scores import Forecasts

LEVELS = [0.025, 0.5, 0.9]
RETURN, DRAWDOWN = slice(3, 6), slice(6, 9)  # behind the points of three targets


@pytest.fixture(scope="module")
def prepared(market: Workspace) -> Prepared:
    """Windows of the market; two of its three heads forecast quantiles."""
    return prepare(
        market,
        f"losses.target_logreturn={{name: quantile, levels: {LEVELS}}}",
        "losses.target_max_drawdown=student_t",
    )


def outputs(size: int, seed: int = 0) -> np.ndarray:
    """Random points of three targets and quantiles of two, rising."""
    rng = np.random.default_rng(seed)
    quantiles = np.sort(rng.standard_normal((2, size, 3)), axis=2)
    return np.concatenate([rng.random((size, 3)), *quantiles], axis=1)


def made(prepared: Prepared, values: np.ndarray) -> dict[str, Forecasts]:
    """Forecasts of the first validation origins by target."""
    origins = prepared.splits["val"][: len(values)]
    return {entry.target: entry for entry in forecasts_of(prepared, origins, values)}


def test_quantiles_are_read_from_their_columns_and_brought_into_the_targets_unit(prepared: Prepared) -> None:
    """S5: times scale plus centre of the row's own (symbol, period)."""
    values = outputs(80)
    found = made(prepared, values)
    assert found["target_binarytrend"].quantiles is None
    assert found["target_logreturn"].levels == tuple(LEVELS)
    stats = {(group.symbol, group.period): group for group in prepared.spec.groups}
    origins = prepared.splits["val"][:80]
    for name, columns in (("target_logreturn", RETURN), ("target_max_drawdown", DRAWDOWN)):
        place = [target.name for target in prepared.spec.targets].index(name)
        labelled = np.isfinite(prepared.panel.labels[origins, place])
        entry = found[name]
        assert np.array_equal(entry.quantiles, values[labelled, columns])  # type: ignore[arg-type]
        for row, (symbol, period) in enumerate(zip(entry.symbol, entry.period, strict=True)):
            group = stats[symbol, period]
            want = entry.quantiles[row] * group.scale[place] + group.centre[place]  # type: ignore[index]
            assert entry.quantiles_raw[row] == pytest.approx(want)  # type: ignore[index]


@pytest.mark.parametrize("width", [3, 8, 10])
def test_columns_that_the_levels_do_not_account_for_are_refused(prepared: Prepared, width: int) -> None:
    """A guest's quantiles of another width would be read as the next target's."""
    with pytest.raises(PluginError, match=f"heads give {width} columns of forecasts, their levels say 9"):
        made(prepared, np.zeros((4, width)))


def test_the_mean_of_several_checkpoints_has_the_mean_quantiles(prepared: Prepared) -> None:
    """`top-k`: level by level, which keeps them apart; some rows keep theirs."""
    several = [outputs(40, seed) for seed in range(3)]
    averaged = average([list(made(prepared, values).values()) for values in several])
    alone = made(prepared, np.mean(several, axis=0))
    for entry in averaged:
        want = alone[entry.target]
        if not want.levels:
            assert entry.quantiles is None
            continue
        assert entry.quantiles == pytest.approx(want.quantiles)
        assert entry.quantiles_raw == pytest.approx(want.quantiles_raw)
        assert (np.diff(entry.quantiles, axis=1) >= 0).all()
        half = np.arange(entry.truth.size) % 2 == 0
        assert np.array_equal(pick_rows(entry, half).quantiles, entry.quantiles[half])  # type: ignore[arg-type, index]


def test_quantiles_are_scored_for_the_heads_that_have_them_alone(prepared: Prepared) -> None:
    """M4: neither the binary head nor persistence has a pinball loss, not even an undefined one."""
    origins = prepared.splits["val"]
    comparisons = compare(prepared, forecasts_of(prepared, origins, outputs(origins.size)))
    rows = [row for row in score_models(comparisons, load_registry()) if row["metric"] in ("pinball", "coverage")]
    assert {(row["model"], row["target"]) for row in rows} == {
        (model, target) for model in ("tft", "mean") for target in ("target_logreturn", "target_max_drawdown")
    }
    (comparison,) = [one for one in comparisons if one.network.target == "target_logreturn"]
    for row in (row for row in rows if (row["model"], row["target"]) == ("tft", "target_logreturn")):
        network = comparison.network
        here = comparison.common & (network.period == row["period"])
        truth, quantiles = network.truth[here], network.quantiles[here]  # type: ignore[index]
        if row["metric"] == "pinball":
            losses = [mean_pinball_loss(truth, quantiles[:, k], alpha=LEVELS[k]) for k in range(3)]
            assert row["value"] == pytest.approx(np.mean(losses))
        else:
            assert row["value"] == pytest.approx(((quantiles[:, 0] <= truth) & (truth <= quantiles[:, 2])).mean())


def test_predictions_have_a_column_per_level(prepared: Prepared) -> None:
    """M4: in the target's unit, null for a target whose head has no such level."""
    found = made(prepared, outputs(60))
    frame = prediction_frame(compare(prepared, list(found.values())))
    assert frame.columns[-4:] == ["q2_5", "q10", "q50", "q90"]
    mine = {name: frame.filter(target=name) for name in found}
    assert mine["target_binarytrend"].select("q2_5", "q10", "q50", "q90").null_count().row(0) == (
        (mine["target_binarytrend"].height,) * 4
    )
    assert mine["target_logreturn"]["q10"].null_count() == mine["target_logreturn"].height
    assert mine["target_max_drawdown"]["q2_5"].null_count() == mine["target_max_drawdown"].height
    for name, columns in (("target_logreturn", ["q2_5", "q50", "q90"]), ("target_max_drawdown", ["q10", "q50", "q90"])):
        entry = found[name]
        keys = list(zip(entry.symbol, entry.period, entry.timestamp, strict=True))
        want = dict(zip(keys, entry.quantiles_raw, strict=True))  # type: ignore[arg-type]
        for row in mine[name].iter_rows(named=True):
            got = [row[column] for column in columns]
            assert got == pytest.approx(want[row["symbol"], row["period"], row["timestamp"]])


@pytest.mark.parametrize(
    ("level", "name"), [(0.1, "q10"), (0.5, "q50"), (0.975, "q97_5"), (0.005, "q0_5"), (0.29, "q29")]
)
def test_a_column_is_named_by_its_percent(level: float, name: str) -> None:
    """No rounding error of a binary fraction in a name."""
    assert quantile_column(level) == name
