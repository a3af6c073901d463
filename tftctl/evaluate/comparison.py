"""The network and the baselines at the same origins, and their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tftctl.data.assemble import Prepared
from tftctl.data.panel import Panel
from tftctl.evaluate.baselines import MEAN, PERSISTENCE, persistence, training_means, training_quantiles
from tftctl.plugins import Registry
from tftctl.train.scores import Forecasts, score_all

NETWORK = "tft"
MODELS = (NETWORK, MEAN, PERSISTENCE)

Values = npt.NDArray[np.float64]

_PER_ROW = (
    "symbol", "period", "timestamp", "available_at", "label_end", "prediction", "truth", "prediction_raw", "truth_raw",
)  # fmt: skip
_QUANTILES = ("quantiles", "quantiles_raw")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Forecasts of one target beside those of the baselines, in the target's unit, NaN where one has none.

    `quantiles` (N, Q) are those of the training labels at the network's levels, which go with their mean. `centre` and
    `scale` standardise the unit per row, so that every model is scored in the same terms.
    """

    network: Forecasts
    baselines: Mapping[str, Values]
    quantiles: Values
    centre: Values
    scale: Values

    @property
    def common(self) -> npt.NDArray[np.bool_]:
        """Rows at which every model has a forecast: (N,)."""
        return np.isfinite(np.array(list(self.baselines.values()))).all(axis=0)

    def models(self) -> dict[str, Forecasts]:
        """Forecasts per model at the common rows."""
        rows = self.common
        network = pick_rows(self.network, rows)
        centre, scale = self.centre[rows], self.scale[rows]
        plain = replace(network, levels=(), quantiles=None, quantiles_raw=None)
        others = {
            name: replace(plain, prediction_raw=raw[rows], prediction=(raw[rows] - centre) / scale)
            for name, raw in self.baselines.items()
        }
        if network.levels:
            raw = self.quantiles[rows]
            standardised = (raw - centre[:, None]) / scale[:, None]
            levels = network.levels
            others[MEAN] = replace(others[MEAN], levels=levels, quantiles=standardised, quantiles_raw=raw)
        return {NETWORK: network, **others}


def compare(prepared: Prepared, forecasts: Sequence[Forecasts]) -> list[Comparison]:
    """Put the baselines beside the network's forecasts, target by target."""
    spec, panel = prepared.spec, prepared.panel
    places = {target.name: place for place, target in enumerate(spec.targets)}
    stats = {(group.symbol, group.period): group for group in spec.groups}
    made = []
    for entry in forecasts:
        place, rows = places[entry.target], panel_rows(panel, entry)
        groups = [stats[symbol, period] for symbol, period in zip(entry.symbol, entry.period, strict=True)]
        made.append(
            Comparison(
                network=entry,
                baselines={
                    MEAN: training_means(panel, place, spec.cuts)[rows],
                    PERSISTENCE: persistence(panel, place)[rows],
                },
                quantiles=training_quantiles(panel, place, spec.cuts, entry.levels)[rows],
                centre=np.array([group.centre[place] for group in groups]),
                scale=np.array([group.scale[place] for group in groups]),
            )
        )
    return made


def panel_rows(panel: Panel, forecasts: Forecasts) -> npt.NDArray[np.int64]:
    """The panel's row of each forecast, found by symbol, period and timestamp."""
    found = np.full(forecasts.timestamp.shape, -1, np.int64)
    for group in panel.groups:
        mine = (forecasts.symbol == group.symbol) & (forecasts.period == group.period)
        stamps = panel.timestamp[group.start : group.stop]
        found[mine] = group.start + np.searchsorted(stamps, forecasts.timestamp[mine])
    return found


def pick_rows(forecasts: Forecasts, rows: npt.NDArray[np.bool_]) -> Forecasts:
    """Some rows of a target's forecasts."""
    names = [*_PER_ROW, *(_QUANTILES if forecasts.levels else ())]
    return replace(forecasts, **{name: getattr(forecasts, name)[rows] for name in names})


def average(runs: Sequence[Sequence[Forecasts]]) -> list[Forecasts]:
    """The mean forecast of several checkpoints, target by target: of values, of probabilities, of quantiles.

    Quantiles are averaged level by level, so that they still do not cross (Vincent 1912).
    """
    return [_average(same) for same in zip(*runs, strict=True)]


def _average(same: Sequence[Forecasts]) -> Forecasts:
    names = ["prediction", "prediction_raw", *(_QUANTILES if same[0].levels else ())]
    return replace(same[0], **{name: np.mean([getattr(entry, name) for entry in same], axis=0) for name in names})


def score_models(comparisons: Sequence[Comparison], registry: Registry) -> list[dict[str, Any]]:
    """Every metric of every model: `{"model", "target", "period", "metric", "value"}`; NaN where undefined."""
    models = [comparison.models() for comparison in comparisons]
    return [
        {"model": name, "target": target, "period": period, "metric": metric, "value": value}
        for name in MODELS
        for (target, period, metric), value in score_all([entry[name] for entry in models], registry).items()
    ]


def count_origins(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Origins scored and left out per target and period: `{"target", "period", "origins", "left_out"}`."""
    counts = []
    for comparison in comparisons:
        common, periods = comparison.common, comparison.network.period
        for period in np.unique(periods):
            here = periods == period
            scored = int((here & common).sum())
            counts.append(
                {
                    "target": comparison.network.target,
                    "period": str(period),
                    "origins": scored,
                    "left_out": int(here.sum()) - scored,
                }
            )
    return counts
