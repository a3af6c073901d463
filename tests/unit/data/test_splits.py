"""Splits by instants (SEMANTICS S4) and what they do to real label spans."""

from __future__ import annotations

import numpy as np
import pytest
from training_world import DAY, HOUR, hand_panel, prepare

from tftctl.core.errors import DataError
from tftctl.core.workspace import Workspace
from tftctl.data.splits import LEFT_OUT, Cuts, assign, choice_end, cuts_by_days, cuts_by_ratio


def random_spans(seed: int, size: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Label spans (t0, t1] of 1 to 72 hours in 100 days."""
    rng = np.random.default_rng(seed)
    t0 = rng.integers(0, 100 * 24, size) * HOUR
    return t0, t0 + rng.integers(1, 73, size) * HOUR


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("embargo", [0, 36 * HOUR])
def test_every_span_keeps_within_its_part(seed: int, embargo: int) -> None:
    """S4: train t1 <= c1; validation t0 >= c1 + embargo and t1 <= c2; test t0 >= c2 + embargo; row by row."""
    t0, t1 = random_spans(seed)
    cuts = Cuts(60 * DAY, 80 * DAY, embargo)
    for start, end, part in zip(t0, t1, assign(t0, t1, cuts), strict=True):
        if end <= cuts.first:
            assert part == 0
        elif start >= cuts.second + embargo:
            assert part == 2
        elif start >= cuts.first + embargo and end <= cuts.second:
            assert part == 1
        else:
            assert part == LEFT_OUT


@pytest.mark.parametrize("seed", range(5))
def test_the_embargo_is_a_span_of_time(seed: int) -> None:
    """S4: between the end of any training label and the start of any validation label lies the embargo."""
    t0, t1 = random_spans(seed)
    embargo = 30 * HOUR
    cuts = Cuts(60 * DAY, 80 * DAY, embargo)
    part = assign(t0, t1, cuts)
    assert t0[part == 1].min() - t1[part == 0].max() >= embargo
    assert t0[part == 2].min() - t1[part == 1].max() >= embargo


def test_a_label_that_ends_at_the_cut_is_inside_and_one_later_is_not() -> None:
    """S4: the span is (t0, t1], so t1 = c1 is train, and an origin at c1 begins the validation part."""
    cut, end = 60 * DAY, 80 * DAY
    t0 = np.array([cut - 2, cut - 1, cut, end - 1, end - 1, end])
    t1 = np.array([cut, cut + 1, cut + 1, end, end + 1, end + 5])
    assert assign(t0, t1, Cuts(cut, end)).tolist() == [0, LEFT_OUT, 1, 1, LEFT_OUT, 2]


def test_ratio_divides_unique_days_that_have_rows() -> None:
    """S4: days without rows do not count, and a day with many rows counts once."""
    days = np.concatenate([np.arange(0, 50), np.arange(100, 150)])  # a hole of 50 days
    rows = np.concatenate([np.repeat(days[:20], 24), days[20:]]) * DAY + 5 * HOUR
    cuts = cuts_by_ratio(rows, 0.2, 0.1)
    assert cuts.second == 140 * DAY  # the last 10 of 100 days
    assert cuts.first == 120 * DAY
    assert cuts_by_ratio(rows, 0.3, 0.3, 5) == Cuts(days[40] * DAY, 120 * DAY, 5)


def test_ratio_does_not_depend_on_how_many_rows_a_day_has() -> None:
    """S4: one cut for all symbols and periods; hourly rows beside daily ones move nothing."""
    daily = np.arange(1, 201) * DAY  # complete at midnight, as the last hour of their day is
    hourly = np.arange(1, 200 * 24 + 1) * HOUR
    assert cuts_by_ratio(daily, 0.15, 0.15) == Cuts(140 * DAY, 170 * DAY)
    assert cuts_by_ratio(daily, 0.15, 0.15) == cuts_by_ratio(np.concatenate([daily, hourly]), 0.15, 0.15)


def test_days_count_back_from_the_last_row() -> None:
    """S4: `days` counts calendar days back from the last, holes included."""
    rows = np.concatenate([np.arange(0, 50), np.arange(100, 150)]) * DAY + 5 * HOUR
    assert cuts_by_days(rows, 20, 10, 7) == Cuts(120 * DAY, 140 * DAY, 7)
    assert cuts_by_days(rows, 60, 20) == Cuts(70 * DAY, 130 * DAY)


def test_a_day_ends_with_the_bars_that_are_complete_at_midnight() -> None:
    """S4: 100 days of hourly bars are 100 days; the last ten are 240 hours, not nine days and one bar."""
    rows = np.arange(1, 100 * 24 + 1) * HOUR
    assert cuts_by_days(rows, 20, 10) == Cuts(70 * DAY, 90 * DAY)
    assert cuts_by_ratio(rows, 0.2, 0.1) == Cuts(70 * DAY, 90 * DAY)


@pytest.mark.parametrize(("val", "test"), [(0.001, 0.1), (0.1, 0.001), (0.7, 0.3)])
def test_a_part_without_a_day_is_an_error(val: float, test: float) -> None:
    """S4: nothing is silently empty."""
    with pytest.raises(DataError, match="cannot be split"):
        cuts_by_ratio(np.arange(100) * DAY, val, test)


def test_days_that_leave_no_training_are_an_error() -> None:
    """S4: the same for `days`."""
    with pytest.raises(DataError, match="cannot be split"):
        cuts_by_days(np.arange(30) * DAY, 20, 10)


def test_the_span_of_a_row_ends_with_its_latest_label() -> None:
    """S4: t1 is the latest `label_end` over the enabled targets; null ones do not count."""
    panel = hand_panel([10], targets=("target_x", "target_y"), horizon=2)
    panel.label_end[:, 1] = -1
    panel.label_end[4, 1] = panel.available_at[4] + 9 * HOUR
    last = panel.last_label_end()
    assert last[4] == panel.available_at[4] + 9 * HOUR
    assert last[3] == panel.available_at[3] + 2 * HOUR
    assert last[9] == panel.available_at[9]  # no label at all


@pytest.mark.parametrize("embargo", ["0h", "2d"])
def test_no_training_label_of_the_market_is_known_after_the_cut(market: Workspace, embargo: str) -> None:
    """S4: over all symbols and periods, the parts of a prepared training are apart in time, and purged."""
    prepared = prepare(market, f"embargo={embargo}")
    spec, panel = prepared.spec, prepared.panel
    end = panel.label_end.max(axis=1)
    train, val, test = (prepared.splits[name] for name in ("train", "val", "test"))
    gap = {"0h": 0, "2d": 2 * DAY}[embargo]
    assert spec.embargo_ms == gap
    assert end[train].max() <= spec.train_end
    assert panel.available_at[val].min() >= spec.train_end + gap
    assert end[val].max() <= spec.val_end
    assert panel.available_at[test].min() >= spec.val_end + gap
    purged = sum(rows for reason, _, _, rows in prepared.left_out if reason.startswith("label reaches"))
    assert purged > 0
    # every labelled origin is somewhere, once
    assert np.unique(np.concatenate([train, val, test])).size == train.size + val.size + test.size


def test_the_windows_of_a_later_part_may_reach_back_over_the_cut(market: Workspace) -> None:
    """S4: encoders of later splits may reach back over a cut (inputs only): validation begins at the cut itself."""
    prepared = prepare(market)
    hourly = [g for g, group in enumerate(prepared.panel.groups) if group.period == "1h"]
    val = prepared.splits["val"]
    first = prepared.panel.available_at[val[np.isin(prepared.panel.group[val], hourly)]].min()
    assert first == prepared.spec.train_end


@pytest.mark.parametrize(("days", "first"), [(1, 1), (2, 1), (3, 2), (10, 5), (11, 6)])
def test_the_first_half_of_validations_days_chooses_checkpoints(days: int, first: int) -> None:
    """S6: validation is divided in time, by days that have rows; of a single day nothing is kept back."""
    stamps = 30 + np.arange(days) * 3  # every third day has rows
    rows = np.concatenate([np.arange(30), stamps, [200, 201]]) * DAY + 5 * HOUR
    cuts = Cuts(30 * DAY, 200 * DAY)
    end = choice_end(rows, cuts)
    assert end == (cuts.second if days == 1 else stamps[first] * DAY)


def test_checkpoints_are_chosen_on_labels_that_end_in_the_first_half(market: Workspace) -> None:
    """S6: the first part is purged against the second, over all symbols and periods; nothing else is missing."""
    prepared = prepare(market)
    spec, panel = prepared.spec, prepared.panel
    assert spec.train_end < spec.choice_end < spec.val_end
    assert abs((spec.choice_end - spec.train_end) - (spec.val_end - spec.choice_end)) <= DAY
    end = panel.label_end.max(axis=1)
    want = [origin for origin in prepared.splits["val"] if end[origin] <= spec.choice_end]
    assert prepared.choosing.tolist() == want
    assert 0 < len(want) < prepared.splits["val"].size
    period = {panel.groups[number].period for number in panel.group[prepared.choosing]}
    assert period == {"1h", "4h"}
