"""A tiny market that features are selected in, with small budgets, through the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from training_world import MODEL, document, market, once, tftctl

from tftctl.core.workspace import Workspace

SELECTION = """\
targets: [target_binarytrend, target_logreturn]
periods: [1h, 4h]
seed: 7
trees: {trees: 20, leaves: 7, learning_rate: 0.2, column_share: 0.6}
folds: {val_ratio: 0.34, folds: 2, train_rows: 1000, test_rows: 800}
repeats: 1
topk: 6
optimize: {trials: 6, train_rows: 600, test_rows: 500, nested_ratio: 0.2}
rolling: {folds: 2, test_ratio: 0.15, random_sets: 2, selection_folds: 1, repeats: 1, train_rows: 600, test_rows: 500}
"""
EVIDENCE = Path("reports/feature_evidence")
ALLOWLIST = Path("configs/selected_features.txt")
KEEP = "--keep-below"  # six features with the small budgets, whether they are evidence or not


def prepare(root: Path, source: Path) -> Workspace:
    """The tiny market at 1h and 4h, with small budgets and without runs."""
    for entry in ("store", "tftctl.toml"):
        (root / entry).symlink_to(source / entry)
    shutil.copytree(source / "configs", root / "configs")
    (root / "configs" / "selection.yaml").write_text(SELECTION)
    (root / "configs" / "model_config.yaml").write_text(MODEL + "periods: [1h, 4h]\n")
    return Workspace(root)


def worked(
    tmp_path_factory: pytest.TempPathFactory, name: str, work: Callable[[Workspace], Mapping[str, Any]]
) -> Workspace:
    """A workspace in which something was done once for all test processes; what it said is in said.json."""

    def make(root: Path) -> None:
        workspace = prepare(root, market(tmp_path_factory).root)
        (root / "said.json").write_text(json.dumps(work(workspace)))

    return Workspace(once(tmp_path_factory, name, make))


def said(workspace: Workspace) -> dict[str, Any]:
    return json.loads((workspace.root / "said.json").read_text())


def select(workspace: Workspace, *arguments: str) -> Any:
    """The JSON document of a select command that is a process."""
    return document(tftctl(workspace, "select", *arguments, "--json"))


def stepped(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Every step by itself, each reading what the one before has left; the allowlists after two of them."""

    def work(workspace: Workspace) -> Mapping[str, Any]:
        told = {
            "tree-perm": select(workspace, "tree-perm"),
            "aggregate-core": select(workspace, "aggregate-core", KEEP),
        }
        told["core list"] = (workspace.root / ALLOWLIST).read_text()
        told["optimize-subset"] = select(workspace, "optimize-subset")
        told["rolling-validate"] = select(workspace, "rolling-validate", KEEP)
        return told

    return worked(tmp_path_factory, "stepped", work)
