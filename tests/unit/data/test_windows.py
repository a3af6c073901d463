"""Windows against the tables they come from (SEMANTICS S1, S2, S3)."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from training_world import DAY, ENCODER, HOUR, hand_panel, make_market, prepare, table

from tftctl.core.errors import ConfigError, DataError
from tftctl.core.workspace import Workspace
from tftctl.data import origins as origins_module
from tftctl.data import panel as panel_module
from tftctl.data.allowlist import read_allowlist
from tftctl.data.assemble import Prepared, gather, known_instances, prepare_again
from tftctl.data.inputs import allowed_columns, choose_inputs
from tftctl.data.loaders import ordered_loader, train_loader
from tftctl.data.order import Shares, TrainOrder
from tftctl.data.origins import find_origins
from tftctl.data.panel import Panel, add_features, keep_groups, load_rows
from tftctl.data.windows import WindowSource, window_source
from tftctl.plugins import Registry, load_registry
from tftctl.store import Store

GARBAGE = 7.7e7


@pytest.fixture(scope="module")
def prepared(market: Workspace) -> Prepared:
    """Windows of the market."""
    return prepare(market)


def labelled_origins(prepared: Prepared) -> np.ndarray:
    """Origins of all parts."""
    return np.concatenate(list(prepared.splits.values()))


def order(prepared: Prepared, origins: torch.Tensor, size: int, seed: int = 1) -> TrainOrder:
    """The order of a training on one device."""
    return TrainOrder(origins, prepared.source.labels, Shares(size), seed)


def some(origins: np.ndarray, size: int, seed: int = 0) -> torch.Tensor:
    """A random choice of origins."""
    return torch.from_numpy(np.random.default_rng(seed).choice(origins, size, replace=False))


def raw_values(encoder: torch.Tensor, prepared: Prepared, period: int) -> np.ndarray:
    """Inputs in their own units again: (E, F)."""
    names = len(prepared.spec.inputs)
    mean, std = np.array(prepared.spec.input_mean)[period], np.array(prepared.spec.input_std)[period]
    return encoder[:, :names].numpy() * std + mean


def source_of(panel: Panel, *, block: list[int], known: list[int] | None = None, encoder: int = 4) -> WindowSource:
    """Windows of a panel made by hand: scales 0 and 1, labels as they are."""
    known = known or []
    width = panel.features.shape[1]
    periods = list(dict.fromkeys(panel.periods()))
    return window_source(
        panel,
        mean=np.zeros((len(periods), width)),
        std=np.ones((len(periods), width)),
        next_known=np.zeros((panel.rows, len(known))),
        known=known,
        block=block,
        labels=panel.labels.astype(np.float64),
        period=[periods.index(group.period) for group in panel.groups],
        codes=np.array([[number, 0] for number in range(len(panel.groups))]),
        encoder_length=encoder,
    )


def test_the_labels_of_every_batch_are_the_targets_table_at_the_origin(market: Workspace, prepared: Prepared) -> None:
    """S1: y of the origin (symbol, period, timestamp) is `target_*` stored on its own row, for every origin."""
    panel, spec = prepared.panel, prepared.spec
    names = [target.name for target in spec.targets]
    stored = {
        (group.symbol, group.period): {
            row["timestamp"]: [row[name] for name in names]
            for row in table(market, "targets", group.symbol, group.period).iter_rows(named=True)
        }
        for group in spec.groups
    }
    stats = {(group.symbol, group.period): group for group in spec.groups}
    origins = torch.from_numpy(labelled_origins(prepared))
    seen = 0
    for batch in train_loader(prepared.source, order(prepared, origins, 500), workers=0):
        for origin, labels, codes in zip(batch["origin"], batch["labels"], batch["codes"], strict=True):
            key = spec.symbols[codes[0]], spec.periods[codes[1]]
            truth = stored[key][int(panel.timestamp[origin])]
            for place, value in enumerate(truth):
                if value is None:
                    assert torch.isnan(labels[place])
                else:
                    raw = float(labels[place]) * stats[key].scale[place] + stats[key].centre[place]
                    assert raw == pytest.approx(value, abs=1e-6)
            seen += 1
    assert seen > 9500


def test_the_encoder_holds_the_rows_up_to_the_origin(market: Workspace, prepared: Prepared) -> None:
    """S1: encoder rows are t-L+1..t of the origin's group, scaled with the statistics of its period."""
    panel, spec = prepared.panel, prepared.spec
    names = [item.name for item in spec.inputs]
    tables = {(g.symbol, g.period): table(market, "fused", g.symbol, g.period) for g in spec.groups}
    batch = prepared.source.gather(some(labelled_origins(prepared), 200))
    assert batch["encoder"].shape == (200, ENCODER, len(spec.reals))
    for number, origin in enumerate(batch["origin"].tolist()):
        period = int(batch["period"][number])
        key = spec.symbols[batch["codes"][number, 0]], spec.periods[batch["codes"][number, 1]]
        assert spec.periods[period] == key[1]
        rows = tables[key].filter(pl.col("timestamp") <= panel.timestamp[origin]).tail(ENCODER)
        assert rows["segment"].n_unique() == 1
        want = rows.select(pl.col(names).cast(pl.Float64)).to_numpy()
        mean, std = np.array(spec.input_mean)[period], np.array(spec.input_std)[period]
        scaled = np.clip((want - mean) / std, -10, 10)
        got = batch["encoder"][number].numpy()
        null = np.isnan(want)
        assert np.allclose(got[:, : len(names)], np.where(null, 0.0, scaled), atol=1e-4)
        for flag, block in enumerate(spec.blocks):
            columns = [place for place, item in enumerate(spec.inputs) if item.block == block]
            assert np.array_equal(got[:, len(names) + flag] == 1, null[:, columns].any(axis=1))


def test_the_decoder_carries_only_what_is_known_of_the_next_bar(prepared: Prepared) -> None:
    """S1: one position, for the next expected bar; its known columns are computed from the calendar, the rest is 0."""
    panel, spec = prepared.panel, prepared.spec
    batch = prepared.source.gather(some(labelled_origins(prepared), 300))
    decoder = batch["decoder"]
    assert decoder.shape == (300, 1, len(spec.reals))
    unknown = [number for number in range(len(spec.reals)) if number not in spec.known]
    assert not decoder[:, :, unknown].any()
    assert [spec.inputs[number].name for number in spec.known] == ["hour_sin", "hour_cos", "weekday_sin", "weekday_cos"]
    for number, origin in enumerate(batch["origin"].tolist()):
        group = panel.groups[panel.group[origin]]
        opens = panel.timestamp[origin] + {"1h": HOUR, "4h": 4 * HOUR}[group.period]
        hour = opens % DAY / DAY * 2 * np.pi
        mean = np.array(spec.input_mean)[int(batch["period"][number])][spec.known]
        std = np.array(spec.input_std)[int(batch["period"][number])][spec.known]
        got = decoder[number, 0, spec.known].numpy() * std + mean
        assert np.allclose(got[:2], [np.sin(hour), np.cos(hour)], atol=1e-5)


def test_the_decoder_row_is_what_the_next_row_of_the_table_will_say(market: Workspace, prepared: Prepared) -> None:
    """S1: where the next bar came, its stored known columns are those of the origin's decoder."""
    panel, spec = prepared.panel, prepared.spec
    names = [spec.inputs[number].name for number in spec.known]
    group = panel.groups[0]
    rows = table(market, "fused", group.symbol, group.period).select(pl.col(names).cast(pl.Float64)).to_numpy()
    ahead = prepared.source.next_known[group.start : group.stop].numpy()
    assert np.allclose(ahead[:-1], rows[1:], atol=1e-6)


def test_a_sample_is_the_same_when_everything_later_is_garbage(market: Workspace, prepared: Prepared) -> None:
    """S1, A3: set all rows that complete after an origin, of all groups, to garbage: its sample does not change."""
    panel, spec = prepared.panel, prepared.spec
    with Store(market.store).read(spec.snapshot) as snapshot:
        known = known_instances(snapshot, spec.inputs, load_registry(market))
    for origin in some(labelled_origins(prepared), 12).tolist():
        later = panel.available_at > panel.available_at[origin]
        features, labels = panel.features.copy(), panel.labels.copy()
        features[later] = np.where(np.arange(len(panel.columns)) % 2, GARBAGE, np.nan)
        labels[later] = GARBAGE
        poisoned = dataclasses.replace(
            panel,
            features=features,
            labels=labels,
            next_timestamp=np.where(later, 0, panel.next_timestamp),
            segment=np.where(later, 99, panel.segment).astype(np.int32),
        )
        again = gather(poisoned, spec, known)
        assert find_origins(poisoned, spec.encoder_length, spec.required).usable[origin]
        want, got = (source.gather(torch.tensor([origin])) for source in (prepared.source, again.source))
        for name, value in want.items():
            assert torch.equal(torch.nan_to_num(value, 5.0), torch.nan_to_num(got[name], 5.0)), name


def test_the_newest_bar_is_an_origin_and_has_the_sample_it_will_always_have(
    market: Workspace, prepared: Prepared, tmp_path: Path
) -> None:
    """S1: a window needs no later bar: in a market that ends at T, each newest row has the full market's sample."""
    panel, spec = prepared.panel, prepared.spec
    cut = spec.train_end + 5 * DAY + 8 * HOUR
    make_market(tmp_path, until=cut)
    with Store(tmp_path / "store").read() as snapshot:
        columns = [item.name for item in spec.inputs]
        targets = [target.name for target in spec.targets]
        short = load_rows(snapshot, targets, spec.periods, spec.symbols)
        short = add_features(short, snapshot, columns, tmp_path / "store")
        known = known_instances(snapshot, spec.inputs, load_registry(market))
    again = gather(short, spec, known)
    newest = np.array([group.stop - 1 for group in short.groups])
    assert (short.available_at[newest] == cut).all()
    assert find_origins(short, spec.encoder_length, spec.required).usable[newest].all()
    assert np.isnan(short.labels[newest]).all()
    same = [
        int(np.flatnonzero((panel.group == number) & (panel.available_at == cut))[0])
        for number in range(len(panel.groups))
    ]
    want, got = prepared.source.gather(torch.tensor(same)), again.source.gather(torch.from_numpy(newest))
    for name in ("encoder", "decoder", "codes", "period"):
        assert torch.equal(want[name], got[name]), name


def test_no_label_is_an_input(market: Workspace, prepared: Prepared) -> None:
    """S2: neither a `target_*` column nor `time_idx`, a position in time, is among the inputs."""
    for name in prepared.spec.reals:
        assert "target" not in name
        assert not name.startswith(("label_end", "time_idx", "bar_index", "segment", "timestamp", "available_at"))


@pytest.mark.parametrize("name", ["target_logreturn", "target_logreturn__4h", "target_logreturn_zscore"])
def test_asking_for_a_label_as_an_input_is_refused(market: Workspace, name: str) -> None:
    """S2: nor anything derived from one, by configuration or by allowlist."""
    with Store(market.store).read() as snapshot:
        columns = snapshot.meta("fused")["columns"]
    with pytest.raises(ConfigError, match="never be an input"):
        choose_inputs({**columns, name: {"role": "own", "scale": "free"}}, [name], None)
    with pytest.raises(ConfigError, match=r"selected_features\.txt"):
        choose_inputs(columns, None, [name])


def test_inputs_are_scale_free_and_nothing_else_may_be_named(market: Workspace, tmp_path: Path) -> None:
    """F2, S2: prices are no inputs; an unknown name comes with the nearest one; the allowlist is an intersection."""
    with Store(market.store).read() as snapshot:
        columns = snapshot.meta("fused")["columns"]
    assert not {"open", "high", "low", "close", "volume"} & set(allowed_columns(columns))
    with pytest.raises(ConfigError, match="units of price"):
        choose_inputs(columns, ["close"], None)
    with pytest.raises(ConfigError) as caught:
        choose_inputs(columns, ["rsi_7"], None)
    assert "rsi_6" in caught.value.hint
    listed = tmp_path / "selected_features.txt"
    listed.write_text("# cut 2021-01-01\nrsi_6__4h\nlog_return # why\n\n")
    allowed = read_allowlist(listed)
    assert allowed is not None and allowed.names == ("rsi_6__4h", "log_return")
    assert [item.name for item in choose_inputs(columns, None, allowed.names)] == ["log_return", "rsi_6__4h"]
    with pytest.raises(ConfigError, match="no input is left"):
        choose_inputs(columns, ["log_return"], ["rsi_6"])


@pytest.mark.parametrize("chunk", [65_536, 13])
def test_a_null_own_input_leaves_out_every_window_that_holds_it(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3: counted under its reason, beside windows that are too short, against a loop."""
    monkeypatch.setattr(origins_module, "_CHUNK", chunk)
    rng = np.random.default_rng(3)
    panel = hand_panel([60, 40], features=3)
    panel.features[rng.random(panel.features.shape) < 0.03] = np.nan
    panel.segment[35:60] = 1
    panel.is_filled[[20, 77]] = True
    found = find_origins(panel, 8, [0, 2])
    counts = dict.fromkeys(found.left_out, 0)
    for group in panel.groups:
        for row in range(group.start, group.stop):
            window = range(row - 7, row + 1)
            if panel.is_filled[row]:
                why = "filled bar"
            elif window[0] < group.start or len({panel.segment[w] for w in window}) > 1:
                why = "fewer bars in the segment than the encoder needs"
            elif np.isnan(panel.features[list(window)][:, [0, 2]]).any():
                why = "a missing value in the window"
            else:
                why = None
            assert found.usable[row] == (why is None)
            if why:
                counts[why] += 1
    assert {reason: int(rows.sum()) for reason, rows in found.left_out.items()} == counts
    assert min(counts.values()) > 0


def test_left_out_origins_are_told_by_reason_and_group(prepared: Prepared) -> None:
    """S3: every row of a group is either an origin of some part or counted once under a reason."""
    panel = prepared.panel
    rows = labelled_origins(prepared)
    for number, group in enumerate(panel.groups):
        told = sum(size for _, symbol, period, size in prepared.left_out if (symbol, period) == group_key(group))
        assert told + int((panel.group[rows] == number).sum()) == group.stop - group.start
    reasons = {reason for reason, symbol, period, _ in prepared.left_out if (symbol, period) == ("SYN02", "1h")}
    assert {"filled bar", "a missing value in the window", "no label"} <= reasons


def group_key(group: object) -> tuple[str, str]:
    """Symbol and period."""
    return group.symbol, group.period  # type: ignore[attr-defined]


def test_a_null_context_becomes_zero_beside_its_flag() -> None:
    """S3: after scaling, so that 0 is the mean and not a value; each block has one flag."""
    panel = hand_panel([30], features=4)
    panel.features[10:14, 1] = np.nan  # block 0
    panel.features[12, 3] = np.nan  # block 1
    source = source_of(panel, block=[-1, 0, 0, 1])
    source = dataclasses.replace(source, mean=torch.full((1, 4), 100.0))
    encoder = source.gather(torch.tensor([13]))["encoder"][0]  # rows 10..13
    assert encoder[:, 1].tolist() == [0, 0, 0, 0]
    assert (encoder[:, 0] == -10).all()  # clipped: the values are near 0, the mean is 100
    assert encoder[:, 4].tolist() == [1, 1, 1, 1]
    assert encoder[:, 5].tolist() == [0, 0, 1, 0]
    assert find_origins(panel, 4, [0]).usable[13]


def damaged(market: Workspace, root: Path, name: str, column: str, bad: pl.Expr) -> Workspace:
    """A copy of the market with one value of SYN02 4h replaced in a table; the column takes the type of `bad`."""
    shutil.copytree(market.root, root / "ws")
    workspace = Workspace(root / "ws")
    place = table(workspace, name, "SYN02", "4h")["timestamp"][300]
    here = (pl.col("symbol") == "SYN02") & (pl.col("period") == "4h") & (pl.col("timestamp") == place)
    store = Store(workspace.store)
    with store.read() as snapshot, store.write("damage") as txn:
        for period in snapshot.periods(name):
            rows = snapshot.scan(name, period).collect()
            txn.replace(name, period, rows.with_columns(pl.when(here).then(bad).otherwise(column).alias(column)))
        txn.commit()
    return workspace


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("name", "column"), [("fused", "rsi_6"), ("targets", "target_logreturn")])
def test_a_value_that_is_not_finite_is_an_error(
    market: Workspace, tmp_path: Path, name: str, column: str, bad: float
) -> None:
    """S3: NaN and infinity are errors, named with column, group and time; null is data. Of labels as of inputs."""
    workspace = damaged(market, tmp_path, name, column, pl.lit(bad, pl.Float32))
    with pytest.raises(DataError, match=f"{column} of SYN02 4h is not finite at 2021-02-20"):
        prepare(workspace)


def test_a_value_beyond_float32_is_an_error(market: Workspace, tmp_path: Path) -> None:
    """S3: the network computes in float32; 1e39 would become infinite after the check."""
    workspace = damaged(market, tmp_path, "fused", "rsi_6", pl.lit(1e39, pl.Float64))
    with pytest.raises(DataError, match="rsi_6 of SYN02 4h is not finite"):
        prepare(workspace)


def test_a_disk_that_fills_up_leaves_no_part_of_the_matrix(
    market: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN 1: the cache is whole or not there, and the next training makes it."""
    shutil.copytree(market.root, tmp_path / "ws", ignore=shutil.ignore_patterns("_cache*", "features.npy"))
    workspace = Workspace(tmp_path / "ws")
    read, calls = panel_module._group_features, []

    def fail(*arguments: object) -> np.ndarray:
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(panel_module, "_group_features", fail)
    with pytest.raises(OSError, match="No space left"):
        prepare(workspace)
    assert not [path for path in workspace.store.rglob("features*") if path.suffix in (".npy", ".tmp")]
    monkeypatch.undo()
    again = prepare(workspace)
    assert np.array_equal(again.panel.features, prepare(market).panel.features, equal_nan=True)


def test_an_indicator_that_is_gone_is_missed_only_where_it_has_to_compute(
    market: Workspace, prepared: Prepared
) -> None:
    """DESIGN 5: stored columns need no plugin; the known columns of the next bar are computed."""
    registry = load_registry(market)
    indicators = registry.provided["indicator"]

    def without(name: str) -> Registry:
        left = {key: found for key, found in indicators.items() if key != name}
        return dataclasses.replace(registry, provided={**registry.provided, "indicator": left})

    with Store(market.store).read(prepared.spec.snapshot) as snapshot:
        for name in ("rsi", "nothing"):
            found = known_instances(snapshot, prepared.spec.inputs, without(name))
            assert [instance.record.name for instance in found] == ["day_clock", "week_clock"]
        with pytest.raises(DataError, match="no plugin makes 'weekday_sin' of the next bar"):
            known_instances(snapshot, prepared.spec.inputs, without("week_clock"))


def test_evaluation_reads_the_matrix_that_the_training_wrote(market: Workspace, prepared: Prepared) -> None:
    """One cache per columns and groups, mapped and not copied, also where groups were left out by name."""
    assert isinstance(prepared.panel.features, np.memmap)
    assert len(prepared.panel.groups) == 6
    with Store(market.store).read(prepared.spec.snapshot) as snapshot:
        before = sorted(market.store.rglob("features.npy"))
        again = prepare_again(market.store, snapshot, prepared.spec, load_registry(market))
    assert sorted(market.store.rglob("features.npy")) == before
    for name, origins in prepared.splits.items():
        assert np.array_equal(again.splits[name], origins)
    batch, same = (made.source.gather(torch.from_numpy(made.choosing[:50])) for made in (prepared, again))
    assert all(torch.equal(torch.nan_to_num(batch[name]), torch.nan_to_num(same[name])) for name in batch)


def test_every_origin_comes_once_per_epoch_in_an_order_of_seed_and_epoch(prepared: Prepared) -> None:
    """S1: an epoch is a permutation; the same seed and epoch give the same one."""
    origins = torch.from_numpy(prepared.splits["train"][:640])

    def epoch(seed: int, number: int) -> list[int]:
        chosen = order(prepared, origins, 64, seed)
        chosen.epoch = number
        return torch.cat([batch["origin"] for batch in train_loader(prepared.source, chosen, 0)]).tolist()

    assert sorted(epoch(1, 0)) == sorted(origins.tolist())
    assert epoch(1, 0) == epoch(1, 0)
    assert epoch(1, 0) != epoch(1, 1)
    assert epoch(1, 0) != epoch(2, 0)
    ordered = torch.cat([batch["origin"] for batch in ordered_loader(prepared.source, origins, 100)])
    assert torch.equal(ordered, origins)


def test_a_last_batch_that_is_not_full_is_dropped_unless_it_is_alone(prepared: Prepared) -> None:
    """A batch of one or two rows would weigh as much as a full one."""
    origins = torch.from_numpy(prepared.splits["train"][:100])
    for size, want in ((40, [40, 40]), (400, [100])):
        loader = train_loader(prepared.source, order(prepared, origins, size), 0)
        assert [batch["origin"].numel() for batch in loader] == want


def test_a_sample_does_not_depend_on_its_batch(prepared: Prepared) -> None:
    """S1: gathering windows together or one by one gives the same bits."""
    origins = some(labelled_origins(prepared), 30)
    together = prepared.source.gather(origins)
    for number, origin in enumerate(origins):
        alone = prepared.source.gather(origin[None])
        for name in ("encoder", "decoder", "labels"):
            assert torch.equal(torch.nan_to_num(together[name][number]), torch.nan_to_num(alone[name][0]))


def test_a_panel_of_some_groups_keeps_their_rows(prepared: Prepared) -> None:
    """Groups left out by name take nothing of the others with them."""
    panel = prepared.panel
    kept = [panel.groups[1], panel.groups[4]]
    part = keep_groups(panel, kept)
    for number, (old, new) in enumerate(zip(kept, part.groups, strict=True)):
        assert group_key(old) == group_key(new)
        here = slice(new.start, new.stop)
        assert np.array_equal(part.features[here], panel.features[old.start : old.stop], equal_nan=True)
        assert np.array_equal(part.timestamp[here], panel.timestamp[old.start : old.stop])
        assert (part.group[here] == number).all()


def test_no_group_as_long_as_a_window_is_an_error(market: Workspace) -> None:
    """S1: the shortest usable group is one window and a label; the message names the groups and reasons."""
    with pytest.raises(DataError, match="no train origin has a whole window of 2000 bars: SYN01 4h") as caught:
        prepare(market, "max_encoder_length=2000", "periods=[4h]")
    assert "max_encoder_length" in caught.value.hint
