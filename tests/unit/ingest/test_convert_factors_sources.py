"""`data convert`, factor files (SEMANTICS T5), and bars from sources."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from ingest_world import HOUR, START, stored, write_lines

from tftctl.core.errors import DataError, PluginError, UsageError
from tftctl.core.records import Source, SourceFrame
from tftctl.core.workspace import Workspace
from tftctl.ingest.convert import convert
from tftctl.ingest.factors import import_factors, read_factors
from tftctl.ingest.sources import fetch_bars, source_params
from tftctl.store import Store

TABLE = pl.DataFrame({"symbol": ["A", "B", None], "n": [1, 2, 3], "x": [0.1, 1e-300, None]})
SUFFIXES = (".csv", ".parquet", ".pkl")


def written(path: Path) -> Path:
    """The table as a file, made without the code under test."""
    if path.name.endswith(".csv.gz"):
        path.write_bytes(gzip.compress(TABLE.write_csv().encode()))
    elif path.suffix == ".csv":
        TABLE.write_csv(path)
    elif path.suffix == ".parquet":
        TABLE.write_parquet(path)
    else:
        TABLE.to_pandas().to_pickle(path)
    return path


@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("source", [*SUFFIXES, ".csv.gz"])
def test_every_direction(tmp_path: Path, source: str, target: str) -> None:
    """Values and types come back to the last bit."""
    middle = tmp_path / f"out{target}"
    assert convert(written(tmp_path / f"in{source}"), middle, trust_pickle=True, force=False) == 3
    back = tmp_path / "back.parquet"
    convert(middle, back, trust_pickle=True, force=False)
    assert pl.read_parquet(back).equals(TABLE)
    assert not list(tmp_path.glob(".*"))


def test_an_output_that_is_there_is_kept_without_force(tmp_path: Path) -> None:
    source, output = written(tmp_path / "a.csv"), tmp_path / "b.csv"
    output.write_text("precious")
    with pytest.raises(DataError, match="exists already"):
        convert(source, output, trust_pickle=False, force=False)
    assert output.read_text() == "precious"
    convert(source, output, trust_pickle=False, force=True)
    assert pl.read_csv(output).height == 3


def test_what_cannot_be_converted(tmp_path: Path) -> None:
    source = written(tmp_path / "a.csv")
    (tmp_path / "bad.parquet").write_text("plain text")
    (tmp_path / "bad.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n" * 99)[:20])
    written(tmp_path / "a.pkl")
    cases = [
        (source, "x.json", UsageError, "which format"),
        (source, "x.csv.gz", UsageError, "compressed"),
        (tmp_path / "absent.csv", "x.csv", DataError, "does not exist"),
        (tmp_path / "absent.pkl", "x.csv", DataError, "runs code"),
        (tmp_path / "a.pkl", "x.csv", DataError, "runs code"),
        (tmp_path / "bad.parquet", "x.csv", DataError, "cannot be read"),
        (tmp_path / "bad.csv.gz", "x.csv", DataError, "cannot be read"),
        (source, "none/x.csv", DataError, "cannot write"),
        (source, "none/x.parquet", DataError, "cannot write"),
        (source, "none/x.pkl", DataError, "cannot write"),
    ]
    before = sorted(path.name for path in tmp_path.iterdir())
    for path, output, error, message in cases:
        with pytest.raises(error, match=message):
            convert(path, tmp_path / output, trust_pickle=False, force=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_factors_with_and_without_a_header(tmp_path: Path) -> None:
    """T5: date, dividend factor, split factor; a reference price is left alone."""
    lines = ["20200630,0.5,0.25", "20240101,1,1"]
    plain = read_factors(write_lines(tmp_path / "a.csv", [f"{line},101" for line in lines], None))
    swapped = [",".join((line.split(",")[2], line.split(",")[0], line.split(",")[1])) for line in reversed(lines)]
    named = read_factors(write_lines(tmp_path / "b.csv", swapped, "Split Factor,Date,Price Factor"))
    assert plain.equals(named)
    assert plain.rows() == [(1593475200000, 0.5, 0.25), (START, 1, 1)]


def test_factors_with_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    lines = ["30.06.2020;0,5;0,25", "31.12.2024;1;1"]
    found = read_factors(write_lines(tmp_path / "a.csv", lines, "date;price_factor;split_factor"))
    assert found.rows() == [(1593475200000, 0.5, 0.25), (1735603200000, 1, 1)]


def test_two_files_of_one_symbol_s_factors_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    for name in ("a/aapl.csv", "b/AAPL.csv"):
        write_lines(tmp_path / name, ["20200630,1,1"], None)
    with pytest.raises(DataError, match="another file holds factors of AAPL"):
        import_factors(Store(workspace.store), [tmp_path])


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_other_delimiters_are_converted_as_columns(tmp_path: Path, mark: str) -> None:
    TABLE.write_csv(tmp_path / "a.csv", separator=mark)
    convert(tmp_path / "a.csv", tmp_path / "b.parquet", trust_pickle=False, force=False)
    assert pl.read_parquet(tmp_path / "b.parquet").equals(TABLE)


def test_an_index_survives_a_conversion(tmp_path: Path) -> None:
    """pandas' times are often an index without a name."""
    index = pd.date_range("2024-01-01", periods=3, freq="h")
    pd.DataFrame({"close": [1.0, 2.0, 3.0]}, index=index).to_pickle(tmp_path / "a.pkl")
    convert(tmp_path / "a.pkl", tmp_path / "a.parquet", trust_pickle=True, force=False)
    assert pl.read_parquet(tmp_path / "a.parquet")["index"].dt.hour().to_list() == [0, 1, 2]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["20200630,0.5"], "no header and 2 columns"),
        (["20200630,inf,1"], "not above zero and finite"),
        (["20200630,0,1"], "not above zero"),
        (["20200630,-1,1"], "not above zero"),
        (["20200630,1,1", "20200630,1,2"], "two lines of factors"),
        (["soon,1,1"], "no readable factors"),
        (["20200630,x,1"], "no readable factors"),
        (["date,price_factor", "20200630,1"], "no column split_factor"),
        (["date,price_factor,split_factor"], "a header and no rows"),
        ([], "a.csv"),
    ],
)
def test_factors_that_are_none(workspace: Workspace, tmp_path: Path, lines: list[str], message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=message):
        import_factors(Store(workspace.store), [path])


def test_a_factor_file_replaces_the_symbol_s_factors(workspace: Workspace, tmp_path: Path) -> None:
    """T5: it is written anew at each split, so an old date must not stay."""
    store = Store(workspace.store)
    import_factors(store, [write_lines(tmp_path / "a" / "aapl.csv", ["20200630,1,1", "20210101,1,1"], None)])
    import_factors(store, [write_lines(tmp_path / "a" / "ibm.csv", ["20200630,1,1"], None)])
    import_factors(store, [write_lines(tmp_path / "b" / "aapl.csv", ["20200701,0.5,0.25", "20240101,1,1"], None)])
    with store.read() as snapshot:
        rows = snapshot.scan("factors", "1d").collect().sort("symbol", "timestamp")
    assert rows.select("symbol", "split_factor").rows() == [("AAPL", 0.25), ("AAPL", 1), ("IBM", 1)]


def bars(rows: int = 3, **columns: Any) -> pl.DataFrame:
    """What a source gives."""
    return pl.DataFrame(
        {
            "timestamp": [START + i * HOUR for i in range(rows)],
            **{name: [1.0] * rows for name in ("open", "high", "low", "close", "volume")},
            **columns,
        }
    )


def source_of(*frames: SourceFrame, error: Exception | None = None, provides: Any = "bars") -> Source:
    """A source that gives these frames, then fails if asked to."""

    def fetch(_: Any) -> Iterator[SourceFrame]:
        yield from frames
        if error is not None:
            raise error

    return Source(name="mine", summary="test", provides=provides, fetch=fetch)


def fetch(workspace: Workspace, source: Source) -> Any:
    """Into the workspace's store."""
    return fetch_bars(Store(workspace.store), workspace.reports, source, source_params(source, []))


def test_a_source_s_bars_are_checked_like_a_file_s(workspace: Workspace) -> None:
    found = fetch(workspace, source_of(SourceFrame("BTCUSDT", "1h", bars(4, low=[1.0, 2.0, float("nan"), 1.0]))))
    assert (found.rows, found.rows_accepted, found.rows_rejected) == (4, 2, 2)
    assert stored(workspace, "BTCUSDT").height == 2
    (folder,) = (workspace.reports / "imports").iterdir()
    assert "a blank or NaN inside the row" in (folder / "rejects.csv").read_text()
    assert found.warnings[0].startswith("BTCUSDT 1h: 2 rows refused: ")
    again = fetch(workspace, source_of(SourceFrame("BTCUSDT", "1h", bars(2))))
    assert (again.rows_accepted, again.duplicates) == (1, 1)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (SourceFrame("BTCUSDT", "1h", bars().drop("close")), "has no column close"),
        (SourceFrame("BTCUSDT", "1h", bars().drop("timestamp")), "has no column timestamp"),
        (SourceFrame("BTCUSDT", "1h", bars(**{"Bad Name": [1.0] * 3})), "Bad Name"),
        (SourceFrame("BTCUSDT", "1h", bars(close=["x", "y", "z"])), "mine"),
        (SourceFrame("BTCUSDT", "1h", bars(timestamp=["x", "y", "z"])), "mine"),
        (SourceFrame("BTCUSDT", "1 parsec", bars()), "mine"),
        (SourceFrame("BTCUSDT", "1h", bars(), calendar="MARS"), "mine"),
        (SourceFrame("BTCUSDT", "1h", None), "mine"),  # type: ignore[arg-type]
        (SourceFrame("BTC/USDT;", "1h", bars()), "mine"),
        ("no frame", "mine"),
    ],
)
def test_a_source_that_breaks_its_contract_is_named(workspace: Workspace, frame: Any, message: str) -> None:
    """Nothing of it is stored, also not the good frame before."""
    good = SourceFrame("ETHUSDT", "1h", bars())
    with pytest.raises(PluginError, match=message):
        fetch(workspace, source_of(good, frame))
    with Store(workspace.store).read() as snapshot:
        assert not snapshot.has("bars")
    assert not workspace.reports.exists()


def test_a_fetch_of_which_nothing_is_accepted_fails(workspace: Workspace) -> None:
    with pytest.raises(
        DataError, match="no row was accepted; BTCUSDT 1h: 3 rows refused: an infinite number"
    ) as caught:
        fetch(workspace, source_of(SourceFrame("BTCUSDT", "1h", bars(3, volume=[float("inf")] * 3))))
    (folder,) = (workspace.reports / "imports").iterdir()
    assert str(folder / "rejects.csv") in caught.value.hint
    with Store(workspace.store).read() as snapshot:
        assert snapshot.number == 0


def test_a_basis_that_there_is_not(workspace: Workspace) -> None:
    odd: Any = "adjusted"
    with pytest.raises(PluginError, match="basis is 'adjusted', not one of raw, split, total"):
        fetch(workspace, source_of(SourceFrame("BTCUSDT", "1h", bars(3), basis=odd)))


def test_a_source_s_other_market_is_not_spliced_to_the_first(workspace: Workspace) -> None:
    """T7: a synthetic market of another seed has nothing to do with the stored one."""
    fetch(workspace, source_of(SourceFrame("SYN", "1h", bars(30))))
    other = bars(40).with_columns(pl.col("open", "high", "low", "close") * 2)
    with pytest.raises(DataError, match="source mine, SYN 1h: 29 of the 29 times") as caught:
        fetch(workspace, source_of(SourceFrame("SYN", "1h", other)))
    assert "tftctl data fetch mine --prefer new" in caught.value.hint
    assert stored(workspace, "SYN").height == 30


def test_a_source_that_fails_or_gives_nothing(workspace: Workspace) -> None:
    frame = SourceFrame("BTCUSDT", "1h", bars())
    with pytest.raises(PluginError, match="mine failed: ValueError: no network"):
        fetch(workspace, source_of(frame, error=ValueError("no network")))
    with pytest.raises(DataError, match="gave nothing"):
        fetch(workspace, source_of())
    with pytest.raises(UsageError, match="gives macro series"):
        fetch(workspace, source_of(frame, provides="macro"))
    with pytest.raises(UsageError, match="no = in it"):
        source_params(source_of(frame), ["days"])
    with pytest.raises(UsageError):
        source_params(source_of(frame), ["days=3"])
    with Store(workspace.store).read() as snapshot:
        assert not snapshot.has("bars")
