"""Forecasts of a trained network for the origins of one split."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from tftctl.core.progress import Report, silent
from tftctl.data.assemble import Prepared, prepare_again
from tftctl.data.loaders import ordered_loader
from tftctl.data.splits import Split
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


def predict_split(
    prepared: Prepared, loaded: LoadedCheckpoint, split: Split, registry: Registry, report: Report = silent
) -> list[Forecasts]:
    """Forecast every origin of a split with a checkpoint, on a GPU where there is one."""
    spec, config = loaded.content.spec, loaded.content.config
    with quiet_lightning():
        network = ForecastNetwork(network_shape(config, spec))
    loss = HybridLoss(spec.targets, spec.periods, config.uncertainty == "learned", registry)
    network.load_state_dict(_part(loaded.state, "network."))
    loss.load_state_dict(_part(loaded.state, "loss."))
    origins = prepared.splits[split]
    return forecasts_of(prepared, origins, _run(network, loss, prepared, origins, report))


def forecasts_of(
    prepared: Prepared, origins: npt.NDArray[np.int64], values: npt.NDArray[np.floating]
) -> list[Forecasts]:
    """Forecasts (B, T) of some origins beside their truth, per target, rows without a label left out."""
    panel, spec = prepared.panel, prepared.spec
    group = panel.group[origins]
    symbol = np.array([entry.symbol for entry in panel.groups])[group]
    period = np.array([entry.period for entry in panel.groups])[group]
    stats = {(entry.symbol, entry.period): entry for entry in spec.groups}
    made = []
    for place, target in enumerate(spec.targets):
        centre = np.array([stats[entry.symbol, entry.period].centre[place] for entry in panel.groups])[group]
        scale = np.array([stats[entry.symbol, entry.period].scale[place] for entry in panel.groups])[group]
        raw_truth = panel.labels[origins, place].astype(np.float64)
        rows = np.isfinite(raw_truth)
        prediction = values[:, place].astype(np.float64)
        made.append(
            Forecasts(
                target=target.name,
                kind=target.kind,
                symbol=symbol[rows],
                period=period[rows],
                timestamp=panel.timestamp[origins][rows],
                available_at=panel.available_at[origins][rows],
                label_end=panel.label_end[origins, place][rows],
                prediction=prediction[rows],
                truth=((raw_truth - centre) / scale)[rows],
                prediction_raw=(prediction * scale + centre)[rows],
                truth_raw=raw_truth[rows],
                threshold=target.base_rate,
            )
        )
    return made


def _run(
    network: ForecastNetwork, loss: HybridLoss, prepared: Prepared, origins: npt.NDArray[np.int64], report: Report
) -> npt.NDArray[np.float32]:
    cuda = torch.cuda.is_available()
    device, size = torch.device("cuda" if cuda else "cpu"), looking_batch(network.shape, cuda)
    network.eval().to(device)
    loss.to(device)
    found: list[torch.Tensor] = []
    with torch.inference_mode():
        for batch in ordered_loader(prepared.source, torch.from_numpy(origins), size):
            placed = {name: value.to(device) for name, value in batch.items()}
            found.append(loss.forecasts(network(placed), placed["period"]).cpu())
            report("forecasts", min(len(found) * size, origins.size), origins.size)
    return torch.cat(found).numpy() if found else np.empty((0, len(prepared.spec.targets)), np.float32)


def _part(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
