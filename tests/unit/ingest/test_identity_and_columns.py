"""Which symbol, period and column a file speaks of."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from ingest_world import DAY, HOUR, START, bar_lines, run_import, stored, write_lines

from tftctl.core.errors import DataError, UsageError
from tftctl.core.workspace import Workspace
from tftctl.ingest.columns import map_columns
from tftctl.ingest.identity import normal_symbol, period_from_path, symbol_from_name
from tftctl.ingest.numbers import parse_numbers
from tftctl.start.data_jobs import parse_extras


@pytest.mark.parametrize(
    ("name", "symbol", "period"),
    [
        ("crypto/1h/BTCUSDT.csv", "BTCUSDT", "1h"),
        ("crypto/15m/SOLUSDT.parquet", "SOLUSDT", "15m"),
        ("stocks/1d/AAPL.parquet", "AAPL", "1d"),
        ("stocks/daily/aapl.csv", "AAPL", "1d"),
        ("dirty/gemini_BTCUSD_1hr.csv", "BTCUSD", "1h"),
        ("dirty/Coinbase_BTCUSD_1h.csv", "BTCUSD", "1h"),
        ("dirty/Binance_BTCUSDT_d.csv", "BTCUSDT", "1d"),
        ("dirty/investing_BTC_daily.csv", "BTC", "1d"),
        ("dirty/FTTUSDT_1h.csv.gz", "FTTUSDT", "1h"),
        ("dirty/SOLUSDT_perp_1h_local_tz.csv.gz", "SOLUSDT", "1h"),
        ("dirty/binance_vision_BTCUSDT-1h-2024-12.csv", "BTCUSDT", "1h"),
        ("dirty/stock_MO_spinoff_split_adjusted.csv.gz", "MO", None),
        ("ETH-USD_240m_20240101.csv", "ETHUSD", "4h"),
        ("binance_btc_usdt_15min.csv", "BTCUSDT", "15m"),
        ("EUR_USD_H1.csv", "EURUSD", "1h"),
        ("BTCUSDT (1).csv", "BTCUSDT", None),
        ("d_aapl.us.txt", "AAPL.US", "1d"),
        ("BRK.B_1d.csv", "BRK.B", "1d"),
        ("7203.T_1d.csv", "7203.T", "1d"),
        ("2330.TW_1d.csv", "2330.TW", "1d"),
        ("600519.SS_1d.csv", "600519.SS", "1d"),
        ("GCZ2024_1d.csv", "GCZ2024", "1d"),
        ("XBTUSD_60.csv", "XBTUSD", None),
        ("DATA_1d.csv", "DATA", "1d"),
        ("x/ethusdt-4h.csv", "ETHUSDT", "4h"),
        ("4h/BTCUSDT_1h.csv", "BTCUSDT", "1h"),
        ("x/SPY.csv", "SPY", None),
        ("lean_raw_1d/aapl.zip", "AAPL", "1d"),
    ],
)
def test_names_and_folders(name: str, symbol: str | None, period: str | None) -> None:
    """The name comes before the folder."""
    assert period_from_path(Path(name)) == period
    if symbol is not None:
        assert symbol_from_name(Path(name)) == symbol


@pytest.mark.parametrize(
    "name", ["ETH_BTC_1h.csv", "2024-01.csv", "1h.csv", "a_b_c.csv", "USDT_USD_1h.csv", "aapl_us_d.csv"]
)
def test_a_name_that_does_not_decide_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="which symbol") as caught:
        symbol_from_name(Path(name))
    assert "--symbol" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "symbol"),
    [("BTC/USDT", "BTCUSDT"), ("btc-usdt", "BTCUSDT"), (" brk.b ", "BRK.B"), ("^GSPC", "^GSPC")],
)  # fmt: skip
def test_symbols_in_one_writing(text: str, symbol: str) -> None:
    assert normal_symbol(text) == symbol


@pytest.mark.parametrize("text", ["", "a" * 33, "BTC;USD", "BTC\\USD", "ü"])
def test_what_cannot_be_a_symbol(text: str) -> None:
    with pytest.raises(DataError, match="cannot be a symbol"):
        normal_symbol(text)


def test_an_option_comes_before_the_column_and_the_column_before_the_name(workspace: Workspace, tmp_path: Path) -> None:
    lines = [f"{line},ETH/USDT,1h" for line in bar_lines(3)]
    path = write_lines(tmp_path / "4h" / "BTCUSDT.csv", lines, "timestamp,open,high,low,close,volume,pair,interval")
    (file,) = run_import(workspace, path).files
    assert (file.symbol, file.period) == ("ETHUSDT", "1h")
    (file,) = run_import(workspace, path, symbol="sol-usdt").files
    assert (file.symbol, file.period) == ("SOLUSDT", "1h")


def test_several_symbols_and_periods_in_one_file(workspace: Workspace, tmp_path: Path) -> None:
    groups = [("BTC/USDT", "1h", HOUR), ("ETHUSDT", "1h", HOUR), ("ETHUSDT", "1d", DAY)]
    lines = [
        f"{line},{symbol},{period}"
        for index, (symbol, period, step) in enumerate(groups)
        for line in bar_lines(12, step=step, price=10.0 * (index + 1))
    ]
    lines[20] = lines[20].replace("5.0,ETH", "-1,ETH")
    header = "timestamp,open,high,low,close,volume,symbol,period"
    found = run_import(workspace, write_lines(tmp_path / "all.csv", lines, header))
    assert [(f.symbol, f.period, f.rows_read, f.rows_accepted, f.reasons) for f in found.files] == [
        ("BTCUSDT", "1h", 12, 12, {}),
        ("ETHUSDT", "1d", 12, 12, {}),
        ("ETHUSDT", "1h", 12, 11, {"negative volume": 1}),
    ]
    assert stored(workspace, "ETHUSDT", "1d")["open"][0] == 30


@pytest.mark.parametrize("given", [{"symbol": "BTCUSDT"}, {"period": "1h"}])
def test_one_name_for_a_file_of_several_is_refused(workspace: Workspace, tmp_path: Path, given: dict[str, str]) -> None:
    """Rows of the others would become the named one's."""
    lines = [f"{line},BTCUSDT,1h" for line in bar_lines(4)]
    lines += [f"{line},ETHUSDT,4h" for line in bar_lines(4, first=START + 400 * HOUR, step=4 * HOUR)]
    path = write_lines(tmp_path / "all.csv", lines, "timestamp,open,high,low,close,volume,symbol,period")
    (name,) = given
    with pytest.raises(DataError, match=f"one {name} is given, its column '{name}' holds 2") as caught:
        run_import(workspace, path, **given)
    assert f"without --{name}" in caught.value.hint
    assert run_import(workspace, path).rows_accepted == 8


def test_one_symbol_in_two_writings_is_one_symbol(workspace: Workspace, tmp_path: Path) -> None:
    lines = [f"{line},{['BTC/USDT', 'BTCUSDT', 'btc-usdt'][i % 3]}" for i, line in enumerate(bar_lines(24))]
    path = write_lines(tmp_path / "x_1h.csv", lines, "timestamp,open,high,low,close,volume,symbol")
    assert run_import(workspace, path).rows_accepted == 24


def test_a_bad_symbol_in_a_column_is_one_line(workspace: Workspace, tmp_path: Path) -> None:
    lines = [f"{line},what?" for line in bar_lines(3)]
    path = write_lines(tmp_path / "BTC_1h.csv", lines, "timestamp,open,high,low,close,volume,symbol")
    with pytest.raises(DataError, match="cannot be a symbol"):
        run_import(workspace, path)
    bad = write_lines(
        tmp_path / "ETH_1h.csv", [f"{x},1 parsec" for x in bar_lines(3)], "timestamp,open,high,low,close,volume,period"
    )
    with pytest.raises(DataError, match="1 parsec"):
        run_import(workspace, bad)


def test_no_period_anywhere_is_asked_for(workspace: Workspace, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "in" / "BTCUSDT.csv", bar_lines(3))
    with pytest.raises(DataError, match="which bar period") as caught:
        run_import(workspace, path)
    assert "--period" in caught.value.hint
    assert run_import(workspace, path, period="1h").rows_accepted == 3


VENDORS = {
    "cryptodatadownload": "Unix Timestamp,Date,Symbol,Open,High,Low,Close,Volume",
    "binance": "open_time,open,high,low,close,volume,close_time,quote_asset_volume,number_of_trades,"
    "taker_buy_base_asset_volume,taker_buy_quote_asset_volume,ignore",
    "yahoo": "Date,High,Low,Open,Close,Volume,Adj Close",
    "investing": "Date,Price,Open,High,Low,Vol.,Change %",
    "nasdaq": "Date,Close/Last,Volume,Open,High,Low",
    "short": "t,o,h,l,c,v",
    "capitals": "DATE,OPEN,HIGH,LOW,CLOSE,VOLUME",
    "ccxt": "timestamp,open,high,low,close,volume",
    "spaced": " Datetime , Open Price , High Price , Low Price , Close Price , Shares ",
}


@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_vendors_column_names(vendor: str) -> None:
    names = VENDORS[vendor].split(",")
    if vendor == "short":
        names[0] = "ts"
    found = map_columns("file", names, []).found
    assert {"open", "high", "low", "close", "volume"} <= set(found)
    assert {"timestamp", "datetime"} & set(found)


def test_extras_of_vendors_are_kept_under_one_name() -> None:
    columns = map_columns("file", VENDORS["binance"].split(","), [])
    assert columns.kept_extras() == {
        "quote_volume": "quote_asset_volume",
        "trades": "number_of_trades",
        "taker_buy_volume": "taker_buy_base_asset_volume",
        "taker_buy_quote_volume": "taker_buy_quote_asset_volume",
    }
    assert columns.ignored == ("close_time", "ignore")


@pytest.mark.parametrize(
    ("names", "volume", "quote"),
    [
        ("volume_btc,volume", "volume_btc", "volume"),
        ("volume,volume_btc", "volume_btc", "volume"),
        ("Volume BTC,Volume USDT", "Volume BTC", "Volume USDT"),
        ("Volume USDT,Volume BTC", "Volume BTC", "Volume USDT"),
        ("Vol_ETH,Vol_EUR", "Vol_ETH", "Vol_EUR"),
        ("volume", "volume", None),
        ("volume_quote,volume_base", "volume_base", "volume_quote"),
        ("amount,vol", "vol", "amount"),
        ("Volume,Volume MA", "Volume", None),
        ("volume,volume_change", "volume", None),
        ("volume_ratio,volume", "volume", None),
        ("Volume ETH,Volume BTC", "Volume ETH", "Volume BTC"),
        ("Volume_(BTC),Volume_(Currency)", "Volume_(BTC)", "Volume_(Currency)"),
        ("vol,volCcy,volCcyQuote", "vol", "volCcyQuote"),
    ],
)
def test_the_volume_is_the_base_currency_s(names: str, volume: str, quote: str | None) -> None:
    found = map_columns("file", ["date", "open", "high", "low", "close", *names.split(",")], []).found
    assert (found["volume"], found.get("quote_volume")) == (volume, quote)


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        ("date,open,high,low,volume", "close"),
        ("date,close,volume", "open, high, low"),
        ("date,open,high,low,close", "volume"),
        ("open,high,low,close,volume", "a time column"),
        ("date,open,high,low,close,Volume USDT", "volume"),
    ],
)
def test_missing_columns_are_named(names: str, missing: str) -> None:
    with pytest.raises(DataError, match=f"no column for {missing}") as caught:
        map_columns("file", names.split(","), [])
    assert "open" in caught.value.hint or "close" in caught.value.hint


def test_extra_columns_are_kept_when_asked_for(workspace: Workspace, tmp_path: Path) -> None:
    lines = [f"{line},{i},{i * 2}" for i, line in enumerate(bar_lines(3))]
    path = write_lines(tmp_path / "BTCUSDT_1h.csv", lines, "timestamp,open,high,low,close,volume,Open Interest,other")
    plain = run_import(workspace, path)
    assert "columns not used: Open Interest, other" in plain.files[0].warnings[0]
    found = run_import(workspace, path, extras=parse_extras(["open_interest:free"]))
    assert stored(workspace, "BTCUSDT")["open_interest"].to_list() == [0, 1, 2]
    assert found.files[0].warnings == ["columns not used: other (keep one with --extra NAME)"]
    with pytest.raises(DataError, match="no column 'basis_points'"):
        run_import(workspace, path, extras=parse_extras(["basis_points"]))
    with pytest.raises(DataError, match="--extra close"):
        run_import(workspace, path, extras={"close": None})


@pytest.mark.parametrize("text", ["Upper", "a:weight", "1x", ""])
def test_extras_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--extra"):
        parse_extras([text])


def test_an_extra_column_that_the_configuration_declares(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.configs / "features.yaml").write_text("extra_columns: {funding: free}\n")
    lines = [f"{line},{i}" for i, line in enumerate(bar_lines(3))]
    path = write_lines(tmp_path / "BTCUSDT_1h.csv", lines, "timestamp,open,high,low,close,volume,Funding")
    assert run_import(workspace, path).files[0].warnings == []
    assert stored(workspace, "BTCUSDT")["funding"].to_list() == [0, 1, 2]
    assert run_import(workspace, write_lines(tmp_path / "ETHUSDT_1h.csv", bar_lines(3))).rows_accepted == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5,134.8", 5134.8),
        ("566.38K", 566_380),
        ("1.2M", 1.2e6),
        ("3b", 3e9),
        ("$12.50", 12.5),
        ("1e-3", 0.001),
        (" 7 ", 7),
        ("-0.5", -0.5),
        ("", None),
        ("-", None),
        ("NULL", None),
        ("NaN", None),
        ("n/a", None),
    ],
)
def test_numbers_as_vendors_write_them(text: str, value: float | None) -> None:
    numbers, bad = parse_numbers(pl.Series([text, "1"]))
    assert numbers[0] == (pytest.approx(value) if value is not None else None)
    assert not bad.any()


@pytest.mark.parametrize("text", ["x", "1.2.3", "12 apples", "1/2", "0x10"])
def test_numbers_that_are_none(text: str) -> None:
    numbers, bad = parse_numbers(pl.Series([text]))
    assert (numbers[0], bad[0]) == (None, True)


def test_timestamp_and_date_must_agree(workspace: Workspace, tmp_path: Path) -> None:
    """Both columns may stand there; a row in which they differ is refused."""
    dates = ["2024-01-01 00:00:00", "2024-01-01 02:00:00", "2024-01-01 02:00:00", "", "2024-01-01 04:00:00"]
    lines = [f"{date},{line}" for date, line in zip(dates, bar_lines(5), strict=True)]
    lines[4] = lines[4].replace(str(START + 4 * HOUR), "")
    header = "date,timestamp,open,high,low,close,volume"
    found = run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", lines, header))
    assert found.files[0].reasons == {"timestamp and date disagree by 1.0 h": 1}
    assert stored(workspace, "BTCUSDT")["timestamp"].to_list() == [START + i * HOUR for i in (0, 2, 3, 4)]
