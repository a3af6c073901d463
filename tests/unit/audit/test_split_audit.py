"""`audit splits`: a training's parts share nothing, and a planted defect of each kind is found (SEMANTICS S4, S5)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import numpy as np
import pytest
from training_world import prepare

from tftctl.audit.findings import Audit
from tftctl.audit.splits import audit_splits
from tftctl.cli.app import main
from tftctl.core.workspace import Workspace
from tftctl.data.assemble import Prepared
from tftctl.store import Snapshot, Store


@pytest.fixture(scope="module")
def prepared(market: Workspace) -> Prepared:
    """Windows of the market, with an embargo."""
    return prepare(market, "embargo=6h")


@pytest.fixture(scope="module")
def snapshot(market: Workspace) -> Iterator[Snapshot]:
    """What they were made from."""
    with Store(market.store).read() as found:
        yield found


def found(prepared: Prepared, snapshot: Snapshot) -> set[tuple[str, str]]:
    """(check, class) of every finding that fails the audit."""
    return {(f.check, f.kind) for f in audit_splits(prepared, snapshot).findings if f.verdict == "FAIL"}


def with_splits(prepared: Prepared, **parts: np.ndarray) -> Prepared:
    """Other rows in some parts."""
    return dataclasses.replace(prepared, splits={**prepared.splits, **parts})


def with_spec(prepared: Prepared, **values: object) -> Prepared:
    """Another specification."""
    return dataclasses.replace(prepared, spec=prepared.spec.model_copy(update=values))


def test_a_training_shares_nothing(prepared: Prepared, snapshot: Snapshot) -> None:
    """PASS, with what that means, and every group's rows accounted for."""
    audit = audit_splits(prepared, snapshot)
    assert (audit.verdict, audit.findings, audit.exit_code(strict=True)) == ("PASS", (), 0)
    groups = audit.facts["groups"]
    assert len(groups) == len(prepared.panel.groups)
    for part in ("train", "val", "test"):
        assert sum(group[part] for group in groups) == prepared.splits[part].size  # type: ignore[index]
    panel, spec = prepared.panel, prepared.spec
    for number, group in enumerate(groups):
        rows = [row for row in range(panel.rows) if panel.group[row] == number and np.isfinite(panel.labels[row]).any()]
        t0, t1 = panel.available_at, panel.last_label_end()
        assert group["purged_at_train_end"] == sum(t0[row] < spec.train_end < t1[row] for row in rows) > 0
        late = [row for row in rows if 0 <= t0[row] - spec.val_end < spec.embargo_ms]
        assert group["embargoed_after_val_end"] == len(late) > 0


def test_a_label_that_reaches_over_a_cut_is_found(prepared: Prepared, snapshot: Snapshot) -> None:
    """One training row too many among thousands."""
    panel, spec = prepared.panel, prepared.spec
    begin = panel.available_at[prepared.splits["val"]].min()
    over = np.flatnonzero((panel.available_at < spec.train_end) & (panel.last_label_end() > begin))[:1]
    planted = with_splits(prepared, train=np.append(prepared.splits["train"], over))
    audit = audit_splits(planted, snapshot)
    assert found(planted, snapshot) == {("overlap", "label span over a cut")}
    finding = audit.findings[0]
    group = panel.groups[int(panel.group[over[0]])]
    assert (finding.symbol, finding.period) == (group.symbol, group.period)
    assert audit.exit_code(strict=False) == 5


def test_an_origin_within_the_embargo_is_found(prepared: Prepared, snapshot: Snapshot) -> None:
    """The first validation row after the cut, which the embargo keeps out."""
    panel, spec = prepared.panel, prepared.spec
    inside = np.flatnonzero(
        (panel.available_at >= spec.train_end) & (panel.available_at < spec.train_end + 6 * 3_600_000)
    )
    planted = with_splits(prepared, val=np.append(prepared.splits["val"], inside[:1]))
    assert ("embargo", "origin within the embargo") in found(planted, snapshot)


def test_an_origin_in_two_parts_is_found(prepared: Prepared, snapshot: Snapshot) -> None:
    """As every other row of a variable-length dataset of pytorch-forecasting is."""
    twice = prepared.splits["train"][:1]
    planted = with_splits(prepared, train=np.append(prepared.splits["train"], twice))
    assert found(planted, snapshot) == {("duplicates", "duplicate forecast origin")}


def test_statistics_over_later_data_are_found(prepared: Prepared, snapshot: Snapshot) -> None:
    """Means over all rows instead of those before the cut, of one input and of one target's labels."""
    panel, spec = prepared.panel, prepared.spec
    rows = [panel.periods()[group] == spec.periods[0] for group in panel.group]
    everything = float(np.nanmean(panel.features[rows, 0].astype(np.float64)))
    mean = [list(line) for line in spec.input_mean]
    mean[0][0] = everything
    planted = with_spec(prepared, input_mean=mean)
    assert found(planted, snapshot) == {("inputs", "statistics over later data")}
    groups = list(spec.groups)
    place = [target.kind for target in spec.targets].index("regression")
    centre = list(groups[0].centre)
    centre[place] += 0.01 * groups[0].scale[place]
    groups[0] = groups[0].model_copy(update={"centre": centre})
    labels = with_spec(prepared, groups=groups)
    (finding,) = audit_splits(labels, snapshot).findings
    assert (finding.check, finding.column, finding.symbol) == ("labels", spec.targets[place].name, groups[0].symbol)


def test_an_embedding_that_nothing_trains_is_told(prepared: Prepared, snapshot: Snapshot) -> None:
    """NOT PROVEN where the symbol has rows; a declared one without rows is told and no more."""
    panel = prepared.panel
    symbols = np.array([group.symbol for group in panel.groups])[panel.group[prepared.splits["train"]]]
    planted = with_splits(prepared, train=prepared.splits["train"][symbols != "SYN03"])
    audit = audit_splits(planted, snapshot)
    assert [(f.symbol, f.verdict) for f in audit.findings] == [("SYN03", "NOT PROVEN")]
    assert (audit.exit_code(strict=False), audit.exit_code(strict=True)) == (0, 5)
    declared = with_spec(prepared, symbols=[*prepared.spec.symbols, "SYN09"])
    assert [(f.symbol, f.verdict) for f in audit_splits(declared, snapshot).findings] == [("SYN09", "PASS")]


def test_the_worst_finding_decides() -> None:
    """FAIL before NOT PROVEN before PASS."""
    assert Audit("x", ()).verdict == "PASS"
    assert Audit("x", ()).document() == {"audit": "x", "verdict": "PASS", "findings": [], "checked": []}


def test_the_command_tells_and_exits(market: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """DESIGN 7: one document, exit code 0; a table and the verdict for a reader."""
    for arguments in (["--json"], ["-o", "embargo=6h"]):
        with pytest.raises(SystemExit) as ended:
            main(["-w", str(market.root), "audit", "splits", *arguments])
        assert not ended.value.code
        out, err = capsys.readouterr()
        if "--json" in arguments:
            document = json.loads(out)
            assert (document["verdict"], document["findings"], document["audit"]) == ("PASS", [], "splits")
        else:
            assert "purged_at_train_end" in out.splitlines()[0]
            assert err.splitlines()[-1] == "PASS"
