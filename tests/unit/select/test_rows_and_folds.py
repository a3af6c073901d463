"""The rows that a selection reads, and its purged folds, against naive loops over the tables (SEMANTICS A4, S4)."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from select_world import LEVEL, RISING, planted_pool
from training_world import DAY, HOUR, table

from tftctl.core.config.loading import load_model_config
from tftctl.core.config.selection import Folds
from tftctl.core.errors import DataError
from tftctl.core.workspace import Workspace
from tftctl.select.folds import Cell, describe_cell, find_unfit, make_folds, some, thinned
from tftctl.select.rows import Pool, read_pool
from tftctl.start.select_settings import tell_absent
from tftctl.store import Store

if TYPE_CHECKING:
    from tftctl.select.folds import TestFold

NAMES = ("log_return", "rsi_6", "hour_sin", "signal_1", "rsi_6__4h", "age__1d")
DRAWDOWN = "target_max_drawdown"


def pool_of(workspace: Workspace, targets: Sequence[str], periods: Sequence[str] | None, *overrides: str) -> Pool:
    config = load_model_config(workspace, None, list(overrides))
    with Store(workspace.store).read() as snapshot:
        return read_pool(workspace.store, snapshot, config, targets, periods, NAMES)


def naive_cut(workspace: Workspace) -> int:
    """The end of the last training day, of all days that have rows at any period."""
    config = load_model_config(workspace)
    days: set[int] = set()
    for period in ("1h", "4h", "1d"):
        for symbol in ("SYN01", "SYN02", "SYN03"):
            days |= {(at - 1) // DAY for at in table(workspace, "fused", symbol, period)["available_at"]}
    ordered = sorted(days)
    return (
        ordered[len(ordered) - round(config.val_ratio * len(ordered)) - round(config.test_ratio * len(ordered))] * DAY
    )


@pytest.mark.parametrize("period", ["1h", "4h"])
@pytest.mark.parametrize("target", [DRAWDOWN, "target_binarytrend"])
def test_only_labels_that_end_by_the_cut_are_read(market: Workspace, period: str, target: str) -> None:
    pool = pool_of(market, [DRAWDOWN, "target_binarytrend"], None)
    cut = naive_cut(market)
    assert pool.cut == pool.until == cut
    wanted = {}
    for symbol in ("SYN01", "SYN02", "SYN03"):
        rows = table(market, "fused", symbol, period)
        labels = table(market, "targets", symbol, period)
        assert rows["timestamp"].to_list() == labels["timestamp"].to_list()
        for row, label in zip(rows.to_dicts(), labels.to_dicts(), strict=True):
            end = label[f"label_end__{target}"]
            if label[target] is not None and end <= cut:
                assert not row["is_filled"]
                wanted[symbol, row["available_at"]] = (label[target], end)
    found = pool.labelled(period, target)
    names = [pool.panel.groups[number].symbol for number in pool.panel.group[found]]
    keys = list(zip(names, pool.panel.available_at[found].tolist(), strict=True))
    assert len(set(keys)) == len(keys) and set(keys) == set(wanted)
    assert pool.labels(found, target).tolist() == pytest.approx([wanted[key][0] for key in keys], rel=1e-6)
    assert pool.ends(found, target).tolist() == [wanted[key][1] for key in keys]
    cell = describe_cell(pool, target, period)
    assert cell.rows == len(wanted)
    assert cell.last_label_end == max(end for _, end in wanted.values()) <= cut
    assert cell.span_ms == max(end - at for (_, at), (_, end) in wanted.items())


def test_an_earlier_bound_reads_less_and_a_later_one_no_more(market: Workspace) -> None:
    pool = pool_of(market, [DRAWDOWN], ["1h"])
    earlier = pool.before(pool.cut - 20 * DAY)
    kept = set(earlier.labelled("1h", DRAWDOWN).tolist())
    whole = pool.labelled("1h", DRAWDOWN)
    assert kept == {int(row) for row in whole if pool.ends(np.array([row]), DRAWDOWN)[0] <= pool.cut - 20 * DAY}
    assert 0 < len(kept) < whole.size
    later = pool.before(pool.cut + 5 * DAY)
    assert later.until == pool.cut and later.labelled("1h", DRAWDOWN).tolist() == whole.tolist()


def test_filled_bars_are_not_read() -> None:
    pool = planted_pool(features=3, bars=300, useful=(1,))
    filled = np.random.default_rng(0).random(pool.panel.rows) < 0.1
    known = replace(pool, panel=replace(pool.panel, is_filled=filled)).labelled("1h", LEVEL)
    assert known.tolist() == [row for row in pool.labelled("1h", LEVEL) if not filled[row]]


def test_columns_apply_where_they_have_a_value(market: Workspace) -> None:
    """The context of the longest period is of the faster ones; what the calendar makes is known."""
    pool = pool_of(market, [DRAWDOWN], None)
    for period in ("1h", "4h", "1d"):
        values = dict.fromkeys(NAMES, False)
        for symbol in ("SYN01", "SYN02", "SYN03"):
            rows = table(market, "fused", symbol, period).filter(~_pl("is_filled") & (_pl("available_at") <= pool.cut))
            for name in NAMES:
                values[name] |= rows[name].null_count() < rows.height
        assert pool.periods[period] == tuple(name for name in NAMES if values[name])
        assert pool.absent[period] == tuple(name for name in NAMES if not values[name])
        assert [pool.panel.columns[place] for place in pool.columns(period)] == list(pool.periods[period])
    assert "rsi_6__4h" in pool.periods["1h"] and "rsi_6__4h" in pool.absent["4h"]
    assert {"hour_sin"} <= pool.known and not {"rsi_6", "signal_1", "age__1d"} & pool.known
    assert list(pool_of(market, [DRAWDOWN], ["4h"]).periods) == ["4h"]


def _pl(name: str) -> Any:
    import polars as pl

    return pl.col(name)


def test_a_feature_without_any_value_is_of_no_period_and_a_period_without_one_is_refused(market: Workspace) -> None:
    config = load_model_config(market)
    with Store(market.store).read() as snapshot:
        one = read_pool(market.store, snapshot, config, [DRAWDOWN], None, ["rsi_6", "age__1d"])
        assert one.features == ("rsi_6", "age__1d") and one.absent["1d"] == ("age__1d",)
        with pytest.raises(DataError, match="at 1d no feature has a value in the training rows"):
            read_pool(market.store, snapshot, config, [DRAWDOWN], None, ["age__1d"])
        fast = read_pool(market.store, snapshot, config, [DRAWDOWN], ["1d"], ["rsi_6", "age__1d"])
        assert fast.features == ("rsi_6",)
        with pytest.raises(DataError, match="no period '2h'") as refused:
            read_pool(market.store, snapshot, config, [DRAWDOWN], ["2h"], ["rsi_6"])
        assert refused.value.hint == "periods: 1h, 4h, 1d"
        with pytest.raises(DataError, match="target_nothing"):
            read_pool(market.store, snapshot, config, ["target_nothing"], None, ["rsi_6"])


def test_a_period_whose_rows_come_after_the_cut_is_refused(market: Workspace, tmp_path: Path) -> None:
    store = Store(shutil.copytree(market.store, tmp_path / "store"))
    with store.write("the last days of 1d only") as txn:
        for name in ("fused", "targets"):
            rows = txn.base.scan(name, "1d").collect(engine="in-memory")
            txn.replace(name, "1d", rows.filter(_pl("timestamp") >= rows["timestamp"].max() - 5 * DAY))
        txn.commit()
    with store.read() as snapshot, pytest.raises(DataError, match="1d has no training row") as refused:
        read_pool(store.root, snapshot, load_model_config(market), [DRAWDOWN], None, ["rsi_6"])
    assert "--periods" in refused.value.hint


def test_features_without_values_are_told(market: Workspace) -> None:
    """Those of all periods by name, those of one by number."""
    said: list[str] = []
    tell_absent(pool_of(market, [DRAWDOWN], ["4h", "1d"]), said.append)
    assert said == [
        "no value in any training row of 4h, 1d, left out: rsi_6__4h",
        "features without a value in a period's training rows are not judged there: 1 at 1d",
    ]
    said.clear()
    tell_absent(pool_of(market, [DRAWDOWN], ["1h"]), said.append)
    assert said == []


def with_windows(pool: Pool, bars: int, embargo: int = 0) -> Pool:
    """Encoder windows of so many bars."""
    return replace(pool, window_start=pool.panel.timestamp - (bars - 1) * HOUR, embargo_ms=embargo)


def folds_of(pool: Pool, target: str, **changes: Any) -> tuple[Cell, list[TestFold]]:
    cell = describe_cell(pool, target, "1h")
    return cell, make_folds(pool, cell, Folds.model_validate(changes), [1])


@pytest.mark.parametrize("embargo", [0, 30 * HOUR])
@pytest.mark.parametrize("ratio", [0.2, 0.25])
def test_folds_are_purged_as_a_naive_loop_purges(embargo: int, ratio: float) -> None:
    """Every training label ends before the block begins, or the whole encoder window begins after the block's labels
    and the embargo; every row with a label is tested once, but for the embargo's."""
    pool = with_windows(planted_pool(features=4, bars=1200, useful=(1,)), 24, embargo)
    _, folds = folds_of(pool, LEVEL, val_ratio=ratio)
    assert len(folds) == round(1 / ratio)
    rows = pool.labelled("1h", LEVEL)
    panel = pool.panel
    end = panel.label_end[:, 0]
    beginning = min((panel.available_at[row] - 1) // DAY * DAY for row in rows)
    for fold in folds:
        first = fold.first + (embargo if fold.first > beginning else 0)
        test = [row for row in rows if first <= panel.available_at[row] < fold.last]
        last_end = max(end[row] for row in test) + embargo
        train = [row for row in rows if end[row] <= fold.first or pool.window_start[row] >= last_end]
        assert fold.test.tolist() == test and fold.train.tolist() == train
        assert (fold.train_rows, fold.test_rows) == (len(train), len(test))
        assert not set(train) & set(test)
    tested = np.concatenate([fold.test for fold in folds])
    assert np.unique(tested).size == tested.size
    assert embargo or set(tested.tolist()) == set(rows.tolist())
    assert [fold.first for fold in folds] == sorted(fold.first for fold in folds)


def test_fewer_folds_are_the_newest_and_days_make_blocks_of_days() -> None:
    pool = planted_pool(features=4, bars=1440, useful=(1,))  # 60 days
    _, every = folds_of(pool, LEVEL)
    _, newest = folds_of(pool, LEVEL, folds=2)
    assert [(fold.first, fold.last) for fold in newest] == [(fold.first, fold.last) for fold in every[-2:]]
    _, tens = folds_of(pool, LEVEL, val_mode="days", val_days=10)
    assert [round((fold.last - fold.first) / DAY) for fold in tens] == [10] * 6


def test_rows_are_sampled_by_the_seed() -> None:
    """Training rows are drawn, the same ones for the same seed; of the test rows whole instants are kept."""
    pool = planted_pool(features=4, bars=1200, useful=(1,))
    cell = describe_cell(pool, LEVEL, "1h")
    settings = Folds(train_rows=300, test_rows=120)
    whole = make_folds(pool, cell, Folds(), [1])
    one, again, other = (make_folds(pool, cell, settings, [seed]) for seed in (1, 1, 2))
    for fold, same, second, full in zip(one, again, other, whole, strict=True):
        assert fold.train.tolist() == same.train.tolist() and fold.test.tolist() == same.test.tolist()
        assert fold.train.tolist() != second.train.tolist()
        assert fold.train.size == 300 == np.unique(fold.train).size and set(fold.train) <= set(full.train)
        assert fold.train.tolist() == sorted(fold.train)
        assert (fold.train_rows, fold.test_rows) == (full.train.size, full.test.size)
        assert 60 <= fold.test.size <= 130 and set(fold.test) <= set(full.test)


@pytest.mark.parametrize("limit", [7, 50, 399, 400, 1000])
def test_thinned_keeps_whole_instants(limit: int) -> None:
    instants = np.tile(np.arange(200) * HOUR, 2)
    rows = np.arange(400)
    kept = thinned(instants, rows, limit, np.random.default_rng(3))
    at = instants[kept]
    assert (np.unique(at, return_counts=True)[1] == 2).all()
    assert (np.diff(kept) > 0).all()
    assert abs(kept.size - min(limit, 400)) <= 2
    assert some(rows, limit, np.random.default_rng(3)).size == min(limit, 400)


def test_thinned_leaves_no_hour_of_the_day_out() -> None:
    instants = np.arange(24 * 120) * HOUR
    kept = thinned(instants, np.arange(instants.size), instants.size // 4, np.random.default_rng(1))
    hours, counts = np.unique(instants[kept] // HOUR % 24, return_counts=True)
    assert hours.size == 24
    assert counts.min() > 10  # of 30 on average; every fourth instant would be six hours alone


def unfit(pool: Pool, target: str, **changes: Any) -> tuple[str, str]:
    cell = describe_cell(pool, target, "1h")
    found = find_unfit(pool, cell, Folds.model_validate(changes))
    assert found is not None and (found.target, found.period) == (target, "1h")
    assert "\n" not in found.why + found.hint
    return found.why, found.hint


def relabelled(pool: Pool, place: int, labels: np.ndarray) -> Pool:
    """The pool with other labels of one target, where it has any."""
    every = pool.panel.labels.copy()
    every[:, place] = np.where(np.isnan(every[:, place]), np.nan, labels)
    return replace(pool, panel=replace(pool.panel, labels=every))


def test_a_cell_with_enough_rows_is_fit() -> None:
    pool = planted_pool(features=3, bars=600, useful=(1,))
    assert all(find_unfit(pool, describe_cell(pool, target, "1h"), Folds()) is None for target in (LEVEL, RISING))


def test_too_few_rows_says_how_many_it_needs() -> None:
    few = planted_pool(features=3, bars=115, useful=(1,))
    why, hint = unfit(few, LEVEL)
    assert "training rows are left after purging, and it needs 200" in why and "the period has 224" in why
    assert "a label spans 3 h" in why
    assert "--skip-unfit" in hint and "--periods" in hint and "import more bars of 1h" in hint
    short = planted_pool(features=3, bars=500, useful=(1,))
    why, hint = unfit(short, LEVEL, val_ratio=0.04)
    assert "a test fold of 0.04 of them is shorter than a day" in why and "target_level at 1h" in why
    assert "--val-ratio" in hint
    why, _ = unfit(short, LEVEL, val_mode="days", val_days=1)
    assert "test rows are left after purging, and it needs 50" in why


def test_one_class_in_training_and_in_test() -> None:
    pool = planted_pool(features=3, bars=1200, useful=(1,))
    why, hint = unfit(relabelled(pool, 1, np.ones(pool.panel.rows)), RISING)
    assert why.endswith("training rows have only class 1") and "--targets" in hint
    late = pool.panel.timestamp >= pool.panel.timestamp.min() + 40 * DAY
    why, hint = unfit(relabelled(pool, 1, late * pool.panel.labels[:, 1]), RISING)
    assert "test fold 1 " in why and why.endswith("test rows have only class 0") and "--val-ratio" in hint
    why, _ = unfit(relabelled(pool, 0, np.full(pool.panel.rows, 2.5)), LEVEL)
    assert why.endswith("training rows have only the value 2.5")


def test_days_mode_that_leaves_nothing_names_the_days_it_needs() -> None:
    pool = planted_pool(features=3, bars=1200, useful=(1,))
    why, hint = unfit(pool, LEVEL, val_mode="days", val_days=40)
    assert "on 50 days" in why and "a purged test fold of 40 days" in why
    assert "at least 80 days" in hint


def test_a_history_too_short_for_null_probes() -> None:
    """Labels that span nearly three days, on 24 days: no circular shift is longer than ten spans both ways."""
    pool = planted_pool(features=3, bars=1440, useful=(1,))
    ends = np.where(pool.panel.label_end < 0, -1, pool.panel.label_end + 70 * HOUR)
    until = int(pool.panel.available_at.max())
    long = replace(pool, panel=replace(pool.panel, label_end=ends), cut=until, until=until)
    why, _ = unfit(long, LEVEL)
    assert "more than ten label spans" in why and "3 days" in why


def test_a_cell_without_a_label_is_said() -> None:
    pool = planted_pool(features=3, bars=600, useful=(1,))
    why, _ = unfit(relabelled(pool, 0, np.full(pool.panel.rows, np.nan)), LEVEL)
    assert why == "target_level at 1h has no training row with a label"
