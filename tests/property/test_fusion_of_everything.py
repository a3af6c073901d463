"""The whole of the real crypto bars, as a user imports and builds them, against DuckDB's ASOF join (F4)."""

from __future__ import annotations

from pathlib import Path

import duckdb
import polars as pl
import pytest

from tftctl.core.periods import period_ms
from tftctl.features.build import build
from tftctl.ingest.importer import ImportOptions, import_bars
from tftctl.plugins import load_registry
from tftctl.start.scaffold import create_workspace
from tftctl.store import Store

# 24x7: bars due since the matched one are whole periods since it became available
ASOF = """
select f.symbol, f.timestamp,
    case when (f.available_at - d.available_at) // {length} <= 1 then d."{column}" end as value,
    (f.available_at - d.available_at) / 3600000.0 as age
from fast f asof left join (select * from slow where not is_filled) d
    on f.symbol = d.symbol and f.available_at >= d.available_at
order by f.symbol, f.timestamp
"""


@pytest.fixture(scope="module")
def everything(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    from tftctl.core.config.loading import load_features_config
    from tftctl.core.workspace import open_workspace

    root = tmp_path_factory.mktemp("everything")
    create_workspace(root)
    workspace = open_workspace(root)
    store = Store(workspace.store)
    folders = [shared_data / "crypto" / period for period in ("1h", "4h", "1d")]
    import_bars(store, workspace.reports, folders, ImportOptions())
    build(store, load_features_config(workspace), load_registry(workspace))
    return store


@pytest.mark.shared
@pytest.mark.parametrize(("fast", "slow"), [("1h", "4h"), ("1h", "1d"), ("4h", "1d")])
def test_every_context_value_equals_the_asof_join(everything: Store, fast: str, slow: str) -> None:
    with everything.read() as snapshot:
        fused = snapshot.scan("fused", fast).collect().sort("symbol", "timestamp")
        features = snapshot.scan("features", slow).collect()
        described = snapshot.meta("fused")["columns"]
    context = [
        name for name, entry in described.items() if entry["role"] == "context" and entry["context_period"] == slow
    ]
    assert len(context) == 13
    with duckdb.connect() as connection:
        connection.register("fast", fused.select("symbol", "timestamp", "available_at").to_arrow())
        connection.register("slow", features.to_arrow())
        for name in context:
            query = ASOF.format(length=period_ms(slow), column=described[name]["source"])
            expected = pl.from_arrow(connection.sql(query).to_arrow_table())
            assert expected["value"].cast(pl.Float32).equals(fused[name].rename("value"), null_equal=True), name
            assert expected["value"].drop_nulls().len() > 0.8 * expected.height
    assert expected["age"].cast(pl.Float32).equals(fused[f"age__{slow}"].rename("age"), null_equal=True)
