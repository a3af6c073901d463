"""Bootstrap over blocks, the greatest of many, stability and deflation, each beside a naive way."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from tftctl.select.deflation import deflate, expected_maximum
from tftctl.select.ledger import Ledger
from tftctl.select.resampling import adjusted_p, block_means, greatest
from tftctl.select.stability import agreement_of, frequencies, jaccard, kuncheva


def blocks(units: int, size: int, seed: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.integers(20, 60, size).astype(float)
    return scale * rng.standard_normal((units, size)) * rows, rows


def test_the_mean_is_per_row_and_its_error_that_of_a_naive_bootstrap() -> None:
    sums, rows = blocks(3, 50, 1)
    found = block_means(sums, rows, seed=4)
    np.testing.assert_allclose(found.mean, sums.sum(1) / rows.sum())
    rng = np.random.default_rng(9)
    naive = []
    for _ in range(4000):
        drawn = rng.integers(0, 50, 50)
        naive.append(sums[:, drawn].sum(1) / rows[drawn].sum())
    np.testing.assert_allclose(found.se, np.std(naive, axis=0), rtol=0.06)
    np.testing.assert_allclose(found.low, np.quantile(naive, 0.025, axis=0), atol=0.1 * found.se.max())
    np.testing.assert_allclose(found.high, np.quantile(naive, 0.975, axis=0), atol=0.1 * found.se.max())


def test_a_unit_that_nothing_uses_has_no_error_and_no_z() -> None:
    sums, rows = blocks(2, 30, 2)
    sums[1] = 0.0
    found = block_means(sums, rows, seed=1)
    assert found.z[1] == 0.0
    assert found.se[1] == 0.0
    assert np.isfinite(greatest(found)).all()


def test_the_greatest_of_independent_units_is_that_of_normal_numbers() -> None:
    sums, rows = blocks(100, 400, 3)
    largest = greatest(block_means(sums, rows, seed=5, draws=4000))
    normal = np.random.default_rng(1).standard_normal((20_000, 100)).max(1)
    for level in (0.5, 0.8, 0.95):
        assert np.quantile(largest, level) == pytest.approx(np.quantile(normal, level), abs=0.15)


def test_the_threshold_holds_its_level_on_units_without_information() -> None:
    passed = 0
    for seed in range(200):
        sums, rows = blocks(80, 120, 1000 + seed)
        probes, features = block_means(sums[:40], rows, seed, 1000), block_means(sums[40:], rows, seed, 1000)
        passed += bool((features.z > np.quantile(greatest(probes), 0.95)).any())
    assert passed <= 20  # 10 are expected, 20 are the 99.8 % quantile of 200 times 5 %


def test_adjusted_p_counts_as_many_as_reach_it() -> None:
    largest = np.array([1.0, 2.0, 3.0, 4.0])
    assert adjusted_p(np.array([0.5, 3.0, 9.0]), largest).tolist() == [1.0, 0.6, 0.2]


def test_stability_by_hand() -> None:
    a, b, c = {"x", "y"}, {"y", "z"}, {"x", "y"}
    assert frequencies([a, b, c], ["x", "y", "z", "u"]) == pytest.approx({"x": 2 / 3, "y": 1.0, "z": 1 / 3, "u": 0.0})
    assert jaccard(a, b) == pytest.approx(1 / 3)
    mean_jaccard, mean_kuncheva = agreement_of([a, b, c], 4)
    assert mean_jaccard == pytest.approx((1 / 3 + 1 + 1 / 3) / 3)
    assert mean_kuncheva == pytest.approx((0 + 1 + 0) / 3)


@pytest.mark.parametrize(("size", "pool"), [(3, 10), (7, 40), (12, 24)])
def test_sets_of_one_size_have_the_index_of_kuncheva(size: int, pool: int) -> None:
    rng = np.random.default_rng(size)
    for _ in range(20):
        first, second = (set(map(str, rng.choice(pool, size, replace=False))) for _ in range(2))
        common = len(first & second)
        expected = (common * pool - size**2) / (size * (pool - size))
        assert kuncheva(first, second, pool) == pytest.approx(expected)


def test_random_sets_agree_by_chance_and_nested_ones_fully() -> None:
    rng = np.random.default_rng(1)
    sets = [set(map(str, rng.choice(60, rng.integers(5, 20), replace=False))) for _ in range(40)]
    found = [kuncheva(a, b, 60) for a, b in combinations(sets, 2)]
    assert np.mean([value for value in found if value is not None]) == pytest.approx(0.0, abs=0.03)
    assert kuncheva({"1", "2"}, {"1", "2", "3", "4"}, 60) == pytest.approx(1.0)
    assert kuncheva(set(), {"1"}, 60) is None
    assert jaccard(set(), set()) is None


@pytest.mark.parametrize("trials", [5, 40, 300])
def test_the_expected_maximum_is_that_of_simulated_trials(trials: int) -> None:
    simulated = np.random.default_rng(0).standard_normal((20_000, trials)).max(1).mean()
    assert expected_maximum(trials) == pytest.approx(simulated, abs=0.06)


def test_deflation_takes_what_luck_would_give() -> None:
    one, many = deflate(0.02, 0.01, 1), deflate(0.02, 0.01, 100)
    assert (one.gain, one.trials) == (0.02, 1)
    assert one.p == pytest.approx(0.0228, abs=1e-4)
    assert many.gain == pytest.approx(0.02 - 0.01 * expected_maximum(100))
    assert many.p is not None
    assert many.p > 0.5
    assert deflate(0.0, 0.0, 10).p is None


def test_the_ledger_counts_a_piece_of_work_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs" / "trials.jsonl")
    assert ledger.trials(["target_x"]) == {"target_x": 0}
    ledger.count("tree-perm", "a", {"target_x": 1, "target_y": 1})
    ledger.count("tree-perm", "a", {"target_x": 1, "target_y": 1})
    ledger.count("optimize-subset", "b", {"target_x": 10})
    ledger.count("optimize-subset", "b", {"target_x": 25})  # the same search, gone on with
    assert ledger.trials(["target_x", "target_y"]) == {"target_x": 26, "target_y": 1}


def test_a_nested_fold_is_spent_by_another_look_at_any_part_of_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "trials.jsonl")
    assert ledger.spend("a", "rows", 100, 200) == 0
    assert ledger.spend("a", "rows", 100, 200) == 0  # the same look again
    assert ledger.spend("b", "rows", 200, 300) == 0  # after it
    assert ledger.spend("c", "rows", 150, 250) == 2
