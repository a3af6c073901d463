"""`data import --as fused`: a long table made elsewhere becomes the fused table, unaudited."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from ingest_world import DAY, HOUR, START

from tftctl.core.errors import DataError, UsageError
from tftctl.core.workspace import Workspace
from tftctl.ingest.adopt import Adopted, AdoptOptions, adopt_fused
from tftctl.start.data_jobs import parse_horizons
from tftctl.store import Store


def long_table(rows: int = 10, **more: list[Any]) -> pl.DataFrame:
    """Two symbols, one period, one feature, one label."""
    parts = [
        pl.DataFrame(
            {
                "symbol": [symbol] * rows,
                "period": ["1h"] * rows,
                "timestamp": [START + i * HOUR for i in range(rows)],
                "RSI 14": [float(i) for i in range(rows)],
                "target_up": [float(i % 2) for i in range(rows)],
                **more,
            }
        )
        for symbol in ("BTCUSDT", "ETHUSDT")
    ]
    return pl.concat(parts)


def adopt(workspace: Workspace, path: Path, **options: Any) -> Adopted:
    """Adopt with a horizon of 2 bars unless told otherwise."""
    options.setdefault("horizons", {"*": 2})
    return adopt_fused(Store(workspace.store), path, AdoptOptions(**options))


def table_of(workspace: Workspace, name: str, period: str = "1h") -> pl.DataFrame:
    """A stored table."""
    with Store(workspace.store).read() as snapshot:
        return snapshot.scan(name, period).collect().sort("symbol", "timestamp")


def parquet(path: Path, table: pl.DataFrame) -> Path:
    """Write and name."""
    table.write_parquet(path)
    return path


def test_a_parquet_table_is_adopted(workspace: Workspace, tmp_path: Path) -> None:
    found = adopt(workspace, parquet(tmp_path / "long.parquet", long_table()))
    assert (found.rows, found.groups, found.features, found.targets) == (20, 2, 1, ("target_up",))
    assert found.renamed == {"RSI 14": "rsi_14"}
    assert found.horizons == {"target_up": {"1h": 2}}
    assert found.audit == "unaudited"
    fused = table_of(workspace, "fused")
    assert fused["rsi_14"].to_list() == [float(i) for i in range(10)] * 2
    assert (fused["available_at"] - fused["timestamp"]).unique().to_list() == [HOUR]
    assert fused["segment"].unique().to_list() == [0]
    with Store(workspace.store).read() as snapshot:
        assert snapshot.meta("fused")["audit"] == "unaudited"
        assert snapshot.meta("targets")["targets"]["target_up"]["kind"] == "binary"


def test_the_last_labels_of_each_group_are_removed(workspace: Workspace, tmp_path: Path) -> None:
    """L1: the bars that they read are not there, whatever the file says."""
    found = adopt(workspace, parquet(tmp_path / "long.parquet", long_table()), horizons={"target_up": 3})
    assert found.labels_removed == 6
    targets = table_of(workspace, "targets").filter(symbol="BTCUSDT")
    assert targets["target_up"].to_list() == [0, 1, 0, 1, 0, 1, 0, None, None, None]
    ends = [START + (i + 4) * HOUR for i in range(7)]
    assert targets["label_end__target_up"].to_list() == [*ends, None, None, None]


def test_a_missing_bar_begins_a_segment_and_labels_do_not_cross_it(workspace: Workspace, tmp_path: Path) -> None:
    """T3, L1."""
    table = long_table().filter(pl.col("timestamp") != START + 5 * HOUR)
    found = adopt(workspace, parquet(tmp_path / "long.parquet", table), horizons={"*": 1})
    fused = table_of(workspace, "fused").filter(symbol="ETHUSDT")
    assert fused["segment"].to_list() == [0] * 5 + [1] * 4
    targets = table_of(workspace, "targets").filter(symbol="ETHUSDT")
    assert targets["target_up"].is_null().to_list() == [False] * 4 + [True] + [False] * 3 + [True]
    assert found.labels_removed == 4


def test_a_pickle_with_pandas_times(workspace: Workspace, tmp_path: Path) -> None:
    frame = long_table().to_pandas()
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], unit="ms")
    path = tmp_path / "long.pkl"
    frame.set_index("timestamp").to_pickle(path)
    assert adopt(workspace, path, trust_pickle=True).rows == 20
    assert table_of(workspace, "fused")["timestamp"].min() == START


class Touch:
    """Leaves a trace when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


def test_an_untrusted_pickle_is_not_executed(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "long.pkl"
    path.write_bytes(pickle.dumps(Touch(tmp_path / "executed")))
    with pytest.raises(DataError, match="runs code"):
        adopt(workspace, path)
    assert not (tmp_path / "executed").exists()


WRONG = {
    "20 rows share their key, the first BTCUSDT 1h 2024-01-01T00:00:00Z": lambda t: pl.concat([t, t[:10]]),
    "1 rows at which no bar of 24x7 opens, the first 2024-01-01T03:07:00Z": lambda t: t.with_columns(
        timestamp=pl.when(pl.int_range(pl.len()) == 3).then(START + 3 * HOUR + 420_000).otherwise("timestamp")
    ),
    "infinite numbers in rsi_14": lambda t: t.with_columns(pl.lit(float("inf")).alias("RSI 14")),
    "infinite numbers in target_up": lambda t: t.with_columns(target_up=pl.lit(-float("inf"))),
    "2 rows have no readable symbol, period or time": lambda t: t.with_columns(
        timestamp=pl.when(pl.col("timestamp") > START).then("timestamp")
    ),
    "no symbol column": lambda t: t.drop("symbol"),
    "no period column": lambda t: t.drop("period"),
    "no timestamp column": lambda t: t.drop("timestamp"),
    "no feature columns": lambda t: t.drop("RSI 14"),
    "two columns become 'rsi_14'": lambda t: t.with_columns(rsi_14=pl.lit(1.0)),
    "size: it is the name of a Python or PyTorch": lambda t: t.with_columns(size=pl.lit(1.0)),
    "class: it is a Python keyword": lambda t: t.with_columns(pl.lit(1.0).alias("class")),
    "3d_trend: use lower-case letters": lambda t: t.with_columns(pl.lit(1.0).alias("3d trend")),
}


@pytest.mark.parametrize("message", sorted(WRONG))
def test_tables_that_are_refused_whole(workspace: Workspace, tmp_path: Path, message: str) -> None:
    """One line of what is wrong, nothing stored."""
    with pytest.raises(DataError, match=message):
        adopt(workspace, parquet(tmp_path / "long.parquet", WRONG[message](long_table())))
    with Store(workspace.store).read() as snapshot:
        assert list(snapshot.tables) == []


def test_symbol_and_period_may_be_named_instead(workspace: Workspace, tmp_path: Path) -> None:
    table = long_table()[:10].drop("symbol", "period")
    found = adopt(workspace, parquet(tmp_path / "x.parquet", table), symbol="sol/usdt", period="1h")
    assert found.groups == 1
    assert table_of(workspace, "fused")["symbol"].unique().to_list() == ["SOLUSDT"]


@pytest.mark.parametrize(("column", "text"), [("period", "1 parsec"), ("symbol", "what?")])
def test_a_key_that_is_none_is_one_line(workspace: Workspace, tmp_path: Path, column: str, text: str) -> None:
    table = long_table().with_columns(pl.lit(text).alias(column))
    with pytest.raises(DataError, match=rf"x.parquet: .*{text[:-1]}.*column {column}"):
        adopt(workspace, parquet(tmp_path / "x.parquet", table))


def test_ragged_lines_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    """A line that lacks a field would have a null feature, or a shifted one."""
    lines = long_table().write_csv().splitlines()
    lines[4] = lines[4].rpartition(",")[0]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="1 lines have a wrong number of fields, the first is line 5"):
        adopt(workspace, tmp_path / "x.csv")


def test_a_timestamp_comes_before_a_date(workspace: Workspace, tmp_path: Path) -> None:
    table = long_table().select(pl.lit("2024-01-01").alias("date"), pl.all())
    found = adopt(workspace, parquet(tmp_path / "x.parquet", table))
    assert (found.rows, found.dropped) == (20, ("date",))


def test_keys_in_other_writings(workspace: Workspace, tmp_path: Path) -> None:
    table = long_table().with_columns(period=pl.lit("60"), symbol=pl.col("symbol").str.replace("USDT", "/USDT"))
    adopt(workspace, parquet(tmp_path / "x.parquet", table))
    assert table_of(workspace, "fused")["symbol"].unique().sort().to_list() == ["BTCUSDT", "ETHUSDT"]


def test_what_looks_ahead_under_another_name_is_left_out(workspace: Workspace, tmp_path: Path) -> None:
    """F5: future_close is a label; other times than the key are no features. Both are told."""
    table = long_table(future_close=[1.0] * 10, open_time=[1] * 10, day=[3] * 10, lag=[2.0] * 10)
    found = adopt(workspace, parquet(tmp_path / "x.parquet", table))
    assert found.dropped == ("future_close", "open_time", "day")
    assert {"rsi_14", "lag"} <= set(table_of(workspace, "fused").columns)
    assert found.features == 2


def test_bars_that_are_not_complete_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    """T1."""
    table = long_table().with_columns(timestamp=pl.col("timestamp") + 60 * 365 * DAY)
    with pytest.raises(DataError, match="10 rows stand for bars that are not complete yet, the first BTCUSDT 1h 20"):
        adopt(workspace, parquet(tmp_path / "x.parquet", table))


def test_rows_of_another_period_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    """On the grid of hours every row of a 4h table would stand alone in a segment."""
    table = long_table().with_columns(timestamp=pl.col("timestamp") * 4 - 3 * START)
    with pytest.raises(DataError, match="rows 4h apart, not 1h"):
        adopt(workspace, parquet(tmp_path / "x.parquet", table))


def test_two_periods_of_an_exchange_keep_their_anchors(workspace: Workspace, tmp_path: Path) -> None:
    """T2: the hours' anchor is not lost to the days."""
    hours = [START + DAY + 14 * HOUR + HOUR // 2 + i * HOUR for i in range(7)]
    days = [START + i * DAY for i in (1, 2, 3, 4)]
    table = pl.DataFrame(
        {"symbol": "SPY", "period": ["1h"] * 7 + ["1d"] * 4, "timestamp": hours + days, "rsi": 1.0, "target_up": 1.0}
    )
    adopt(workspace, parquet(tmp_path / "x.parquet", table), calendar="XNYS")
    with Store(workspace.store).read() as snapshot:
        assert snapshot.meta("fused")["calendars"]["SPY"]["anchor"] == {"1h": "open"}


def test_a_zip_of_two_tables_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", long_table().write_csv())
        archive.writestr("b.csv", long_table().write_csv())
    with pytest.raises(DataError, match="holds 2 tables") as caught:
        adopt(workspace, path)
    assert "a.csv, b.csv" in caught.value.hint


def test_nan_is_null_and_texts_are_dropped(workspace: Workspace, tmp_path: Path) -> None:
    table = long_table(note=["x"] * 10, code=["1"] * 10, gap=[float("nan")] * 5 + [1.0] * 5)
    found = adopt(workspace, parquet(tmp_path / "x.parquet", table))
    assert found.dropped == ("note",)
    fused = table_of(workspace, "fused")
    assert fused["gap"].null_count() == 10
    assert fused["code"].to_list() == [1.0] * 20


def test_an_exchange_s_days_are_available_at_its_close(workspace: Workspace, tmp_path: Path) -> None:
    """T2: 1 January is none; the 2nd closes at 21:00 UTC."""
    table = pl.DataFrame(
        {
            "symbol": "SPY",
            "period": "1d",
            "timestamp": [START + i * DAY for i in (1, 2, 3, 4, 7)],
            "rsi": 1.0,
            "target_up": 1.0,
        }
    )
    adopt(workspace, parquet(tmp_path / "x.parquet", table), calendar="XNYS", horizons={"*": 1})
    fused = table_of(workspace, "fused", "1d")
    assert fused["available_at"][0] == START + DAY + 21 * HOUR
    assert fused["segment"].unique().to_list() == [0]
    with pytest.raises(DataError, match="no bar of XNYS opens"):
        adopt(
            workspace,
            parquet(tmp_path / "y.parquet", table.with_columns(pl.col("timestamp") - DAY)),
            calendar="XNYS",
        )


def test_a_horizon_is_asked_for(workspace: Workspace, tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", long_table())
    with pytest.raises(DataError, match="target_up: how many 1h bars ahead"):
        adopt(workspace, path, horizons={})
    named = adopt(workspace, path, horizons=parse_horizons(["24", "target_up=4"]))
    assert named.horizons == {"target_up": {"1h": 4}}


@pytest.mark.parametrize("text", ["x", "0", "-1", "target_up=", "a=b", "1.5"])
def test_horizons_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--horizon"):
        parse_horizons([text])


def test_adopting_again_replaces_the_table(workspace: Workspace, tmp_path: Path) -> None:
    adopt(workspace, parquet(tmp_path / "x.parquet", long_table(rows=10)))
    adopt(workspace, parquet(tmp_path / "y.parquet", long_table(rows=6).rename({"RSI 14": "macd"})))
    fused = table_of(workspace, "fused")
    assert fused.height == 12
    assert "rsi_14" not in fused.columns
