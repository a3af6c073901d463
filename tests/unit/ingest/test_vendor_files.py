"""Files as exchanges and vendors publish them: what each says is what is stored, or it is refused with its reason."""

from __future__ import annotations

import datetime as dt
import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from ingest_world import DAY, HEADER, HOUR, MINUTE, START, bar_lines, rejects, run_import, stored, write_lines

from tftctl.core.errors import DataError
from tftctl.core.workspace import Workspace

COUNT = 20
Row = tuple[int, float, float, float, float, float]


def rows_of(step: int = HOUR, count: int = COUNT) -> list[Row]:
    """(timestamp, open, high, low, close, volume) with five different values in each row."""
    return [(START + i * step, 100 + i, 102.5 + i, 98.25 + i, 101.75 + i, 7 + i) for i in range(count)]


def text_of(header: str | None, line: Callable[[Row], str], rows: list[Row]) -> str:
    """The file."""
    return "\n".join([*([header] if header else []), *(line(row) for row in rows)]) + "\n"


def at(stamp: int, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A time as text, UTC."""
    return dt.datetime.fromtimestamp(stamp / 1000, dt.UTC).strftime(form)


def comma(value: float) -> str:
    """As Europeans write it: 1.100,50."""
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


# name of the file, header, line of a row, the symbol and the period that it has to be
VENDORS: dict[str, tuple[str, str | None, Callable[[Row], str], str, str]] = {
    "kucoin": ("BTC-USDT_1h.csv", "time,open,close,high,low,volume,turnover",
               lambda r: f"{r[0] // 1000},{r[1]},{r[4]},{r[2]},{r[3]},{r[5]},1", "BTCUSDT", "1h"),
    "okx": ("BTC-USDT-SWAP_1H.csv", "ts,o,h,l,c,vol,volCcy,volCcyQuote,confirm",
            lambda r: f"{r[0]},{r[1]},{r[2]},{r[3]},{r[4]},{r[5]},1,2,1", "BTCUSDT", "1h"),
    "bybit": ("bybit_BTCUSDT_1h.csv", "startTime,openPrice,highPrice,lowPrice,closePrice,volume,turnover",
              lambda r: f"{r[0]},{r[1]},{r[2]},{r[3]},{r[4]},{r[5]},1", "BTCUSDT", "1h"),
    "coinbase": ("BTC-USD_1h.csv", "time,low,high,open,close,volume",
                 lambda r: f"{r[0] // 1000},{r[3]},{r[2]},{r[1]},{r[4]},{r[5]}", "BTCUSD", "1h"),
    "binance futures": ("BTCUSDT-1h-2024-01.csv", "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
                        "taker_buy_volume,taker_buy_quote_volume,ignore",
                        lambda r: f"{','.join(map(str, r))},{r[0] + HOUR - 1},1,2,3,4,0", "BTCUSDT", "1h"),
    "freqtrade": ("BTC_USDT-1h.csv", "date,open,high,low,close,volume",
                  lambda r: f"{at(r[0])}+00:00,{r[1]},{r[2]},{r[3]},{r[4]},{r[5]}", "BTCUSDT", "1h"),
    "freqtrade futures": ("BTC_USDT_USDT-1h-futures.csv", "date,open,high,low,close,volume",
                          lambda r: f"{at(r[0])}+00:00,{r[1]},{r[2]},{r[3]},{r[4]},{r[5]}", "BTCUSDT", "1h"),
    "cryptocompare": ("btc_usd_1h.csv", "time,high,low,open,volumefrom,volumeto,close",
                      lambda r: f"{r[0] // 1000},{r[2]},{r[3]},{r[1]},{r[5]},9,{r[4]}", "BTCUSD", "1h"),
    "two coins": ("Binance_ETHBTC_1h.csv", "unix,date,symbol,open,high,low,close,Volume ETH,Volume BTC",
                  lambda r: f"{r[0]},{at(r[0])},ETH/BTC,{r[1]},{r[2]},{r[3]},{r[4]},{r[5]},999", "ETHBTC", "1h"),
    "tradingview": ("BINANCE_BTCUSDT.P, 1D.csv", "time,open,high,low,close,Volume,Volume MA",
                    lambda r: f"{r[0] // 1000},{r[1]},{r[2]},{r[3]},{r[4]},{r[5]},999", "BTCUSDT.P", "1d"),
    "polygon": ("AAPL_1h.csv", "v,vw,o,c,h,l,t,n",
                lambda r: f"{r[5]},1,{r[1]},{r[4]},{r[2]},{r[3]},{r[0]},9", "AAPL", "1h"),
    "tiingo": ("aapl_1d.csv", "date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,"
               "splitFactor", lambda r: f"{at(r[0], '%Y-%m-%dT%H:%M:%S.000Z')},{r[4]},{r[2]},{r[3]},{r[1]},{r[5]}"
               ",1,1,1,1,1,0,1", "AAPL", "1d"),
    "stooq": ("aapl.us.txt", "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>",
              lambda r: f"AAPL.US,60,{at(r[0], '%Y%m%d,%H%M%S')},{r[1]},{r[2]},{r[3]},{r[4]},{r[5]},0", "AAPL.US",
              "1h"),
    "metatrader 5": ("EURUSD_H1_202401010000_202402010000.csv",
                     "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
                     lambda r: f"{at(r[0], '%Y.%m.%d')}\t{at(r[0], '%H:%M:%S')}\t{r[1]}\t{r[2]}\t{r[3]}\t{r[4]}\t999\t"
                     f"{r[5]}\t2", "EURUSD", "1h"),
    "metatrader 4": ("EURUSD_H1.csv", None,
                     lambda r: f"{at(r[0], '%Y.%m.%d,%H:%M')},{r[1]},{r[2]},{r[3]},{r[4]},{r[5]}", "EURUSD", "1h"),
    "date and clock": ("SPY_15m.csv", "Date,Time,Open,High,Low,Close,Volume",
                       lambda r: f"{at(r[0], '%Y-%m-%d,%I:%M %p')},{r[1]},{r[2]},{r[3]},{r[4]},{r[5]}", "SPY", "15m"),
    "histdata": ("EURUSD_1m.csv", None,
                 lambda r: f"{at(r[0], '%Y%m%d %H%M%S')};{r[1]};{r[2]};{r[3]};{r[4]};{r[5]}", "EURUSD", "1m"),
    "yfinance": ("AAPL_1d.csv", "Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,",
                 lambda r: f"{at(r[0], '%Y-%m-%d')},{r[4]},{r[2]},{r[3]},{r[1]},{r[5]}", "AAPL", "1d"),
    "pandas index": ("BTCUSDT_1h.csv", ",open,high,low,close,volume",
                     lambda r: f"{at(r[0])},{r[1]},{r[2]},{r[3]},{r[4]},{r[5]}", "BTCUSDT", "1h"),
    "price beside close": ("BTCUSDT_1h.csv", "timestamp,price,last,open,high,low,close,volume",
                           lambda r: f"{r[0]},999,999,{r[1]},{r[2]},{r[3]},{r[4]},{r[5]}", "BTCUSDT", "1h"),
    "a company's name": ("KO_1d.csv", "date,open,high,low,close,volume,name",
                         lambda r: f"{at(r[0], '%Y-%m-%d')},{r[1]},{r[2]},{r[3]},{r[4]},{r[5]},Coca-Cola Co.", "KO",
                         "1d"),
    "ticker before name": ("x_1d.csv", "date,open,high,low,close,volume,name,ticker",
                           lambda r: f"{at(r[0], '%Y-%m-%d')},{r[1]},{r[2]},{r[3]},{r[4]},{r[5]},COKE,KO", "KO", "1d"),
    "the day beside": ("BTCUSDT_1h.csv", "timestamp,date,open,high,low,close,volume",
                       lambda r: f"{r[0]},{at(r[0], '%Y-%m-%d')},{r[1]},{r[2]},{r[3]},{r[4]},{r[5]}", "BTCUSDT", "1h"),
    "a header that ends in commas": ("BTCUSDT_1h.csv", "timestamp,open,high,low,close,volume,,",
                                     lambda r: ",".join(map(str, r)), "BTCUSDT", "1h"),
    "blanks and quotes": ("BTCUSDT_1h.csv", "timestamp, open, high, low, close, volume",
                          lambda r: ", ".join(f'"{value}"' for value in r), "BTCUSDT", "1h"),
    "european": ("BTCUSDT_1d.csv", "date;open;high;low;close;volume",
                 lambda r: ";".join([at(r[0], "%d.%m.%Y"), *map(comma, r[1:])]), "BTCUSDT", "1d"),
    "european, wide": ("BTCUSDT_1h.csv", "timestamp;open;high;low;close;volume;a;b;c",
                       lambda r: ";".join([str(r[0]), *map(comma, r[1:]), "0,5", "0,5", "0,5"]), "BTCUSDT", "1h"),
}  # fmt: skip
STEPS = {"1m": MINUTE, "15m": 15 * MINUTE, "1h": HOUR, "1d": DAY}


@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_what_a_vendor_writes_is_what_is_stored(workspace: Workspace, tmp_path: Path, vendor: str) -> None:
    """Nothing is named on the command line; every value of every row is right."""
    name, header, line, symbol, period = VENDORS[vendor]
    rows = rows_of(STEPS[period])
    path = tmp_path / "in" / name
    path.parent.mkdir()
    path.write_text(text_of(header, line, rows))
    (file,) = run_import(workspace, path).files
    assert (file.symbol, file.period, file.rows_accepted) == (symbol, period, COUNT), (file.error, file.reasons)
    columns = ("timestamp", "open", "high", "low", "close", "volume")
    assert stored(workspace, symbol, period).select(columns).rows() == rows


@pytest.mark.parametrize("price", [0.5, 12.25, 1234.5, 1_234_567.25])
def test_european_numbers_of_any_size(workspace: Workspace, tmp_path: Path, price: float) -> None:
    """100,5 is no thousand and five: a comma that groups no three digits is a decimal one."""
    lines = [f"{START + i * HOUR};{';'.join([comma(price)] * 4)};1" for i in range(4)]
    run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", lines, "timestamp;open;high;low;close;volume"))
    assert stored(workspace, "BTCUSDT")["close"].to_list() == [price] * 4


def test_decimals_or_thousands_that_nothing_decides_refuse_the_file(workspace: Workspace, tmp_path: Path) -> None:
    lines = [f'{START + i * HOUR},"5,000","6,000","4,000","5,500",7' for i in range(4)]
    with pytest.raises(DataError, match=r"BTCUSDT_1h.csv: '5,000': decimals or thousands"):
        run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", lines))
    lines[0] = lines[0].replace('"5,500"', '"5,500.5"')
    assert run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", lines)).rows_accepted == 4
    assert stored(workspace, "BTCUSDT")["close"].to_list() == [5500.5, 5500, 5500, 5500]


def test_one_comma_where_points_are_the_rule_is_refused_by_line(workspace: Workspace, tmp_path: Path) -> None:
    lines = bar_lines(6)
    lines[2] = lines[2].replace("102.0", '"102,5"')
    found = run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", lines))
    assert rejects(found) == [(4, "unreadable number")]
    assert found.rows_accepted == 5


@pytest.mark.parametrize(
    ("header", "fields"),
    [("open,close,high,low,volume", 6), ("timestamp,open,close,high,low,volume,extra", 6)],
    ids=["shorter", "longer"],
)
def test_a_header_of_another_width_is_no_comment(
    workspace: Workspace, tmp_path: Path, header: str, fields: int
) -> None:
    """Without it, the fields would be taken in the usual order, which this header denies."""
    with pytest.raises(DataError, match=f"its header .line 1. has . names, its rows have {fields} fields"):
        run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", bar_lines(5), header))


@pytest.mark.parametrize("comments", [1, 30, 80])
def test_any_number_of_comments_on_top(workspace: Workspace, tmp_path: Path, comments: int) -> None:
    """More of them than rows, and some that look like a header."""
    lines = [*(f"# {i}, open, high, low, close of the day" for i in range(comments)), HEADER, *bar_lines(5)]
    found = run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", lines, "Exported,by,a,tool,in,2024"))
    assert (found.rows_accepted, found.rows_rejected) == (5, 0)


def test_a_row_without_its_symbol_is_refused_by_line(workspace: Workspace, tmp_path: Path) -> None:
    """The others of its file are kept, and it does not become the file's."""
    cells = ["BTC/USDT", "", "BTCUSDT", "??", "btc-usdt", "BTCUSDT", "ETHUSDT"]
    lines = [f"{line},{cell}" for line, cell in zip(bar_lines(7), cells, strict=True)]
    lines.append(lines[6] + ",1")
    path = write_lines(tmp_path / "all_1h.csv", lines, f"{HEADER},symbol")
    found = run_import(workspace, path)
    assert sorted(rejects(found)) == [
        (3, "no symbol in its row"),
        (5, "'??' cannot be a symbol"),
        (9, "wrong number of fields"),
    ]
    assert {(f.symbol, f.rows_accepted) for f in found.files} == {("BTCUSDT", 4), ("ETHUSDT", 1), (None, 0)}
    named = run_import(workspace, path.rename(tmp_path / "BTCUSDT_1h.csv"))
    assert {(f.symbol, f.rows_read, f.rows_accepted) for f in named.files} == {
        ("BTCUSDT", 5, 1),
        ("ETHUSDT", 1, 0),
        (None, 2, 0),
    }
    with pytest.raises(DataError, match="2 rows name no symbol or period, and --strict"):
        run_import(workspace, tmp_path / "BTCUSDT_1h.csv", strict=True)


def test_unquoted_decimal_commas_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    lines = [f"{START + i * HOUR},1,5,2,5,0,5,1,5,1,5" for i in range(5)]
    with pytest.raises(DataError, match="6 names, its rows have 11 fields"):
        run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", lines))


@pytest.mark.parametrize("twice", ["close,close", "Close,close"])
def test_two_columns_of_one_name_are_refused(workspace: Workspace, tmp_path: Path, twice: str) -> None:
    header = f"timestamp,open,high,low,{twice},volume"
    lines = [f"{START + i * HOUR},1,2,0.5,1,1.5,1" for i in range(3)]
    with pytest.raises(DataError, match="has two columns 'close'"):
        run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", lines, header))


def test_a_bar_that_its_file_calls_unfinished_is_not_stored(workspace: Workspace, tmp_path: Path) -> None:
    """T1: exchanges mark the running bar."""
    lines = [f"{line},{flag}" for line, flag in zip(bar_lines(3), ("1", "true", "0"), strict=True)]
    path = write_lines(tmp_path / "BTCUSDT_1h.csv", lines, "ts,o,h,l,c,vol,confirm")
    found = run_import(workspace, path)
    assert rejects(found) == [(4, "unfinished, as its file says")]


@pytest.mark.parametrize("text", ["60", "1H", "PT1H", "1hour", "1 hour", "H1", "60min", "hourly"])
def test_one_hour_in_a_column(workspace: Workspace, tmp_path: Path, text: str) -> None:
    lines = [f"{line},{text}" for line in bar_lines(5)]
    header = "timestamp,open,high,low,close,volume,timeframe"
    (file,) = run_import(workspace, write_lines(tmp_path / "BTCUSDT.csv", lines, header)).files
    assert (file.period, file.rows_accepted) == ("1h", 5)


@pytest.mark.parametrize("name", ["BTCUSDT_1M.csv", "EURUSD_MN1.csv"])
def test_months_are_not_minutes(workspace: Workspace, tmp_path: Path, name: str) -> None:
    lines = [f"2023-{month:02}-01,1,2,0.5,1,1" for month in range(1, 9)]
    with pytest.raises(DataError, match="stands for months"):
        run_import(workspace, write_lines(tmp_path / name, lines))


def test_the_hint_names_the_distance_of_the_bars(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="which bar period") as caught:
        run_import(workspace, write_lines(tmp_path / "AAPL.csv", bar_lines(6, step=DAY)))
    assert "--period 1d" in caught.value.hint


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(workspace: Workspace, tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "EURUSD_1h.csv"
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    path.write_bytes(mark + end.join(["timestamp,open,high,low,close,volume", *bar_lines(4)]).encode(encoding))
    assert run_import(workspace, path).rows_accepted == 4


def test_packed_or_not_whatever_the_suffix_says(workspace: Workspace, tmp_path: Path) -> None:
    """Browsers unpack a .csv.gz on the way and keep its name."""
    plain = write_lines(tmp_path / "a.csv", bar_lines(4)).read_bytes()
    (tmp_path / "BTCUSDT_1h.csv.gz").write_bytes(plain)
    (tmp_path / "ETHUSDT_1h.csv").write_bytes(gzip.compress(plain))
    found = run_import(workspace, tmp_path / "BTCUSDT_1h.csv.gz", tmp_path / "ETHUSDT_1h.csv")
    assert [file.rows_accepted for file in found.files] == [4, 4]


@pytest.mark.parametrize("suffix", [".json", ".xlsx", ".feather", ".html"])
def test_a_format_that_is_not_read_is_named(workspace: Workspace, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"BTCUSDT_1h{suffix}"
    path.write_text("[[1704067200000,1,2,0.5,1,3]]")
    with pytest.raises(DataError, match=f"{suffix} files are not read"):
        run_import(workspace, path)


def test_members_of_a_zip_are_files_of_their_own(workspace: Workspace, tmp_path: Path) -> None:
    """Each has its own name; one that is no table does not keep the others out."""
    path = tmp_path / "all.zip"
    text = "\n".join(["timestamp,open,high,low,close,volume", *bar_lines(4)])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("BTCUSDT_1h.csv", text)
        archive.writestr("1h/ETH-USDT.csv", text)
        archive.writestr("README.txt", "not a table")
    found = run_import(workspace, path)
    assert {(f.path.split(":")[-1], f.symbol, f.rows_accepted) for f in found.files} == {
        ("BTCUSDT_1h.csv", "BTCUSDT", 4),
        ("1h/ETH-USDT.csv", "ETHUSDT", 4),
        ("README.txt", None, 0),
    }


def test_what_a_mac_adds_to_a_zip_is_left_alone(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT_1h.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.csv", "\n".join(["timestamp,open,high,low,close,volume", *bar_lines(4)]))
        archive.writestr("__MACOSX/._data.csv", bytes(range(256)))
    found = run_import(workspace, path)
    assert [(file.symbol, file.rows_accepted) for file in found.files] == [("BTCUSDT", 4)]


def _named(frame: pd.DataFrame, path: Path) -> None:
    write = frame.to_pickle if path.suffix == ".pkl" else frame.to_parquet
    write(path)


@pytest.mark.parametrize("suffix", [".pkl", ".parquet"])
@pytest.mark.parametrize("kind", ["times", "numbers"])
def test_an_index_without_a_name_is_not_lost(workspace: Workspace, tmp_path: Path, suffix: str, kind: str) -> None:
    index: Any = pd.date_range("2024-01-01", periods=4, freq="h", tz="UTC")
    if kind == "numbers":
        index = [START + i * HOUR for i in range(4)]
    frame = pd.DataFrame({"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 3}, index=index)
    path = tmp_path / f"BTCUSDT_1h{suffix}"
    _named(frame, path)
    assert run_import(workspace, path, trust_pickle=True).rows_accepted == 4
    assert stored(workspace, "BTCUSDT")["timestamp"].to_list() == [START + i * HOUR for i in range(4)]


@pytest.mark.parametrize(
    ("form", "name", "period"), [("%Y%m%d", "AAPL_1d.parquet", "1d"), ("%Y%m%d%H%M", "AAPL_1h.parquet", "1h")]
)
def test_dates_that_are_stored_as_numbers(
    workspace: Workspace, tmp_path: Path, form: str, name: str, period: str
) -> None:
    """20240111 is a date, not August 1970."""
    rows = rows_of(STEPS[period])
    frame = pl.DataFrame({"trade_date": [int(at(row[0], form)) for row in rows]}).with_columns(
        open=1.0, high=2.0, low=0.5, close=1.5, volume=3.0
    )
    frame.write_parquet(tmp_path / name)
    run_import(workspace, tmp_path / name)
    assert stored(workspace, "AAPL", period)["timestamp"].to_list() == [row[0] for row in rows]


def test_typed_dates_and_clocks_are_joined(workspace: Workspace, tmp_path: Path) -> None:
    moments = [dt.datetime.fromtimestamp(row[0] / 1000, dt.UTC) for row in rows_of()]
    frame = pl.DataFrame({"Date": [m.date() for m in moments], "Time": [m.time() for m in moments]}).with_columns(
        open=1.0, high=2.0, low=0.5, close=1.5, volume=3.0
    )
    frame.write_parquet(tmp_path / "BTCUSDT_1h.parquet")
    run_import(workspace, tmp_path / "BTCUSDT_1h.parquet")
    assert stored(workspace, "BTCUSDT")["timestamp"].to_list() == [row[0] for row in rows_of()]


def test_an_open_quotation_mark_costs_its_own_line_only(workspace: Workspace, tmp_path: Path) -> None:
    lines = bar_lines(8)
    lines[3] = '"' + lines[3]
    found = run_import(workspace, write_lines(tmp_path / "BTCUSDT_1h.csv", lines))
    assert rejects(found) == [(5, "wrong number of fields")]
    assert found.rows_accepted == 7


@pytest.mark.parametrize(
    ("header", "basis", "said"),
    [
        ("Date,Open,High,Low,Close,Volume,Adj Close", "split", "adjusted for splits"),
        ("Date,Open,High,Low,Close,Volume,splitFactor", "raw", "adjustments apart"),
        ("Date,Open,High,Low,Close,Volume,unadjustedVolume", "raw", "unadjusted_volume speaks of adjusted"),
    ],
)
def test_what_a_file_says_of_its_basis(
    workspace: Workspace, tmp_path: Path, header: str, basis: str, said: str
) -> None:
    """T5: assumed and said, unless --basis names it."""
    path = write_lines(tmp_path / "AAPL_1d.csv", [f"{line},1" for line in bar_lines(12, step=DAY)], header)
    (file,) = run_import(workspace, path).files
    assert any(said in note for note in file.warnings)
    other = "split" if basis == "raw" else "raw"
    assert f"stored with {basis} prices" in str(run_import(workspace, path, basis=other).files[0].error)
    (file,) = run_import(workspace, path, symbol="OTHER", basis=other).files
    assert not any("prices taken" in note for note in file.warnings)
