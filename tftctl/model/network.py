"""pytorch-forecasting's Temporal Fusion Transformer (Lim et al. 2021) as a plain network of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pytorch_forecasting.metrics import MAE, MultiLoss
from pytorch_forecasting.models import TemporalFusionTransformer
from pytorch_forecasting.models.temporal_fusion_transformer.sub_modules import AddNorm, ResampleNorm
from torch import Tensor, nn

from tftctl.model.resampling import Resampling

# the three variable selections of the network
Part = Literal["encoder", "decoder", "static"]
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
        _resample(self.tft)

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

    def gate_names(self, part: Part) -> list[str]:
        """Variables of a variable selection in the order of their gates: x_ or c_ and the name."""
        return list(self._selection(part).input_sizes)

    def gates(self, part: Part, codes: Tensor, reals: Tensor) -> Tensor:
        """Weights (B, V) that a variable selection gives its V variables in single rows; those of a row sum to one.

        codes (2,) of the group that all rows are of; reals (B, F + M) scaled, in the order of a batch. Encoder and
        decoder weigh a row by itself and its group alone (R1), so that neither LSTM nor attention is run. Formula:
        softmax of a gated residual network over all variables, Lim et al. (2021), eq. 6.
        """
        names, selection = self.gate_names(part), self._selection(part)
        if len(names) < 2:  # nothing to choose from, and no network for it
            return torch.ones(reals.shape[0], len(names), device=reals.device)
        context = None if part == "static" else self._selection_context(codes)
        flat = torch.cat([*self._categories(names, codes, reals.shape[0]), self._scaled_up(names, reals)], dim=-1)
        return torch.softmax(selection.flattened_grn(flat, context), dim=-1)

    def _selection(self, part: Part) -> Any:
        return getattr(self.tft, f"{part}_variable_selection")

    def _selection_context(self, codes: Tensor) -> Tensor:
        """What a group's categories tell the selections of its rows: (1, hidden)."""
        names = self.gate_names("static")
        static = torch.zeros(1, self.shape.hidden_size, device=codes.device)
        if names:
            embedded = zip(names, self._categories(names, codes, 1), strict=True)
            static, _ = self.tft.static_variable_selection(dict(embedded))
        return self.tft.static_context_variable_selection(static)

    def _categories(self, names: Sequence[str], codes: Tensor, rows: int) -> list[Tensor]:
        """Embeddings of the categories among some variables, each (B, width): they stand before all reals."""
        chosen = [name for name in names if name in _CATEGORIES]
        return [self.tft.input_embeddings[name](codes[_CATEGORIES.index(name)]).expand(rows, -1) for name in chosen]

    def _scaled_up(self, names: Sequence[str], reals: Tensor) -> Tensor:
        """The reals among some variables after their prescalers, one behind the other: all of them in one step."""
        places = {name: place for place, name in enumerate(real_names(self.shape.reals))}
        chosen = [name for name in names if name in places]
        if not chosen:
            return reals[:, :0]
        layers = [self.tft.prescalers[name] for name in chosen]
        weight, bias = torch.stack([layer.weight[:, 0] for layer in layers]), torch.stack([x.bias for x in layers])
        return torch.addcmul(bias, reals[:, [places[name] for name in chosen], None], weight).flatten(1)


class _RawOutput(TemporalFusionTransformer):
    """The network without de-normalisation: labels are standardised before, by (symbol, period, target)."""

    @property
    def device(self) -> torch.device:
        """Where the parameters are; Lightning's own answer misses that a module around this one was moved."""
        return next(self.parameters()).device

    def transform_output(self, prediction: Any, target_scale: Any, loss: Any = None) -> Any:
        """Hand the heads' outputs on as they are."""
        return prediction


def _resample(tft: nn.Module) -> None:
    """Put our interpolation wherever a layer's input has another width than its output."""
    for part in list(tft.modules()):
        if isinstance(part, ResampleNorm) and part.input_size != part.output_size:
            part.resample = Resampling(part.input_size, part.output_size)
        elif isinstance(part, AddNorm) and part.input_size != part.skip_size:
            part.resample = Resampling(part.skip_size, part.input_size)


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
