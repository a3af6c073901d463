"""Rows go where required values are missing; windows never reach over what is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pruning_world import (
    CONFIG,
    DAY,
    PLANTED,
    STEP,
    SYMBOLS,
    dropped,
    make_store,
    naive_cuts,
    pruned,
    table,
    tried,
)

from tftctl.audit.prune import parts as parts_module
from tftctl.audit.prune.rules import ColumnRules, RowRules, Rules
from tftctl.audit.prune.thin import renumbered
from tftctl.core.times import iso, parse_iso
from tftctl.data.origins import find_origins
from tftctl.data.panel import add_features, load_rows
from tftctl.store import Store

FREE = [name for name in PLANTED if not name.startswith("level")]
HERE = {"1h": FREE, "4h": [name for name in FREE if name != "noise__4h"]}
SOME = ("noise", "sparse", "late", "mostly_one", "noise__4h")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups come in several pieces."""
    monkeypatch.setattr(parts_module, "CHUNK_VALUES", 20_000)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The planted table."""
    return make_store(tmp_path)


def rule(**given: Any) -> RowRules:
    """Row rules; a plain value is for every period."""
    limits = {k: v if isinstance(v, dict) else {None: v} for k, v in given.items() if k != "require"}
    return RowRules(require=given.get("require", ()), **limits)


def naive_reasons(store: Store, require: dict[str, list[str]], **limits: Any) -> dict[tuple[str, str, str], int]:
    """(symbol, period, reason) -> rows, one row at a time."""
    found: dict[tuple[str, str, str], int] = {}
    for period, rows in table(store).items():
        for row in rows.iter_rows(named=True):
            names = require[period]
            there = sum(row[name] is not None for name in names)
            how, k, ratio = (limits.get(n, {}).get(period) for n in ("how", "min_k", "min_ratio"))
            reason = None
            if how == "all" and there == 0:
                reason = "all"
            elif how == "any" and there < len(names):
                reason = "any"
            elif k is not None and there < k:
                reason = "min_k"
            elif ratio is not None and there / len(names) < ratio:
                reason = "min_ratio"
            if reason:
                key = row["symbol"], period, reason
                found[key] = found.get(key, 0) + 1
    return found


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ({"how": "any"}, {"how": {"1h": "any", "4h": "any"}}),
        ({"how": "all"}, {"how": {"1h": "all", "4h": "all"}}),
        ({"how": {"1h": "all"}}, {"how": {"1h": "all", "4h": "any"}}),
        ({"min_k": 4}, {"min_k": {"1h": 4, "4h": 4}}),
        ({"min_ratio": 0.75}, {"min_ratio": {"1h": 0.75, "4h": 0.75}}),
        ({"min_ratio": {"1h": 0.9, None: 0.5}}, {"min_ratio": {"1h": 0.9, "4h": 0.5}}),
        ({"min_k": {"1h": 5}, "min_ratio": {"4h": 1.0}}, {"min_k": {"1h": 5}, "min_ratio": {"4h": 1.0}}),
        ({"how": {"1h": "all"}, "min_k": 3, "min_ratio": 1.0},
         {"how": {"1h": "all"}, "min_k": {"1h": 3, "4h": 3}, "min_ratio": {"1h": 1.0, "4h": 1.0}}),
    ],
)  # fmt: skip
def test_rows_go_for_the_reason_that_a_loop_finds(store: Store, given: Any, limits: Any) -> None:
    """Counts by symbol, period and reason; a column that does not apply at a period is not required there."""
    require = {"1h": list(SOME), "4h": [name for name in SOME if name != "noise__4h"]}
    found = tried(store, rows=rule(require=SOME, **given)).document()
    got = {(e["symbol"], e["period"], e["reason"]): e["rows"] for e in found["rows_dropped"]}
    assert got == naive_reasons(store, require, **limits)
    assert found["rows"]["before"] - found["rows"]["after"] == sum(got.values())


def test_all_inputs_left_are_required_where_none_is_named(store: Store) -> None:
    """After the columns that go; nothing but inputs: no bar, no age, no level."""
    found = tried(store, rows=rule(how="any"), max_missing=0.3, period_rule="any")
    assert set(dropped(found)) == {"empty", "sparse", "late"}
    left = {p: [name for name in names if name not in dropped(found)] for p, names in HERE.items()}
    got = {(e["symbol"], e["period"], e["reason"]): e["rows"] for e in found.document()["rows_dropped"]}
    assert got == naive_reasons(store, left, how=dict.fromkeys(STEP, "any"))


def test_a_dropped_column_is_not_required(store: Store) -> None:
    """A pattern means what is left of it."""
    found = tried(store, rows=rule(require=("sparse", "mostly_one")), drop=("sparse",))
    assert found.document()["rows_dropped"] == []
    assert tried(store, rows=rule(require=("sparse",))).document()["rows_dropped"] != []


def gapped(rows: pl.DataFrame) -> pl.DataFrame:
    """`noise` is missing in single rows, in runs, at both ends, and never in CCC at 4h; a gap in context is data."""
    blind = pl.col("bar_index").is_between(500, 520)
    rows = rows.with_columns(pl.when(blind).then(None).otherwise("noise__4h").alias("noise__4h"))
    if (rows["symbol"][0], rows["period"][0]) == ("CCC", "4h"):
        return rows
    places = [0, 1, 200, 201, 350, 399, 450, rows.height - 1, *range(1200, 1230)]
    gone = pl.Series(np.isin(np.arange(rows.height), places))
    return rows.with_columns(pl.when(gone).then(None).otherwise("noise").alias("noise"))


def test_no_window_reaches_over_a_removed_row(tmp_path: Path) -> None:
    """Every encoder row of every origin follows the one before it on the grid; a loop finds the same origins."""
    store = make_store(tmp_path, gapped)
    before = table(store)
    found = pruned(store, Rules(rows=rule(require=("noise",))))
    length = CONFIG.max_encoder_length
    with store.read() as snapshot:
        panel = load_rows(snapshot, ["target_x"], None, None)
        panel = add_features(panel, snapshot, ["noise", "signal"], store.root)
    usable = find_origins(panel, length, [0, 1]).usable
    assert usable.sum() > 1000
    for group in panel.groups:
        stamps = panel.timestamp[group.start : group.stop]
        segments = panel.segment[group.start : group.stop]
        assert segments[0] == 0 and set(np.diff(segments)) <= {0, 1}
        for place in range(stamps.size):
            window = stamps[max(0, place - length + 1) : place + 1]
            whole = window.size == length and (np.diff(window) == STEP[group.period]).all()
            filled = panel.is_filled[group.start + place]
            assert usable[group.start + place] == (whole and not filled)
    told = found.document()["coverage"]
    origins = {p: sum(int(usable[g.start : g.stop].sum()) for g in panel.groups if g.period == p) for p in STEP}
    assert {p: told[p]["after"]["origins"] for p in STEP} != origins  # `empty` is an input and spoils them all
    assert told["1h"]["after"]["origins"] == 0
    again = pruned(store, Rules(columns=ColumnRules(drop=("empty", "sparse", "late"))))
    told = again.document()["coverage"]
    assert {p: told[p]["after"]["origins"] for p in STEP} == origins
    kept = table(store)
    same = before["4h"].filter(pl.col("symbol") == "CCC").drop("empty", "sparse", "late")
    assert kept["4h"].filter(pl.col("symbol") == "CCC").equals(same)


def test_segments_by_a_loop() -> None:
    """A new one where the old one ends and where a row is gone; as they were where none is."""
    random = np.random.default_rng(3)
    for _ in range(200):
        size = int(random.integers(1, 40))
        segment = (random.random(size) < 0.1).cumsum().astype(np.int32)
        kept = random.random(size) < random.choice([0.3, 0.9, 1.0])
        got = renumbered(segment, kept)
        if kept.all():
            assert np.array_equal(got, segment)
            continue
        want, number = [], -1
        for place in np.flatnonzero(kept):
            joined = place > 0 and kept[place - 1] and segment[place - 1] == segment[place]
            number += not joined
            want.append(number)
        assert got.tolist() == want
        assert got.dtype == np.int32


def test_fused_and_targets_keep_the_same_rows(store: Store) -> None:
    """Rows, labels and values are those of before; only segments are others."""
    before = {name: table(store, name) for name in ("fused", "targets")}
    pruned(store, Rules(columns=ColumnRules(drop=("flat",)), rows=rule(require=("sparse", "late"), how="all")))
    after = {name: table(store, name) for name in ("fused", "targets")}
    for period in STEP:
        stays = before["fused"][period].select(
            pl.any_horizontal(pl.col("sparse", "late").is_not_null())
        ).to_series()  # fmt: skip
        assert 0 < stays.sum() < stays.len()
        rows = before["fused"][period].filter(stays).drop("segment", "flat")
        assert after["fused"][period].drop("segment").equals(rows)
        assert after["targets"][period].equals(before["targets"][period].filter(stays))
        for symbol in SYMBOLS:
            mine = pl.col("symbol") == symbol
            assert (
                after["fused"][period]
                .filter(mine)["timestamp"]
                .equals(after["targets"][period].filter(mine)["timestamp"])
            )


def test_coverage_is_that_of_a_loop(store: Store) -> None:
    """Columns, rows, training rows, and the share of values that these have of them."""
    found = tried(store, rows=rule(require=("late",)), drop=("sparse",))
    told, parts = found.document()["coverage"], {}
    for group in found.pruning.parts.groups:
        parts.setdefault(group.period, []).extend(group.split == 0)
    for period, rows in table(store).items():
        names = [n for n in PLANTED if (n, period) != ("noise__4h", "4h")]
        train = np.array(parts[period])
        for side, kept, columns in (
            ("before", np.ones(rows.height, bool), names),
            ("after", rows["late"].is_not_null().to_numpy(), [n for n in names if n != "sparse"]),
        ):
            seen = rows.filter(pl.Series(kept & train)).select(columns)
            want = 1 - sum(seen.null_count().row(0)) / (seen.height * seen.width)
            got = told[period][side]
            assert (got["rows"], got["train_rows"], got["columns"]) == (kept.sum(), seen.height, len(columns))
            assert got["share"] == pytest.approx(want, abs=1e-12)


def test_a_cut_that_moves_back_takes_the_measures_with_it(tmp_path: Path) -> None:
    """Rows that go at the end take days with them: the training that follows cuts earlier, and so do the measures."""
    until = naive_cuts(make_store(tmp_path / "whole"))[0] + 3 * DAY

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        late = pl.col("available_at") > until
        return rows.with_columns(pl.when(late).then(None).otherwise("noise").alias("noise"))

    store = make_store(tmp_path / "short", change)
    first = naive_cuts(store)[0]
    found = pruned(store, Rules(columns=ColumnRules(max_missing=0.5), rows=rule(require=("noise",)))).document()
    after = naive_cuts(store)[0]
    assert after < first
    assert parse_iso(found["train_end"]) == after
    assert found["last_label_end"] <= iso(after)


def test_a_group_or_a_period_may_go_as_a_whole(tmp_path: Path) -> None:
    """It is told, and what is left can be read."""

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        gone = rows["period"][0] == "4h" or rows["symbol"][0] == "BBB"
        return rows.with_columns(pl.when(pl.lit(gone)).then(None).otherwise("noise").alias("noise"))

    store = make_store(tmp_path, change)
    found = pruned(store, Rules(rows=rule(require=("noise",))))
    assert found.document()["notes"][1:] == ["no row of BBB is left at 1h", "no row of 4h is left"]
    with store.read() as snapshot:
        assert (snapshot.periods("fused"), snapshot.periods("targets")) == (["1h"], ["1h"])
        assert snapshot.symbols("fused", "1h") == ["AAA", "CCC"]
