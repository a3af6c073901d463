"""Built-in losses. The modules themselves live in `torch_*`, which are imported when one is made."""

from __future__ import annotations

from collections.abc import Iterable

from tftctl.api import Loss, hookimpl
from tftctl.builtins.loss_options import levels_with_median, quantile_levels

_BINARY = "tftctl.builtins.torch_classification"
_POINT = "tftctl.builtins.torch_errors"
_SPREAD = "tftctl.builtins.torch_distributions"


@hookimpl
def tftctl_losses() -> Iterable[Loss]:
    """Losses of logits, of points, and of whole distributions."""
    yield Loss(
        name="bce",
        summary="binary cross-entropy on the logit, with a positive weight per row",
        kinds=("binary",),
        factory=f"{_BINARY}:BinaryCrossEntropy",
    )
    yield Loss(
        name="focal",
        summary="focal loss (Lin 2017): sure rows count less; its outputs are scores; gamma 2, alpha (none)",
        kinds=("binary",),
        factory=f"{_BINARY}:Focal",
    )
    for name, factory, summary in (
        ("mse", "SquaredError", "squared error of the standardised value"),
        ("mae", "AbsoluteError", "absolute error of the standardised value; its forecast is the median"),
        (
            "smooth_l1",
            "SmoothAbsoluteError",
            "squared below beta = 1 standard deviation, absolute above (Girshick 2015)",
        ),
        ("huber", "Huber", "squared below delta = 1 standard deviation, delta x absolute above (Huber 1964)"),
        ("log_cosh", "LogCosh", "log cosh of the error: squared where small, absolute where large"),
    ):
        yield Loss(name=name, summary=summary, kinds=("regression",), factory=f"{_POINT}:{factory}")
    yield from _distributions()


def _distributions() -> Iterable[Loss]:
    yield Loss(
        name="quantile",
        summary="mean pinball loss of quantiles that cannot cross; levels [0.1, 0.5, 0.9], the median is the forecast",
        kinds=("regression",),
        factory=f"{_SPREAD}:Quantiles",
        outputs=lambda options: len(levels_with_median(options)),
        levels=levels_with_median,
    )
    yield Loss(
        name="gaussian",
        summary="normal likelihood, mean and scale; levels [0.1, 0.5, 0.9] of its forecasts, min_scale 0.01",
        kinds=("regression",),
        factory=f"{_SPREAD}:Gaussian",
        outputs=lambda options: 2,
        levels=quantile_levels,
        likelihood=True,
    )
    yield Loss(
        name="student_t",
        summary="Student-t likelihood: location, scale, degrees of freedom above 2; levels, min_scale as gaussian",
        kinds=("regression",),
        factory=f"{_SPREAD}:StudentT",
        outputs=lambda options: 3,
        levels=quantile_levels,
        likelihood=True,
    )
