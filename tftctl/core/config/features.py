"""`configs/features.yaml`: what `tftctl features build` makes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from tftctl.core.config.values import Bars, Delay, Lag, Names, PeriodName, Periods, Strict, like
from tftctl.core.records import Scale

Adjustment = Literal["raw", "split", "total"]
DEFAULT_ADJUSTMENT: Adjustment = "split"
NormaliserName = Literal["zscore", "minmax", "robust"]


class IndicatorEntry(BaseModel):
    """An indicator and its parameters: `rsi`, or `{name: rsi, period: 28}`."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def parameters(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


class TargetEntry(IndicatorEntry):
    """A target, its horizon in bars (one number, or per period) and parameters."""

    horizon: Bars | dict[PeriodName, Bars] | None = None


def _entry(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Normaliser(Strict):
    """Causal rolling normalisation with the statistics of the `window` valid bars before the current one."""

    window: dict[PeriodName, Annotated[Bars, Field(ge=2)]]
    columns: list[str]
    clip: Annotated[float, Field(gt=0)] | None = 10.0


class MadAnomaly(Strict):
    """A score by rolling median and median absolute deviation of the `window` valid bars before, and its hint."""

    window: dict[PeriodName, Annotated[int, Field(ge=3)]] = {"1h": 500, "4h": 250, "1d": 120, "1w": 52}
    columns: Annotated[list[str], Field(min_length=1)] = ["log_return", "rolling_volatility", "volume"]
    threshold: Annotated[float, Field(gt=0)] = 6.0


class LofAnomaly(Strict):
    """A local outlier factor fitted on the `fit` valid bars before each block of `block` bars, and its hint."""

    fit: Annotated[int, Field(ge=50, le=100_000)] = 2000
    block: Annotated[int, Field(ge=1, le=10_000)] = 100
    neighbours: Annotated[int, Field(ge=1, le=1000)] = 20
    columns: Annotated[list[str], Field(min_length=1)] = ["log_return", "rolling_volatility", "volume"]
    threshold: Annotated[float, Field(gt=1)] = 2.0


class AnomaliesConfig(Strict):
    """Scores of unusual bars: hints, never filters."""

    mad: MadAnomaly | None = None
    lof: LofAnomaly | None = None


class MacroSeries(Strict):
    """How a macro series is dated (T6)."""

    frequency: Annotated[str, like(r"[1-9]\d*(h|d|bd|w|mo|q|y)", "1d, 1bd (business days), 1w, 1mo or 1q")]
    stamp: Literal["start", "end"]
    release_lag: Lag
    revised: bool = False


class FeaturesConfig(Strict):
    """The whole of `configs/features.yaml`; see DESIGN §7 for an example."""

    periods: Periods = ["1h", "4h", "1d"]
    symbols: Names | None = None
    universes: dict[str, Names] = {}
    calendar: dict[str, str] = {"*": "24x7"}
    bar_delay: dict[str, Delay] = {}
    adjust: Adjustment | dict[str, Adjustment] = DEFAULT_ADJUSTMENT
    max_fill_bars: Annotated[int, Field(ge=0)] = 3
    extra_columns: dict[str, Scale] = {}
    indicators: list[Annotated[IndicatorEntry, BeforeValidator(_entry)]] = []
    targets: list[Annotated[TargetEntry, BeforeValidator(_entry)]] = []
    context: dict[PeriodName, list[PeriodName]] = {"1h": ["4h", "1d"], "4h": ["1d"]}
    context_features: list[str] = []
    max_stale: Annotated[int, Field(ge=0)] = 1
    normalise: dict[NormaliserName, Normaliser] = {}
    anomalies: AnomaliesConfig = AnomaliesConfig()
    macro: dict[str, MacroSeries] = {}

    @field_validator("context")
    @classmethod
    def _no_self_context(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        for period, others in value.items():
            if period in others:
                raise ValueError(f"{period} cannot be its own context")
        return value
