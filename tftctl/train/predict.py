"""Forecasts of a trained network for the origins of one split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tftctl.core.errors import PluginError
from tftctl.core.progress import Report, silent
from tftctl.data.assemble import Prepared, prepare_again
from tftctl.data.loaders import ordered_loader
from tftctl.data.spec import TargetSpec
from tftctl.data.splits import Split
from tftctl.data.windows import Batch
from tftctl.model.network import ForecastNetwork
from tftctl.plugins import Registry
from tftctl.store import Store
from tftctl.train.checkpoint import LoadedCheckpoint, network_shape
from tftctl.train.device import looking_batch
from tftctl.train.hybrid import HybridLoss
from tftctl.train.quiet import quiet_lightning
from tftctl.train.scores import Forecasts


def prepare_split(store: Store, loaded: LoadedCheckpoint, registry: Registry) -> Prepared:
    """The windows of a checkpoint, from the snapshot that it was trained on."""
    spec = loaded.content.spec
    with store.read(spec.snapshot) as snapshot:
        return prepare_again(store.root, snapshot, spec, registry)


@dataclass(frozen=True, slots=True)
class Predictor:
    """A trained network and its heads, on a GPU where there is one; `batch_size` origins go through it at once."""

    network: ForecastNetwork
    loss: HybridLoss
    device: torch.device
    batch_size: int

    def of(self, batch: Batch) -> Tensor:
        """Forecasts of a batch of windows, on the CPU, as `HybridLoss.forecasts` gives them."""
        placed = {name: value.to(self.device) for name, value in batch.items()}
        with torch.inference_mode():
            return self.loss.forecasts(self.network(placed), placed["period"]).cpu()


def load_predictor(loaded: LoadedCheckpoint, registry: Registry) -> Predictor:
    """The network of a checkpoint. Raises PluginError where the loss of a head is gone."""
    spec, config = loaded.content.spec, loaded.content.config
    with quiet_lightning():
        network = ForecastNetwork(network_shape(config, spec))
    loss = HybridLoss(spec.targets, spec.periods, config.uncertainty == "learned", registry, config.pos_weight)
    network.load_state_dict(_part(loaded.state, "network."))
    loss.load_state_dict(_part(loaded.state, "loss."))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    return Predictor(network.eval().to(device), loss.to(device), device, looking_batch(network.shape, cuda))


def predict_split(
    prepared: Prepared, loaded: LoadedCheckpoint, split: Split, registry: Registry, report: Report = silent
) -> list[Forecasts]:
    """Forecast every origin of a split with a checkpoint, on a GPU where there is one."""
    predictor, origins = load_predictor(loaded, registry), prepared.splits[split]
    found: list[Tensor] = []
    for batch in ordered_loader(prepared.source, torch.from_numpy(origins), predictor.batch_size):
        found.append(predictor.of(batch))
        report("forecasts", min(len(found) * predictor.batch_size, origins.size), origins.size)
    width = quantile_columns(prepared.spec.targets)[-1].stop
    return forecasts_of(prepared, origins, torch.cat(found).numpy() if found else np.empty((0, width), np.float32))


def forecasts_of(
    prepared: Prepared, origins: npt.NDArray[np.int64], values: npt.NDArray[np.floating]
) -> list[Forecasts]:
    """Forecasts of some origins beside their truth, per target, rows without a label left out.

    `values` as `HybridLoss.forecasts` gives them: points (B, T), behind them the quantiles of heads that have some.
    """
    targets = prepared.spec.targets
    _require_width(targets, values)
    return [
        _of_target(prepared, origins, place, values[:, place], values[:, columns])
        for place, columns in enumerate(quantile_columns(targets))
    ]


def _of_target(
    prepared: Prepared,
    origins: npt.NDArray[np.int64],
    place: int,
    point: npt.NDArray[np.floating],
    quantiles: npt.NDArray[np.floating],
) -> Forecasts:
    panel, target = prepared.panel, prepared.spec.targets[place]
    labels = panel.labels[origins, place].astype(np.float64)
    rows = np.isfinite(labels)
    kept, truth = origins[rows], labels[rows]
    prediction, spread = point[rows].astype(np.float64), quantiles[rows].astype(np.float64)
    symbol, period, centre, scale = _groups_of(prepared, kept, place)
    return Forecasts(
        target=target.name,
        kind=target.kind,
        symbol=symbol,
        period=period,
        timestamp=panel.timestamp[kept],
        available_at=panel.available_at[kept],
        label_end=panel.label_end[kept, place],
        prediction=prediction,
        truth=(truth - centre) / scale,
        prediction_raw=prediction * scale + centre,
        truth_raw=truth,
        threshold={} if target.scores else target.base_rate,
        levels=tuple(target.levels),
        quantiles=spread if target.levels else None,
        quantiles_raw=spread * scale[:, None] + centre[:, None] if target.levels else None,
    )


def _groups_of(prepared: Prepared, origins: npt.NDArray[np.int64], place: int) -> tuple[npt.NDArray[Any], ...]:
    """Symbol, period, centre and scale of a target at each origin."""
    panel = prepared.panel
    stats = {(entry.symbol, entry.period): entry for entry in prepared.spec.groups}
    mine = [stats[entry.symbol, entry.period] for entry in panel.groups]
    facts = zip(*((entry.symbol, entry.period, entry.centre[place], entry.scale[place]) for entry in mine), strict=True)
    return tuple(np.array(fact)[panel.group[origins]] for fact in facts)


def quantile_columns(targets: Sequence[TargetSpec]) -> list[slice]:
    """Where the quantiles of each target stand in a row of forecasts: behind all points, in the targets' order."""
    stops = len(targets) + np.cumsum([len(target.levels) for target in targets])
    return [slice(int(stop) - len(target.levels), int(stop)) for target, stop in zip(targets, stops, strict=True)]


def _require_width(targets: Sequence[TargetSpec], values: npt.NDArray[np.floating]) -> None:
    """A guest's quantiles(raw) of another width would push the next target's into wrong columns."""
    width = quantile_columns(targets)[-1].stop
    if values.shape[1] != width:
        named = ", ".join(sorted({target.loss for target in targets if target.levels})) or "no loss has any"
        raise PluginError(
            f"heads give {values.shape[1]} columns of forecasts, their levels say {width}",
            f"quantiles(raw) must have one column per level; losses with levels: {named}",
        )


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
