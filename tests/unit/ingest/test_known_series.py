"""Ready-made declarations fit the files that they are for (SEMANTICS T6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tftctl.core.errors import UsageError
from tftctl.core.times import iso, parse_iso
from tftctl.core.workspace import Workspace
from tftctl.ingest.known_series import KNOWN, fitting, known_series
from tftctl.start.data_jobs import macro_job
from tftctl.store import Store

FILES = {
    "fred_M2SL.csv": "M2SL",
    "fred_FEDFUNDS.csv": "FEDFUNDS",
    "fred_WALCL.csv": "WALCL",
    "fred_DGS10.csv": "DGS10",
    "fred_DTWEXBGS.csv": "DTWEXBGS",
    "fred_VIXCLS.csv": "VIXCLS",
    "vix_daily_ohlc.csv": "VIX",
    "us10y_monthly.csv": "US10Y_MONTHLY",
    "fear_greed.csv": "FEAR_GREED",
    "dxy.csv": "DXY",
    "btc_etf_flows.csv": "BTC_ETF_FLOWS",
}


@pytest.mark.shared
@pytest.mark.parametrize(("file", "identifier"), FILES.items())
def test_every_shared_series_has_one(workspace: Workspace, shared_data: Path, file: str, identifier: str) -> None:
    """The file's name finds it, and the file is read without further words."""
    assert fitting(Path(file).stem) == identifier
    found = macro_job(workspace, shared_data / "macro" / file, None, {}, like=identifier)
    assert found.rows_accepted > 300
    with Store(workspace.store).read() as snapshot:
        assert list(snapshot.meta("macro")["series"]) == [KNOWN[identifier].name]


def test_money_is_known_four_weeks_after_its_month(workspace: Workspace, tmp_path: Path) -> None:
    """M2 of January is published on the fourth Tuesday of February: not before 2024-02-27, here on the 29th."""
    path = tmp_path / "M2SL.csv"
    path.write_text("date,value\n2023-12-01,20.7\n2024-01-01,20.8\n2024-02-01,20.8\n")
    macro_job(workspace, path, None, {}, like="m2sl")
    with Store(workspace.store).read() as snapshot:
        rows = snapshot.scan("macro").collect()
    assert [iso(at) for at in rows["available_at"]][1] == iso(parse_iso("2024-02-29"))


def test_words_on_the_command_line_win(workspace: Workspace, tmp_path: Path) -> None:
    """What is given is taken; the rest comes from the declaration."""
    path = tmp_path / "M2SL.csv"
    path.write_text("date,value\n2023-12-01,20.7\n2024-01-01,20.8\n2024-02-01,20.8\n")
    macro_job(workspace, path, "money", {"release_lag": "35d"}, like="M2SL")
    with Store(workspace.store).read() as snapshot:
        declared = snapshot.meta("macro")["series"]["money"]
    assert (declared["release_lag"], declared["frequency"]) == ("35d", "1mo")


def test_bad_names(workspace: Workspace, tmp_path: Path) -> None:
    """STYLE 12: the nearest match, and a declaration that a file's name suggests."""
    with pytest.raises(UsageError, match="'M2SLL'") as error:
        known_series("M2SLL")
    assert "M2SL" in error.value.hint
    path = tmp_path / "fred_WALCL.csv"
    path.write_text("date,value\n2024-01-03,1\n")
    with pytest.raises(UsageError) as error:
        macro_job(workspace, path, None, {})
    assert "--like WALCL" in error.value.hint
