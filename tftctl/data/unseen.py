"""Groups that a network cannot learn from: left out by name, or an error (SEMANTICS S5)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tftctl.core.errors import DataError
from tftctl.core.periods import sort_periods
from tftctl.core.times import iso
from tftctl.data.panel import Group, Panel
from tftctl.data.scaling import MIN_LABELS, short_of_labels
from tftctl.data.spec import TargetSpec
from tftctl.data.splits import Cuts

NEVER_TRAINED = "no training origin of its symbol or its period"


def require_labels(panel: Panel, train: npt.NDArray[np.bool_], cuts: Cuts) -> None:
    """Raise DataError for a target without a single training label: its head would never be trained."""
    for place, target in enumerate(panel.targets):
        if not np.isfinite(panel.labels[train, place]).any():
            raise DataError(
                f"{target} has no training label at {', '.join(sort_periods(set(panel.periods())))}",
                f"training ends {iso(cuts.first)}; leave the target out (--targets), or give it a horizon there",
            )


def short_groups(panel: Panel, targets: Sequence[TargetSpec], train: npt.NDArray[np.bool_]) -> dict[Group, str]:
    """Groups with fewer than 250 training labels of a regression target, and what they have."""
    found: dict[Group, str] = {}
    for number, target, labels in short_of_labels(panel, [target.kind for target in targets], train):
        found.setdefault(panel.groups[number], f"{labels} training labels of {target}, {MIN_LABELS} are needed")
    return found


def unseen_groups(
    panel: Panel,
    train: npt.NDArray[np.int64],
    declared: Collection[str],
    pooled: Collection[tuple[str, str]] = (),
) -> dict[Group, str]:
    """Groups whose symbol or period no training origin has, so that its embedding would stay as it was drawn.

    `train` are the row numbers of training origins; `declared` symbols are allowed without any. `pooled` (symbol,
    period) have no embedding of their own, and train none: they need a period that others train.
    """
    panel_trained = [panel.groups[number] for number in np.unique(panel.group[train])]
    trained = [group for group in panel_trained if (group.symbol, group.period) not in pooled]
    symbols = {group.symbol for group in trained} | set(declared)
    periods = {group.period for group in trained}
    unknown = {group for group in panel.groups if (group.symbol, group.period) in pooled}
    unseen = [
        group
        for group in panel.groups
        if group.period not in periods or (group.symbol not in symbols and group not in unknown)
    ]
    return dict.fromkeys(unseen, NEVER_TRAINED)


def poolable(panel: Panel, short: Mapping[Group, str]) -> dict[Group, str]:
    """Of groups that cannot be scaled by their own labels, those at a period where another group can."""
    periods = {group.period for group in panel.groups if group not in short}
    return {group: found for group, found in short.items() if group.period in periods}


def others(panel: Panel, excluded: Mapping[Group, str], unseen: str) -> list[Group]:
    """The groups that stay. Raises DataError when there are none, or at the first excluded one of `unseen: error`."""
    kept = [group for group in panel.groups if group not in excluded]
    told = [f"{group.symbol} {group.period} has {found}" for group, found in excluded.items()]
    if not kept:
        raise DataError(f"no group can be trained on: {'; '.join(told[:8])}", "import more bars, or name other periods")
    if told and unseen == "error":
        raise DataError(told[0], "leave it out (--symbols, --periods) or set unseen: exclude")
    return kept
