"""`configs/selection.yaml`: how features are judged, chosen, searched and validated."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tftctl.core.config.values import Names, Periods, Strict

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Learner = Literal["lightgbm", "random_forest", "extra_trees"]
Method = Literal["tpe", "genetic", "elimination"]


class Trees(Strict):
    """What importances are asked of. `learning_rate` is LightGBM's alone; `leaves` are those of one tree."""

    learner: Learner = "lightgbm"
    trees: Positive = 100
    leaves: Annotated[int, Field(ge=2)] = 15
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    column_share: Annotated[float, Field(gt=0, le=1)] = 0.3
    row_share: Annotated[float, Field(gt=0, le=1)] = 0.7


class Folds(Strict):
    """Purged test folds within the training rows: blocks of `val_ratio` of their days, or of `val_days`.

    `folds` tests only that many, the newest; null all of them. At most `train_rows` and `test_rows` of each are read.
    """

    val_mode: Literal["ratio", "days"] = "ratio"
    val_ratio: Annotated[float, Field(gt=0, le=0.5)] = 0.2
    val_days: Positive = 60
    folds: Positive | None = None
    train_rows: Annotated[int, Field(ge=100)] = 40_000
    test_rows: Annotated[int, Field(ge=100)] = 10_000


class Search(Strict):
    """Budget of the search for a smaller set, and what one feature more must bring.

    `size_penalty` is what the whole pool costs, in shares of the score of the best constant forecast. The newest
    `nested_ratio` of the training days is never seen by the search.
    """

    method: Method = "tpe"
    trials: Positive = 40
    minutes: Annotated[float, Field(gt=0)] = 2.5
    patience: Positive = 20
    size_penalty: Annotated[float, Field(ge=0)] = 0.002
    nested_ratio: Annotated[float, Field(gt=0, le=0.5)] = 0.15
    train_rows: Annotated[int, Field(ge=100)] = 6_000
    test_rows: Annotated[int, Field(ge=100)] = 5_000


class Rolling(Strict):
    """Walk-forward: `folds` test blocks of `test_ratio` of the days each, and that many `random_sets` to compare.

    Before each block the selection is made again, on `selection_folds` purged folds and with `repeats` permutations.
    """

    folds: Annotated[int, Field(ge=2)] = 4
    test_ratio: Share = 0.1
    random_sets: Annotated[int, Field(ge=2)] = 3
    selection_folds: Positive = 3
    repeats: Positive = 2
    train_rows: Annotated[int, Field(ge=100)] = 10_000
    test_rows: Annotated[int, Field(ge=100)] = 10_000


class SelectionConfig(Strict):
    """The whole of `configs/selection.yaml`. Targets and periods that are null are those of the model configuration.

    `level`: the chance that anything without information counts as evidence, in `each` (target, period), so that it
    grows with their number; or in all of them `together` (Bonferroni).
    `cluster_correlation`: features of which all pairs correlate above it are also permuted together.
    """

    targets: Names | None = None
    periods: Periods | None = None
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 2025
    trees: Trees = Trees()
    folds: Folds = Folds()
    repeats: Positive = 5
    cluster_correlation: Annotated[float, Field(gt=0, le=1)] = 0.9
    level: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    evidence: Literal["each", "together"] = "each"
    topk: Positive = 128
    pinned: list[str] = []
    banned: list[str] = []
    tft_bonus: Annotated[float, Field(ge=0)] = 0.15
    optimize: Search = Search()
    rolling: Rolling = Rolling()

    @model_validator(mode="after")
    def _consistent(self) -> SelectionConfig:
        both = sorted(set(self.pinned) & set(self.banned))
        if both:
            raise ValueError(f"{both[0]!r} is both pinned and banned")
        return self
