"""Clusters by correlation over several periods, and which member stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tftctl.audit.prune.choosing import Preference, prefer
from tftctl.audit.prune.measure import Measures
from tftctl.audit.prune.redundant import correlated
from tftctl.audit.prune.rules import ColumnRules
from tftctl.audit.prune.tally import Tallies

Pairs = dict[tuple[str, str], float]


def measures(period: str, columns: Sequence[str], pairs: Pairs, still: Sequence[str] = ()) -> Measures:
    """One period with these correlations, 0 for other pairs; `still` columns do not vary there."""
    size = len(columns)
    table = np.eye(size)
    for (a, b), value in pairs.items():
        i, j = columns.index(a), columns.index(b)
        table[i, j] = table[j, i] = value
    tallies = Tallies(size)
    tallies.values[:] = 1000
    tallies.low[:], tallies.high[:] = 0, 1
    for name in still:
        tallies.high[columns.index(name)] = 0
        table[columns.index(name), :] = table[:, columns.index(name)] = np.nan
    nothing = np.full(size, np.nan)
    return Measures(period, tuple(columns), 1000, tallies, nothing, nothing, nothing, table, nothing)


def gone(
    found: Sequence[Measures], order: str, linkage: str = "complete", rule: Any = "all", pinned: str = ""
) -> dict[str, str]:
    """Column -> what stays in its place, at a limit of 0.98."""
    names = sorted({name for one in found for name in one.columns})
    preference = Preference(tuple(order), frozenset(pinned))
    return {e.column: e.kept for e in correlated(names, found, preference, 0.98, linkage, rule)}


def test_a_pair_must_correlate_in_all_periods_or_in_any() -> None:
    """The smallest decides, or the largest; what is exactly at the limit stays."""
    found = [measures("1h", "ab", {("a", "b"): 0.99}), measures("4h", "ab", {("a", "b"): 0.1})]
    assert gone(found, "ab") == {}
    assert gone(found, "ab", rule="any") == {"b": "a"}
    assert gone(found[:1], "ba") == {"a": "b"}
    assert gone([measures("1h", "ab", {("a", "b"): 0.98})], "ab") == {}


def test_a_column_that_applies_at_fewer_periods_replaces_none() -> None:
    """b has nothing to say at 4h, where a would be lost, and the other way round it is another column."""
    found = [measures("1h", "ab", {("a", "b"): 0.99}), measures("4h", "a", {})]
    assert gone(found, "ba") == {} == gone(found, "ab")
    assert gone(found, "ba", rule="any") == {"a": "b"}


def test_a_period_where_neither_varies_decides_nothing() -> None:
    """One that varies beside one that does not is another column; two that do not are judged elsewhere."""
    first = measures("1h", "ab", {("a", "b"): 0.99})
    assert gone([first, measures("1d", "ab", {}, still="ab")], "ab") == {"b": "a"}
    assert gone([first, measures("1d", "ab", {}, still="b")], "ab") == {}
    assert gone([measures("1d", "ab", {}, still="ab")], "ab") == {}


def test_what_stays_is_clustered_again() -> None:
    """b is close to both, a and c are not to each other: complete linkage first joins two of them."""
    found = [measures("1h", "abc", {("a", "b"): 0.99, ("b", "c"): 0.985, ("a", "c"): 0.97})]
    assert gone(found, "bac") == {"a": "b", "c": "b"}
    assert gone(found, "acb") == {"b": "a"}


def test_linkages() -> None:
    """On average four are close enough, though one pair is not."""
    pairs = {(pair[0], pair[1]): 0.99 for pair in ("ab", "ac", "ad", "bc", "bd")} | {("c", "d"): 0.97}
    found = [measures("1h", "abcd", pairs)]
    assert gone(found, "cabd", "average") == {"a": "c", "b": "c", "d": "c"}
    assert gone(found, "cdab", "complete").keys() == {"a", "b"}


def test_pinned_columns_stay_beside_each_other() -> None:
    """Another goes for the one that it is closest to."""
    found = [measures("1h", "abc", {("a", "b"): 0.99, ("b", "c"): 0.995, ("a", "c"): 0.985})]
    assert gone(found, "acb", pinned="ac") == {"b": "c"}
    assert gone(found, "abc", pinned="abc") == {}


@pytest.mark.parametrize("linkage", ["complete", "average"])
def test_no_pair_above_the_limit_is_left(linkage: str) -> None:
    """Of random columns in random groups, pair by pair; complete linkage replaces none by what it is not close to."""
    random = np.random.default_rng(11)
    names = "abcdefghijklmnop"
    for _ in range(60):
        factors = random.normal(size=(500, 4))
        data = factors[:, random.integers(0, 4, len(names))] + random.uniform(0, 0.25, len(names)) * random.normal(
            size=(500, len(names))
        )
        strength = np.abs(np.corrcoef(data.T))
        pairs = {(a, b): strength[i, j] for i, a in enumerate(names) for j, b in enumerate(names) if i < j}
        found = gone([measures("1h", names, pairs)], "".join(random.permutation(list(names))), linkage)
        left = [name for name in names if name not in found]
        assert all(pairs[a, b] <= 0.98 for a, b in pairs if a in left and b in left)
        if linkage == "complete":
            assert all(pairs[min(a, b), max(a, b)] > 0.98 for a, b in found.items())
        assert 0 < len(found) < len(names)


def test_an_input_stays_before_a_column_that_is_none() -> None:
    """Whatever `keep` prefers; what is pinned before both."""
    columns = {
        "a": {"role": "own", "scale": "price"}, "b": {"role": "own", "scale": "free"},
        "c": {"role": "own", "scale": "free"},
    }  # fmt: skip
    found = measures("1h", "abc", {})
    found.tallies.squares[:] = [9e6, 1.0, 2.0]
    assert prefer(columns, (), [found], ColumnRules(keep="variance")).order == ("c", "b", "a")
    assert prefer(columns, ("a",), [found], ColumnRules(keep="first")).order == ("a", "b", "c")
    assert prefer(columns, (), [found], ColumnRules(keep="first")).order == ("b", "c", "a")
