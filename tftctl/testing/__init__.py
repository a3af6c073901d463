"""The checks that the built-ins pass and that plugin authors run (docs/plugins.md).

On the command line they are `tftctl plugins check PATH|NAME`. In one's own tests::

    from tftctl.testing import check_indicator

    def test_my_indicator():
        assert check_indicator(MY_INDICATOR) == []

Every `check_*` takes a record, tries it on seeded synthetic data and returns what it found, empty when all is well.
Each finding names the record, the check and the detail; the checks are listed at the functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tftctl.testing.report import Finding, Report

if TYPE_CHECKING:
    from tftctl.core.records import Indicator, Loss, Metric, Params, Source, Target
    from tftctl.core.workspace import Workspace

__all__ = [
    "Finding",
    "Report",
    "check_command",
    "check_indicator",
    "check_loss",
    "check_metric",
    "check_named",
    "check_source",
    "check_target",
]


def check_named(plugin: str, workspace: Workspace | None = None) -> Report:
    """Check everything that one plugin provides.

    `plugin` is the path of a Python file, or the name of a loaded plugin or of its distribution (`tftctl` for all
    built-ins). Raises PluginError when there is none of that name, or when it cannot be loaded.
    """
    from tftctl.testing import named

    return named.check(plugin, workspace)


def check_indicator(record: Indicator, params: Params | None = None) -> list[Finding]:
    """Check an indicator at `params` (default: its defaults); from `causality` on only when the rest is sound.

    - `record`, `run`: it is well formed, and runs on its declared inputs alone
    - `outputs`: it makes the declared columns and no others, and reads `timestamp` only if it is `known`
    - `short`: segments may be as short as one bar
    - `pure`: it leaves its inputs alone, and gives the same twice, with other bars between
    - `finite`: nothing is infinite
    - `causality`: cutting off, scaling, shuffling or flattening later bars, and adding thousands of calm or wild ones,
      changes nothing earlier, beyond `tolerance`
    - `first_valid`: the declared bar is the first with a value
    - `settle`: that many bars after a later start, the values agree to 1e-9 (-1: it never forgets)
    - `flat`: unchanging prices without volume neither raise nor give infinity
    - `symbols`: a cross-section follows its symbols in any order; `rows`: fused rows are seen one by one
    - `scale`: `free` outputs stay when prices are multiplied and volumes divided by one number (SEMANTICS T5)
    """
    from tftctl.testing import indicators

    return indicators.check(record, params)


def check_target(record: Target, params: Params | None = None) -> list[Finding]:
    """Check a target at `params` (default: its defaults) and at every horizon that it declares.

    - `record`, `run`, `short`, `pure`, `finite`, `flat`: as for indicators
    - `yardstick`: it is a Yardstick over declared inputs, or None
    - `values`: some row has a label; those of a binary target are 0 and 1
    - `end`: the last h rows have none, also where the last bars decide it early
    - `conventions`: what it says of ties and of the order inside a bar are truth values, one a bar
    - `future`: bars after t+h change nothing, however many they are
    - `past`: bars at or before t change nothing, except the yardstick's and the close of t
    - `reach`: bars t+1..t+h change something
    """
    from tftctl.testing import targets

    return targets.check(record, params)


def check_loss(record: Loss) -> list[Finding]:
    """Check a loss with its default options, for every kind that it serves.

    - `record`, `factory`: it is well formed, and makes a `torch.nn.Module`
    - `shape`: `forward` and `point` give (N,), also for N = 0
    - `pure`: it leaves its inputs alone, and gives the same twice
    - `finite`: losses and gradients are finite, also for outputs of +-20
    - `rows`: the loss of a row does not depend on the other rows
    - `quantiles`: where it has levels: (N, Q) of finite values that never fall from one level to the next
    - `descent`: going down its gradient brings the forecast nearer to the target
    - `pos_weight`: it multiplies the loss of positive rows, and nothing else: its logarithm is taken out again
    """
    from tftctl.testing import losses

    return losses.check(record)


def check_metric(record: Metric) -> list[Finding]:
    """Check a metric for every kind that it serves.

    - `record`, `factory`: it is well formed, and makes a function
    - `best`: the perfect forecast is at the best end of the range (where that is unbounded: not beaten); a nominal
      metric is best where the quantiles hold the share that they promise
    - `range`: perfect, noisy and constant forecasts score within the declared range; NaN is for absent classes
    - `order`: the order of the rows does not matter
    - `one_class`: truths that are all alike do not raise
    """
    from tftctl.testing import metrics

    return metrics.check(record)


def check_source(record: Source) -> list[Finding]:
    """Fetch with default parameters and check the first four frames.

    - `record`, `fetch`: it is well formed, and yields SourceFrames of different (symbol, period)
    - `columns`: the documented columns and the declared extras, numbers all; symbol, period, calendar and basis exist
    - `time`: timestamps are whole milliseconds, unique and ascending
    - `bars`: every row would be accepted from a file, and extras are not infinite
    """
    from tftctl.testing import sources

    return sources.check(record)


def check_command(name: str, command: Any) -> list[Finding]:
    """Check a command.

    - `record`: its name is well formed, and `command` is a `typer.Typer`
    - `build`: Typer can make a command of it
    """
    from tftctl.testing import named

    return named.check_command(name, command)
