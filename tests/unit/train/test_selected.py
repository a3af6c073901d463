"""What a training says of the selection of its inputs, and which one it refuses (SEMANTICS A4)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from run_world import make_run, rows_of
from training_world import DAY, HOUR, market, prepare
from typer.testing import CliRunner

from tftctl.cli.app import app
from tftctl.core.config.loading import load_model_config
from tftctl.core.errors import DataError
from tftctl.core.times import iso
from tftctl.core.workspace import Workspace
from tftctl.data.allowlist import Allowlist, Provenance
from tftctl.features.verdict import data_mark
from tftctl.store import Store
from tftctl.train.rundir import Run
from tftctl.train.selected import (
    overlaps,
    require_before,
    require_selected,
    selection_facts,
    selection_words,
    tell_selection,
    training_end,
)

END = 19_000 * DAY
LISTED = Path("configs/selected_features.txt")
MADE = Provenance("tftctl select run-pipeline", 1, "elsewhere", END, END, ("target_a",), ("1h", "4h"), END + 5)


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The tiny market; read only."""
    return market(tmp_path_factory)


@pytest.mark.parametrize(
    "overrides", [[], ["val_ratio=0.3", "periods=[4h]"], ["val_mode=days", "val_days=9", "symbols=[SYN02]"]]
)
def test_the_cut_is_that_of_the_training_itself(tiny: Workspace, overrides: list[str]) -> None:
    """What is asked before torch loads and what windows are made with."""
    with Store(tiny.store).read() as snapshot:
        end = training_end(snapshot, load_model_config(tiny, None, overrides))
    assert end == prepare(tiny, *overrides).spec.train_end
    assert end % DAY == 0


def test_a_selection_may_read_up_to_the_cut(tiny: Workspace) -> None:
    """A label that ends at the cut is a training label (S4); one a millisecond later is not."""
    require_before(None, END)
    require_before(Allowlist(LISTED, ("rsi",)), END)
    require_before(Allowlist(LISTED, ("rsi",), MADE), END)
    with pytest.raises(DataError, match="has read labels until 2022-01-08T00:00:00Z, past the end") as caught:
        require_before(Allowlist(LISTED, ("rsi",), MADE), END - 1)
    assert caught.value.exit_code == 3
    assert "run-pipeline" in caught.value.hint and "--allow-selection-overlap" in caught.value.hint
    config = load_model_config(tiny, None, [])
    with Store(tiny.store).read() as snapshot:
        late = Allowlist(LISTED, ("rsi",), replace(MADE, last_label_end=training_end(snapshot, config) + 1))
        with pytest.raises(DataError, match="past the end of training"):
            require_selected(late, snapshot, config, allow_overlap=False)
        require_selected(late, snapshot, config, allow_overlap=True)


def test_what_a_reader_has_to_know_is_said(tiny: Workspace) -> None:
    """One line each: overlap, edits, other rows, other targets and periods; nothing where all is as it should be."""

    def said(allowlist: Allowlist | None, end: int = END, periods: tuple[str, ...] = ("1h", "4h")) -> list[str]:
        lines: list[str] = []
        tell_selection(allowlist, snapshot, end, ["target_a"], periods, lines.append)
        return lines

    with Store(tiny.store).read() as snapshot:
        good = Allowlist(LISTED, ("rsi",), replace(MADE, data=data_mark(snapshot)))
        assert said(None) == said(Allowlist(LISTED, ("rsi",))) == said(good) == []
        assert ["are not independent of it" in line for line in said(good, END - HOUR)] == [True]
        assert said(replace(good, edited=True)) == [
            "configs/selected_features.txt was edited by hand since it was made by tftctl select run-pipeline"
        ]
        (other_rows,) = said(replace(good, provenance=MADE))
        assert "on other rows, those of snapshot 1" in other_rows
        (periods,) = said(good, periods=("4h", "1d"))
        assert periods.endswith("was selected for other periods: not for 1d and also for 1h")


def test_a_manifest_says_all_of_it(tiny: Workspace) -> None:
    """Times as text; what nobody knows of a list made by hand is null; without a list there is nothing."""
    with Store(tiny.store).read() as snapshot:
        made = replace(MADE, data=data_mark(snapshot), facts={"topk": "3"})
        found = selection_facts(Allowlist(LISTED, ("rsi", "atr"), made), snapshot, allow_overlap=True)
        hand = selection_facts(Allowlist(LISTED, ("rsi",)), snapshot, allow_overlap=False)
        assert selection_facts(None, snapshot, allow_overlap=False) is None
    assert found == {
        "file": "configs/selected_features.txt", "features": ["rsi", "atr"], "command": "tftctl select run-pipeline",
        "snapshot": 1, "data": made.data, "cut": "2022-01-08T00:00:00Z", "last_label_end": "2022-01-08T00:00:00Z",
        "targets": ["target_a"], "periods": ["1h", "4h"], "made_at": "2022-01-08T00:00:00.005Z",
        "facts": {"topk": "3"}, "edited": False, "current": True, "allow_selection_overlap": True,
    }  # fmt: skip
    assert hand is not None and set(hand) == set(found)
    assert (hand["features"], hand["command"], hand["current"], hand["last_label_end"]) == (["rsi"], None, None, None)
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (None, "none"),
        (["rsi", "atr"], "2 features"),
        ({"features": ["rsi"], "command": None, "current": None}, "1 features; listed by hand"),
        (
            {"features": ["rsi", "atr"], "command": "tftctl select x", "last_label_end": "2022-01-08T00:00:00Z",
             "current": False, "edited": True, "allow_selection_overlap": True},
            "2 features; by tftctl select x; labels to 2022-01-08T00:00:00Z; of other rows; edited by hand since; "
            "--allow-selection-overlap",
        ),
        ("rsi", "unreadable"),
    ],
)  # fmt: skip
def test_runs_show_says_which_selection_was_used(workspace: Workspace, selection: Any, words: str) -> None:
    """Of runs of this version and of older ones, which kept a plain list."""
    assert selection_words(selection) == words
    make_run(workspace, "train-20260101_0000", rows_of([0.5]), selection=selection)
    shown = CliRunner().invoke(app, ["-w", str(workspace.root), "runs", "show"])
    told = " ".join(shown.stdout.split())
    assert shown.exit_code == 0 and f"selection {words.split(';')[0]}" in told
    found = CliRunner().invoke(app, ["-w", str(workspace.root), "runs", "show", "--json"])
    assert json.loads(found.stdout)["facts"]["selection"] == selection
    listed = CliRunner().invoke(app, ["-w", str(workspace.root), "runs", "list", "--json"])
    assert [run["run"] for run in json.loads(listed.stdout)] == ["train-20260101_0000"]


@pytest.mark.parametrize("selection", [None, ["rsi"], {"features": ["rsi"], "last_label_end": None}, {}])
def test_scores_of_runs_of_which_nothing_is_known_are_shown(workspace: Workspace, selection: Any) -> None:
    """No selection, one of an older version, one made by hand."""
    run = Run(make_run(workspace, "train-20260101_0000", selection=selection))
    assert overlaps(run, END, allow_overlap=False) is False


def test_a_run_is_compared_with_its_own_cut(workspace: Workspace) -> None:
    """That of its checkpoint; a manifest that was damaged is not read as one without a selection."""
    run = Run(make_run(workspace, "train-20260101_0000", selection={"last_label_end": iso(END)}))
    assert overlaps(run, END, allow_overlap=False) is False
    assert overlaps(run, END - 1, allow_overlap=True) is True
    with pytest.raises(DataError, match=r"train-20260101_0000: the selection .* has read labels until") as caught:
        overlaps(run, END - 1, allow_overlap=False)
    assert "tftctl eval train-20260101_0000 --allow-selection-overlap" in caught.value.hint
    for broken in ("soon", 5):
        damaged = Run(make_run(workspace, f"train-{broken}", selection={"last_label_end": broken}))
        with pytest.raises(DataError, match=r"manifest\.json: selection\.last_label_end is"):
            overlaps(damaged, END, allow_overlap=True)
