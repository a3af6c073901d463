"""pytorch-forecasting's Temporal Fusion Transformer (Lim et al. 2021) as a plain network of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_forecasting.metrics import MAE, MultiLoss
from pytorch_forecasting.models import TemporalFusionTransformer
from torch import Tensor, nn

_CATEGORIES = ("c_symbol", "c_period")


@dataclass(frozen=True, slots=True)
class NetworkShape:
    """Everything that fixes the parameters. `reals` are in the order of the batch; `known` are numbers of them.

    `symbol_width` and `period_width` are those of the embeddings, by a rule of thumb where they are None.
    `static` lists the categories that are static inputs (`symbol`, `period`); `varying` those that enter every step.
    """

    reals: tuple[str, ...]
    known: tuple[int, ...]
    symbols: int
    periods: int
    static: tuple[str, ...]
    varying: tuple[str, ...]
    outputs: tuple[int, ...]
    encoder_length: int
    hidden_size: int
    hidden_continuous_size: int
    lstm_layers: int
    dropout: float
    attention_head_size: int
    symbol_width: int | None = None
    period_width: int | None = None


class ForecastNetwork(nn.Module):
    """Batch of windows -> one raw output (B, outputs) per target.

    Lengths are fixed, so nothing is padded; the output is not de-normalised.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        self.tft = _RawOutput(**_arguments(shape))

    def forward(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """Raw outputs, one (B, outputs) tensor per target."""
        prediction = self.tft(self.inputs(batch))["prediction"]
        heads = prediction if isinstance(prediction, list) else [prediction]
        return [head[:, 0] for head in heads]

    def inputs(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The batch in pytorch-forecasting's terms."""
        encoder, decoder, codes = batch["encoder"], batch["decoder"], batch["codes"]
        size, steps = encoder.shape[:2]
        device = encoder.device
        return {
            "encoder_cat": codes[:, None].expand(size, steps, 2),
            "decoder_cat": codes[:, None],
            "encoder_cont": encoder,
            "decoder_cont": decoder,
            "encoder_lengths": torch.full((size,), steps, dtype=torch.long, device=device),
            "decoder_lengths": torch.ones(size, dtype=torch.long, device=device),
            "target_scale": torch.empty(0, device=device),
        }


class _RawOutput(TemporalFusionTransformer):
    """The network without de-normalisation: labels are standardised before, by (symbol, period, target)."""

    def transform_output(self, prediction: Any, target_scale: Any, loss: Any = None) -> Any:
        """Hand the heads' outputs on as they are."""
        return prediction


def real_names(names: Sequence[str]) -> list[str]:
    """Variable names inside the network: prefixed, so that none is an attribute of a torch module."""
    return [f"x_{name}" for name in names]


def _arguments(shape: NetworkShape) -> dict[str, Any]:
    reals = real_names(shape.reals)
    widths = embedding_widths(shape)
    sizes = {"c_symbol": (shape.symbols, widths["symbol"]), "c_period": (shape.periods, widths["period"])}
    several = len(shape.outputs) > 1
    varying = [f"c_{name}" for name in shape.varying]
    return {
        "hidden_size": shape.hidden_size,
        "hidden_continuous_size": shape.hidden_continuous_size,
        "lstm_layers": shape.lstm_layers,
        "dropout": shape.dropout,
        "attention_head_size": shape.attention_head_size,
        "max_encoder_length": shape.encoder_length,
        "x_reals": reals,
        "x_categoricals": list(_CATEGORIES),
        "static_categoricals": [f"c_{name}" for name in shape.static],
        "time_varying_reals_encoder": reals,
        "time_varying_reals_decoder": [reals[number] for number in shape.known],
        "time_varying_categoricals_encoder": varying,
        "time_varying_categoricals_decoder": varying,
        "embedding_sizes": sizes,
        "output_size": list(shape.outputs) if several else shape.outputs[0],
        # only its length matters: it tells how many heads there are
        "loss": MultiLoss([MAE() for _ in shape.outputs]) if several else MAE(),
        "logging_metrics": nn.ModuleList([]),
        # hides the decoder's own step as well as -1e9 does, and is a number in float16
        "mask_bias": -1e4,
    }


def embedding_widths(shape: NetworkShape) -> dict[str, int]:
    """Numbers that an embedding gives a symbol and a period."""
    wanted = {
        "symbol": shape.symbol_width or _embedding(shape.symbols),
        "period": shape.period_width or _embedding(shape.periods),
    }
    return {name: min(width, shape.hidden_size) for name, width in wanted.items()}


def _embedding(classes: int) -> int:
    """pytorch-forecasting's rule of thumb, min(round(1.6 n^0.56), 100), but three numbers for two classes.

    It interpolates an embedding linearly and then normalises it: of one or two numbers nothing is left but a sign,
    and two classes that begin with the same sign, as half of the seeds give them, could hardly be told apart.
    """
    return 1 if classes == 1 else min(max(round(1.6 * classes**0.56), 3), 100)
