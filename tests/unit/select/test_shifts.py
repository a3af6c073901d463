"""Circular shifts and block permutations over symbols that were listed at different times (SEMANTICS A5)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tftctl.select.shifts import SPANS, block_order, make_grid, permuted_blocks, shift_limits, shifted

HOUR = 3_600_000


def world(starts: list[int], length: int, holes: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(available_at, symbol): every symbol from its start to the end, some bars missing."""
    rng = np.random.default_rng(seed)
    instants, symbols = [], []
    for symbol, start in enumerate(starts):
        mine = np.arange(start, length)
        mine = mine[rng.random(mine.size) >= holes]
        instants.append(mine * HOUR)
        symbols.append(np.full(mine.size, symbol))
    return np.concatenate(instants), np.concatenate(symbols)


@settings(max_examples=60, deadline=None)
@given(
    starts=st.lists(st.integers(0, 380), min_size=1, max_size=4),
    holes=st.sampled_from([0.0, 0.05]),
    span=st.integers(1, 6),
    seed=st.integers(0, 10_000),
)
def test_a_shift_moves_every_row_by_more_than_ten_label_spans(
    starts: list[int], holes: float, span: int, seed: int
) -> None:
    available_at, symbol = world([0, *starts], 400, holes, seed)
    grid = make_grid(available_at, symbol)
    least, most = shift_limits(grid.instants, span * HOUR)
    by = int(np.random.default_rng(seed).integers(least, most + 1))
    source = shifted(grid, by, least)
    known = source >= 0
    assert np.array_equal(symbol[known], symbol[source[known]])
    assert (np.abs(available_at[known] - available_at[source[known]]) > SPANS * span * HOUR).all()


def test_symbols_that_are_there_move_together() -> None:
    available_at, symbol = world([0, 0, 150], 400, 0.0, 1)
    grid = make_grid(available_at, symbol)
    source = shifted(grid, 100, 20)
    lag = (available_at - available_at[source]) // HOUR
    assert set(lag[symbol == 0].tolist()) == {100, -300}
    late = (symbol == 2) & (available_at >= 250 * HOUR)
    assert set(lag[late].tolist()) == {100}  # it had a bar 100 hours before
    assert len(set(source[symbol == 2].tolist()) & set(np.flatnonzero(symbol != 2).tolist())) == 0


def test_a_symbol_too_short_to_be_turned_has_no_values() -> None:
    available_at, symbol = world([0, 370], 400, 0.0, 1)
    source = shifted(make_grid(available_at, symbol), 200, 60)
    assert (source[symbol == 1] == -1).all()
    assert (source[symbol == 0] >= 0).all()


def test_the_limits_are_those_of_a_naive_search() -> None:
    instants = np.sort(np.random.default_rng(2).choice(3000, 500, replace=False)).astype(np.int64)
    span = 20
    allowed = [
        by
        for by in range(1, 500)
        if all(abs(instants[i] - instants[(i - by) % 500]) > SPANS * span for i in range(500))
    ]
    least, most = shift_limits(instants, span)
    assert list(range(least, most + 1)) == allowed


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 300), st.integers(1, 80), st.integers(0, 10_000))
def test_a_block_order_is_a_permutation_that_keeps_neighbours(size: int, width: int, seed: int) -> None:
    instants = np.arange(size) * HOUR
    order = block_order(instants, width * HOUR, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(size))
    broken = (np.diff(order) != 1).sum()
    assert broken <= size // width + 1


def test_permuted_rows_are_of_their_own_symbol_and_of_one_other_instant() -> None:
    available_at, symbol = world([0, 0, 90], 200, 0.0, 4)
    source = permuted_blocks(make_grid(available_at, symbol), 10 * HOUR, np.random.default_rng(0))
    assert np.array_equal(symbol, symbol[source])
    # the two symbols with all bars come from the same instant
    first, second = available_at[source[symbol == 0]], available_at[source[symbol == 1]]
    assert np.array_equal(first, second)
    assert sorted(source[symbol == 0].tolist()) == np.flatnonzero(symbol == 0).tolist()


@pytest.mark.parametrize("span", [1, 30])
def test_rows_shorter_than_twenty_spans_have_no_shift(span: int) -> None:
    least, most = shift_limits(np.arange(15 * span) * HOUR, span * HOUR)
    assert least > most
