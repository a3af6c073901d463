"""Slots of the observed calendar from build to build, and renewing them (SEMANTICS T2, F8)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from feature_bars import DAY, HOUR, START, bars_at, features_config, table, write_bars
from polars.testing import assert_frame_equal

from tftctl.features.actions import BuildPlan
from tftctl.features.build import HERE, BuildResult, Spread, build, plan_features
from tftctl.plugins import load_registry
from tftctl.store import Store

CONFIG: dict[str, Any] = {
    "periods": ["4h", "1d"],
    "indicators": ["log_return", {"name": "rsi", "period": 3}],
    "targets": ["target_logreturn"],
    "context": {"4h": ["1d"]},
    "context_features": ["log_return"],
    "max_fill_bars": 1,
}
SESSION = (8 * HOUR, 12 * HOUR, 16 * HOUR)
WEEKDAYS = [day for day in range(33) if day % 7 < 5]
Days = dict[str, dict[str, list[int]]]  # period -> symbol -> days from START on


def write(store: Store, days: Days) -> None:
    """Bars of weekday sessions: one a day, and three of 4h."""
    groups = []
    for period, by_symbol in days.items():
        for symbol, numbers in by_symbol.items():
            opens = [START + day * DAY for day in numbers]
            stamps = opens if period == "1d" else [day + hour for day in opens for hour in SESSION]
            groups.append(bars_at(stamps, period, symbol, seed=ord(symbol[0])))
    write_bars(store, *groups, calendars=dict.fromkeys({s for by in days.values() for s in by}, "observed"))


def same(*symbols: str, until: int = 33) -> Days:
    """All weekdays before a day, of all symbols and at both periods."""
    days = [day for day in WEEKDAYS if day < until]
    return {period: {symbol: list(days) for symbol in symbols} for period in ("4h", "1d")}


def run(store: Store, spread: Spread = HERE, **options: Any) -> BuildResult:
    """One build."""
    return build(store, features_config(**CONFIG), load_registry(), spread=spread, **options)


def plan(store: Store, **options: Any) -> BuildPlan:
    """What it would do."""
    return plan_features(store, features_config(**CONFIG), load_registry(), **options)


def assert_as_rebuilt(store: Store, days: Days, folder: Path) -> None:
    """Every row is what a build in an empty store makes."""
    fresh = Store(folder)
    write(fresh, days)
    run(fresh)
    for period in days:
        for name in ("calendar", "features", "targets", "fused"):
            assert_frame_equal(table(store, name, period), table(fresh, name, period), check_exact=True)


def days_of(store: Store, period: str = "1d") -> list[int]:
    """Days from START on that have a frozen slot."""
    return sorted(set(((table(store, "calendar", period)["timestamp"] - START) // DAY).to_list()))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty one."""
    return Store(tmp_path / "store")


def test_a_weekend_after_the_last_frozen_slot_is_no_hole(store: Store) -> None:
    """T2: one of three symbols has a bar on Monday already; nothing is missing before it, nothing is a slot yet."""
    days = same("AAA", "BBB", "CCC", until=19)  # to Friday
    write(store, days)
    run(store)
    days["1d"]["AAA"].append(21)
    days["4h"]["AAA"].append(21)
    write(store, days)
    run(store)
    for period in ("1d", "4h"):
        rows = table(store, "features", period, "AAA")
        assert not rows["is_filled"].any()
        assert set(rows["segment"]) == {0}
        assert days_of(store, period) == [day for day in WEEKDAYS if day < 19]


def test_appended_slots_give_what_a_rebuild_gives(store: Store, tmp_path: Path) -> None:
    """F8: slots come as bars show them; what is frozen stays, and every step is as if built at once."""
    steps = [same("AAA", "BBB", "CCC", until=19)]
    early = same("AAA", "BBB", "CCC", until=19)
    early["1d"]["AAA"].append(21)
    early["4h"]["AAA"] += [21, 22]
    steps += [early, same("AAA", "BBB", "CCC", until=25), same("AAA", "BBB", "CCC", "DDD")]
    before: list[int] = []
    for number, days in enumerate(steps):
        write(store, days)
        run(store)
        assert days_of(store)[: len(before)] == before
        before = days_of(store)
        assert_as_rebuilt(store, days, tmp_path / f"fresh-{number}")
    assert before == WEEKDAYS


def test_a_context_without_new_bars_becomes_stale_with_the_slots(store: Store, tmp_path: Path) -> None:
    """F4: BBB's daily bars end, its 4h bars go on; new slots of the others say from when on it is stale."""
    days = same("AAA", "BBB", "CCC", until=21)
    days["4h"]["BBB"] += [21, 22, 23, 24]
    write(store, days)
    run(store)
    column = "log_return__1d"
    # no daily bar of the new week is there, so none is missing
    assert table(store, "fused", "4h", "BBB")[column].tail(12).null_count() == 0
    days["1d"]["AAA"] += [21, 22, 23, 24]
    days["1d"]["CCC"] += [21, 22, 23, 24]
    write(store, days)
    planned = plan(store)
    run(store)
    # two daily bars are due from Wednesday 00:00 on: the last bar of Tuesday is available at 20:00
    assert table(store, "fused", "4h", "BBB")[column].tail(12).is_null().to_list() == [False] * 6 + [True] * 6
    assert [a.groups for a in planned.actions if (a.table, a.period) == ("fused", "4h")] == [3]
    assert_as_rebuilt(store, days, tmp_path / "fresh")


def test_a_late_symbol_leaves_frozen_slots_until_they_are_renewed(store: Store, tmp_path: Path) -> None:
    """T2: AAA alone has bars on Saturdays; with two others those are no slots, once they are renewed."""
    saturdays = [day for day in range(28) if day % 7 == 5]
    alone = same("AAA", until=28)
    for period in alone:
        alone[period]["AAA"] = sorted(alone[period]["AAA"] + saturdays)
    write(store, alone)
    assert run(store).slots_changed == 0
    days = same("AAA", "BBB", "CCC")
    for period in days:
        days[period]["AAA"] = sorted([*alone[period]["AAA"], *(day for day in WEEKDAYS if day >= 28)])
    write(store, days)
    run(store)
    assert days_of(store) == sorted(WEEKDAYS + saturdays)
    assert table(store, "features", "1d", "BBB")["is_filled"].sum() == 4
    assert plan(store) == BuildPlan([], 0)
    planned, read = plan(store, recalendar=True), store.read().number
    assert planned.slots_changed == 4 + 3 * 4
    assert planned.rows_to_compute > 0
    renewed = run(store, recalendar=True)
    assert renewed.snapshot > read
    assert renewed.slots_changed == planned.slots_changed
    assert renewed.notes == planned.notes
    assert renewed.notes == ("recalendar: 16 frozen slots changed (4h 0 added, 12 removed; 1d 0 added, 4 removed)",)
    assert days_of(store) == WEEKDAYS
    assert_as_rebuilt(store, days, tmp_path / "fresh")
    again = run(store, recalendar=True)
    assert (again.slots_changed, again.rows_computed, again.snapshot) == (0, 0, renewed.snapshot)


def test_bars_that_come_late_make_a_slot_when_renewed(store: Store, tmp_path: Path) -> None:
    """T2: a Wednesday before the last frozen slot counts once it is renewed, in worker processes as here."""
    days = same("AAA", "BBB", "CCC", until=26)
    for period in days:
        for symbol in ("BBB", "CCC"):
            days[period][symbol].remove(16)
    write(store, days)
    run(store)
    assert 16 not in days_of(store)
    whole = same("AAA", "BBB", "CCC", until=26)
    whole["1d"]["CCC"].remove(16)
    whole["4h"]["CCC"].remove(16)
    write(store, whole)
    run(store)
    assert 16 not in days_of(store)
    made = run(store, Spread(2, load=load_registry), recalendar=True)
    assert made.slots_changed == 4
    assert table(store, "features", "1d", "CCC").filter("is_filled")["timestamp"].to_list() == [START + 16 * DAY]
    assert_as_rebuilt(store, whole, tmp_path / "fresh")


def test_no_symbol_has_the_calendar(store: Store) -> None:
    """STYLE 12: nothing to renew is said."""
    write_bars(store, bars_at(START + DAY * np.arange(9), "1d"))
    made = build(store, features_config(**CONFIG), load_registry(), recalendar=True)
    assert made.notes[-1] == "recalendar: no symbol has the observed calendar"
    with store.read() as snapshot:
        assert not snapshot.has("calendar")
    assert isinstance(table(store, "fused", "1d"), pl.DataFrame)
