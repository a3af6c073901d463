"""Trees for one target on the training rows of one fold: LightGBM, or scikit-learn's forests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tftctl.core.config.selection import Trees
from tftctl.core.records import Kind
from tftctl.select.trees import AS_ZERO, LEAF, LEFT, RIGHT, Nodes

Array = npt.NDArray[np.float64]
Values = npt.NDArray[np.float32]
BINS = 63
# of which the bins are made: all of them would cost more than the trees
BIN_ROWS = 10_000
# LightGBM's missing types, bits 2 and 3 of decision_type; bit 1: missing goes left
_NAN, _DEFAULT_LEFT = 2, 2
_RATE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """Trees of a target whose sum is the forecast: a log-odds (`logistic`), a probability, or a value.

    `gain` (columns,) is the training loss that splits on a column have saved, as a share of what all have.
    """

    nodes: Nodes
    gain: Array
    binary: bool
    logistic: bool

    def loss(self, forecast: Array, label: Array) -> Array:
        """Per row: squared error, or log loss."""
        if not self.binary:
            return (label - forecast) ** 2
        if self.logistic:
            return np.logaddexp(0, np.where(label > 0.5, -forecast, forecast))
        rate = np.clip(forecast, _RATE, 1 - _RATE)
        return -np.log(np.where(label > 0.5, rate, 1 - rate))


def constant_loss(kind: Kind, trained: Array, label: Array) -> Array:
    """The loss of the best constant of the training labels, per row."""
    mean = trained.mean()
    if kind != "binary":
        return (label - mean) ** 2
    rate = np.clip(mean, _RATE, 1 - _RATE)
    return -np.log(np.where(label > 0.5, rate, 1 - rate))


def fit_trees(values: Values, label: Array, kind: Kind, settings: Trees, seed: int) -> Fitted:
    """Fit on values (rows, columns), NaN where missing, in one thread; the same seed gives the same trees."""
    if settings.learner == "lightgbm":
        return _lightgbm(values, label, kind, settings, seed)
    return _forest(values, label, kind, settings, seed)


def least_leaf(rows: int) -> int:
    """Rows that a leaf must have at least."""
    return max(20, rows // 200)


def _lightgbm(values: Values, label: Array, kind: Kind, settings: Trees, seed: int) -> Fitted:
    import lightgbm

    options: dict[str, Any] = {
        "objective": "binary" if kind == "binary" else "regression",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "feature_fraction": settings.column_share,
        "bagging_fraction": settings.row_share,
        "bagging_freq": 1,
        "min_data_in_leaf": least_leaf(label.size),
        "max_bin": BINS,
        "bin_construct_sample_cnt": BIN_ROWS,
        "seed": seed,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "verbose": -1,
    }
    data = lightgbm.Dataset(values, label, params=options, free_raw_data=True)
    booster = lightgbm.train(options, data, settings.trees)
    nodes = lightgbm_nodes(booster.model_to_string(num_iteration=-1))
    return Fitted(nodes, _share(booster.feature_importance("gain")), kind == "binary", kind == "binary")


def lightgbm_nodes(text: str) -> Nodes:
    """The trees of LightGBM's model text. The constant that boosting begins with is in the first tree's leaves."""
    parts = [_lightgbm_tree(block) for block in re.split(r"\nTree=\d+\n", text)[1:]]
    return _joined(parts)


def _lightgbm_tree(block: str) -> tuple[Any, ...]:
    """Inner nodes first, then leaves; LightGBM writes leaf n as -n - 1."""
    entries = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
    leaf = np.array(entries["leaf_value"].split(), dtype=np.float64)
    inner = leaf.size - 1
    if not inner:
        return _leaves_only(leaf)
    read = {key: np.array(entries[key].split(), dtype=np.int64) for key in
            ("split_feature", "decision_type", "left_child", "right_child")}  # fmt: skip
    kind = (read["decision_type"] >> 2) & 3
    missing = np.where(kind != _NAN, AS_ZERO, np.where(read["decision_type"] & _DEFAULT_LEFT, LEFT, RIGHT))
    children = [np.where(read[key] >= 0, read[key], inner - read[key] - 1) for key in ("left_child", "right_child")]
    return (
        np.concatenate([read["split_feature"], np.full(leaf.size, LEAF)]),
        np.concatenate([np.array(entries["threshold"].split(), dtype=np.float64), np.zeros(leaf.size)]),
        *(np.concatenate([child, np.zeros(leaf.size, np.int64)]) for child in children),
        np.concatenate([missing, np.zeros(leaf.size, np.int64)]),
        np.concatenate([np.zeros(inner), leaf]),
    )


def _leaves_only(leaf: Array) -> tuple[Any, ...]:
    nothing = np.zeros(1, np.int64)
    return np.full(1, LEAF), np.zeros(1), nothing, nothing, nothing, leaf


def _forest(values: Values, label: Array, kind: Kind, settings: Trees, seed: int) -> Fitted:
    """Regression trees also of a binary label: their mean is a probability."""
    from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

    learner = RandomForestRegressor if settings.learner == "random_forest" else ExtraTreesRegressor
    forest = learner(
        n_estimators=settings.trees,
        max_leaf_nodes=settings.leaves,
        max_features=settings.column_share,
        max_samples=settings.row_share,
        bootstrap=True,
        min_samples_leaf=least_leaf(label.size),
        random_state=seed,
        n_jobs=1,
    ).fit(values, label)
    return Fitted(forest_nodes(forest), _share(forest.feature_importances_), kind == "binary", False)


def forest_nodes(forest: Any) -> Nodes:
    """The trees of a fitted scikit-learn forest of regression trees."""
    return _joined([_sklearn_tree(member.tree_) for member in forest.estimators_], 1 / len(forest.estimators_))


def _sklearn_tree(tree: Any) -> tuple[Any, ...]:
    leaf = tree.children_left < 0
    missing = np.where(np.asarray(tree.missing_go_to_left, bool), LEFT, RIGHT)
    return (
        np.where(leaf, LEAF, tree.feature),
        tree.threshold,
        np.where(leaf, 0, tree.children_left),
        np.where(leaf, 0, tree.children_right),
        missing,
        np.where(leaf, tree.value[:, 0, 0], 0.0),
    )


def _joined(trees: list[tuple[Any, ...]], scale: float = 1.0) -> Nodes:
    """One tree after the other, children counted from the first node of all."""
    sizes = [tree[0].size for tree in trees]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    feature, threshold, left, right, missing, value = (np.concatenate(arrays) for arrays in zip(*trees, strict=True))
    offset = np.repeat(roots, sizes)
    return Nodes(
        feature=feature.astype(np.int32),
        threshold=threshold.astype(np.float64),
        left=(left + offset).astype(np.int32),
        right=(right + offset).astype(np.int32),
        missing=missing.astype(np.int8),
        value=value.astype(np.float64),
        roots=roots,
        scale=scale,
    )


def _share(gain: Any) -> Array:
    gain = np.asarray(gain, dtype=np.float64)
    total = gain.sum()
    return gain / total if total > 0 else gain
