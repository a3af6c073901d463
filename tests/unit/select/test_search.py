"""The three methods and the budget, on objectives that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import pytest

from tftctl.select.search import METHODS, Budget, Searched, Subset, Trial, search

USEFUL = {0, 3, 4}
UNLIMITED = Budget(10_000, 1e9, 10_000)


def worth(subset: Subset, useful: set[int] = USEFUL) -> Trial:
    """One point for every useful feature, a tenth off for every feature."""
    chosen = {place for place, kept in enumerate(subset) if kept}
    objective = len(chosen & useful) - 0.1 * len(chosen)
    gain = tuple((1.0 if place in useful else 0.01) if kept else 0.0 for place, kept in enumerate(subset))
    return Trial(subset, objective, objective, gain, seconds=1.0)


def run(method: str, size: int, budget: Budget, seed: int = 1, judge: Callable[[Subset], Trial] = worth) -> Searched:
    return search(METHODS[method](size, seed), budget, judge)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_best_of_all_subsets(method: str) -> None:
    """The best is known: exactly the useful features. Nothing is evaluated twice."""
    asked: list[Subset] = []

    def judge(subset: Subset) -> Trial:
        asked.append(subset)
        return worth(subset)

    found = run(method, 10, Budget(200, 1e9, 200), judge=judge)
    assert {place for place, kept in enumerate(found.best.subset) if kept} == USEFUL
    assert len(asked) == len(set(asked)) == len(found.trials) <= 200
    assert asked[0] == (True,) * 10
    assert all(any(subset) for subset in asked)


@pytest.mark.parametrize("method", METHODS)
def test_the_budget_of_trials_only_cuts_the_list(method: str) -> None:
    short, long = run(method, 12, Budget(9, 1e9, 99)), run(method, 12, Budget(40, 1e9, 99))
    assert short.stopped_by == "trials" and len(short.trials) == 9
    assert short.trials == long.trials[:9]


@pytest.mark.parametrize("method", ["genetic", "tpe"])
def test_seeds_decide(method: str) -> None:
    one, same, other = (run(method, 30, Budget(40, 1e9, 99), seed) for seed in (1, 1, 2))
    assert one.trials == same.trials
    assert one.trials != other.trials


@pytest.mark.parametrize("method", METHODS)
def test_minutes_are_those_of_the_trials(method: str) -> None:
    """A second each: three of them are the first that reach 0.05 minutes."""
    found = run(method, 12, Budget(99, 0.05, 99))
    assert found.stopped_by == "minutes" and len(found.trials) == 3


@pytest.mark.parametrize("method", METHODS)
def test_patience_counts_trials_since_the_best(method: str) -> None:
    """Nothing is better than the whole pool here, which is the first."""

    def judge(subset: Subset) -> Trial:
        return Trial(subset, float(sum(subset)), 0.0, tuple(float(kept) for kept in subset), 1.0)

    found = run(method, 12, Budget(99, 1e9, 5), judge=judge)
    assert found.stopped_by == "patience" and len(found.trials) == 6
    assert found.best == found.trials[0]


def test_of_equals_the_first_is_best() -> None:
    found = run("genetic", 6, Budget(10, 1e9, 99), judge=lambda subset: Trial(subset, 0.5, 0.5, (0.0,) * 6, 1.0))
    assert found.best == found.trials[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_small_pools_are_exhausted(method: str, size: int) -> None:
    found = run(method, size, UNLIMITED)
    assert found.stopped_by == "exhausted"
    everything = {
        tuple(place in chosen for place in range(size))
        for count in range(1, size + 1)
        for chosen in combinations(range(size), count)
    }
    assert {trial.subset for trial in found.trials} <= everything
    if method != "elimination":
        assert {trial.subset for trial in found.trials} == everything


def test_a_method_that_says_nothing_new_ends() -> None:
    def stubborn():  # type: ignore[no-untyped-def]
        while True:
            yield (True, True, False)

    found = search(stubborn(), UNLIMITED, worth)
    assert found.stopped_by == "exhausted" and len(found.trials) == 1


def test_elimination_drops_a_fifth_of_the_least_gain_and_then_single_ones() -> None:
    found = run("elimination", 20, UNLIMITED)
    sizes = [trial.size for trial in found.trials]
    assert sizes[:13] == [20, 16, 13, 10, 8, 6, 5, 4, 3, 2, 1, 2, 2]
    assert {place for place, kept in enumerate(found.trials[8].subset) if kept} == USEFUL
    # around {0, 3, 4}, {0, 3} was met on the way down, {0, 4} and {3, 4} are new
    assert sizes[11:] == [2, 2]


def test_elimination_leaves_single_features_after_the_fifths() -> None:
    """The gain misleads: the feature that harms has the most of it, so no fifth drops it before the last."""

    def judge(subset: Subset) -> Trial:
        chosen = {place for place, kept in enumerate(subset) if kept}
        objective = len(chosen - {0}) - 2.0 * (0 in chosen)
        return Trial(
            subset, objective, objective, tuple(9.0 - at if kept else 0.0 for at, kept in enumerate(subset)), 1
        )

    found = run("elimination", 6, UNLIMITED, judge=judge)
    assert found.best.subset == (False, True, True, True, True, True)


def test_tpe_turns_neighbours_of_a_large_pool_together() -> None:
    found = run("tpe", 45, Budget(30, 1e9, 99))
    # 20 groups of neighbours: five of three features, then fifteen of two
    starts = [*range(0, 15, 3), *range(15, 45, 2)]
    for trial in found.trials:
        turns = {place for place in range(1, 45) if trial.subset[place] != trial.subset[place - 1]}
        assert turns <= set(starts)
    assert [trial.size for trial in found.trials[:2]] == [45, 25]


def test_progress_is_told() -> None:
    said: list[tuple[str, int, int]] = []
    search(METHODS["genetic"](8, 1), Budget(4, 1e9, 99), worth, lambda *what: said.append(what))
    assert said == [("subsets", done, 4) for done in (1, 2, 3, 4)]
