"""The one public door for plugins. Everything a plugin may import from tftctl is here."""

from __future__ import annotations

import pluggy

from tftctl.core.periods import period_ms
from tftctl.core.records import (
    CrossSectionParams,
    Indicator,
    Kind,
    LabelSpan,
    Loss,
    Metric,
    MetricInput,
    Output,
    Params,
    Scale,
    Source,
    SourceFrame,
    Target,
    Yardstick,
)

hookimpl = pluggy.HookimplMarker("tftctl")

__all__ = [
    "CrossSectionParams",
    "Indicator",
    "Kind",
    "LabelSpan",
    "Loss",
    "Metric",
    "MetricInput",
    "Output",
    "Params",
    "Scale",
    "Source",
    "SourceFrame",
    "Target",
    "Yardstick",
    "hookimpl",
    "period_ms",
]
