"""Trees as arrays against the libraries that grew them."""

from __future__ import annotations

import numpy as np
import pytest

from tftctl.core.config.selection import Trees
from tftctl.select.fit import fit_trees, forest_nodes, lightgbm_nodes
from tftctl.select.trees import moved_change, tree_outputs

ROWS, COLUMNS = 1500, 7


def data(missing: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    values = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
    values[:, 6] = np.round(values[:, 6])  # few distinct values, zero among them
    label = values[:, 0] + np.abs(values[:, 1]) * values[:, 2] + 0.3 * values[:, 6] + rng.standard_normal(ROWS)
    values[rng.random(values.shape) < missing] = np.nan
    return values, label


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("objective", ["regression", "binary"])
def test_the_nodes_of_lightgbm_forecast_what_it_forecasts(missing: float, objective: str) -> None:
    import lightgbm

    values, label = data(missing)
    target = label if objective == "regression" else (label > 0.2).astype(float)
    options = {"objective": objective, "num_leaves": 15, "verbose": -1, "num_threads": 1, "seed": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(values[:1000], target[:1000]), 30)
    nodes = lightgbm_nodes(booster.model_to_string())
    fresh, _ = data(0.3)  # also misses where training did not
    for rows in (values, fresh):
        found = tree_outputs(nodes, np.ascontiguousarray(rows.T)).sum(0)
        np.testing.assert_allclose(found, booster.predict(rows, raw_score=True), rtol=0, atol=1e-12)


def test_a_tree_that_cannot_split_is_a_constant() -> None:
    import lightgbm

    values, label = data(0.0)
    booster = lightgbm.train(
        {"objective": "regression", "min_data_in_leaf": ROWS, "verbose": -1}, lightgbm.Dataset(values, label), 3
    )
    found = tree_outputs(lightgbm_nodes(booster.model_to_string()), np.ascontiguousarray(values.T)).sum(0)
    np.testing.assert_allclose(found, booster.predict(values), atol=1e-12)


@pytest.mark.parametrize("learner", ["RandomForestRegressor", "ExtraTreesRegressor"])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_the_nodes_of_a_forest_forecast_what_it_forecasts(learner: str, missing: float) -> None:
    from sklearn import ensemble

    values, label = data(missing)
    forest = getattr(ensemble, learner)(n_estimators=8, max_depth=6, random_state=1).fit(values, label)
    found = tree_outputs(forest_nodes(forest), np.ascontiguousarray(values.T)).sum(0)
    np.testing.assert_allclose(found, forest.predict(values), atol=1e-9)


@pytest.mark.parametrize("moved", [[0], [1, 2, 6], [5]])
def test_moving_columns_changes_the_forecast_as_asking_lightgbm_again_does(moved: list[int]) -> None:
    import lightgbm

    values, label = data(0.1)
    booster = lightgbm.train({"verbose": -1, "num_leaves": 8, "seed": 1}, lightgbm.Dataset(values, label), 25)
    nodes = lightgbm_nodes(booster.model_to_string())
    source = np.random.default_rng(5).permutation(ROWS)
    changed = values.copy()
    changed[:, moved] = values[source][:, moved]
    columns = np.ascontiguousarray(values.T)
    users = nodes.users(COLUMNS)
    trees = np.unique(np.concatenate([users[column] for column in moved]))
    mask = np.isin(np.arange(COLUMNS), moved)
    found = moved_change(nodes, tree_outputs(nodes, columns), trees, columns, source, mask)
    np.testing.assert_allclose(found, booster.predict(changed) - booster.predict(values), atol=1e-12)


def test_the_users_of_a_column_are_the_trees_that_split_on_it() -> None:
    import lightgbm

    values, label = data(0.0)
    booster = lightgbm.train({"verbose": -1, "num_leaves": 4, "seed": 1}, lightgbm.Dataset(values, label), 20)
    told = booster.trees_to_dataframe()
    users = lightgbm_nodes(booster.model_to_string()).users(COLUMNS)
    for column in range(COLUMNS):
        mine = told[told["split_feature"] == f"Column_{column}"]["tree_index"].unique()
        assert users[column].tolist() == sorted(mine.tolist())


@pytest.mark.parametrize("learner", ["lightgbm", "random_forest", "extra_trees"])
@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_every_learner_finds_what_is_there_and_the_seed_fixes_it(learner: str, kind: str) -> None:
    from sklearn.metrics import log_loss, mean_squared_error

    values, label = data(0.05)
    label = label if kind == "regression" else (label > 0.2).astype(float)
    settings = Trees(learner=learner, trees=40, column_share=0.8)  # type: ignore[arg-type]
    fitted = fit_trees(values[:1000], label[:1000], kind, settings, 7)  # type: ignore[arg-type]
    again = fit_trees(values[:1000], label[:1000], kind, settings, 7)  # type: ignore[arg-type]
    forecast = tree_outputs(fitted.nodes, np.ascontiguousarray(values[1000:].T)).sum(0)
    assert np.array_equal(again.nodes.value, fitted.nodes.value)
    loss = fitted.loss(forecast, label[1000:])
    if kind == "regression":
        oracle = mean_squared_error(label[1000:], forecast)
        constant = label[1000:].var()
    else:
        rate = 1 / (1 + np.exp(-forecast)) if fitted.logistic else forecast
        oracle = log_loss(label[1000:], rate)
        constant = log_loss(label[1000:], np.full(500, label[:1000].mean()))
    assert loss.mean() == pytest.approx(oracle, rel=1e-9)
    assert oracle < 0.95 * constant
    assert fitted.gain.sum() == pytest.approx(1)
    assert fitted.gain[:3].sum() > 0.6
