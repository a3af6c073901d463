"""Built-in losses. The modules themselves live in `torch_losses`, which is imported when one is made."""

from __future__ import annotations

from collections.abc import Iterable

from tftctl.api import Loss, hookimpl

_MODULE = "tftctl.builtins.torch_losses"


@hookimpl
def tftctl_losses() -> Iterable[Loss]:
    """Binary cross-entropy, squared error, smooth absolute error."""
    yield Loss(
        name="bce",
        summary="binary cross-entropy on the logit, with a positive weight per row",
        kinds=("binary",),
        factory=f"{_MODULE}:BinaryCrossEntropy",
    )
    yield Loss(
        name="mse",
        summary="squared error of the standardised value",
        kinds=("regression",),
        factory=f"{_MODULE}:SquaredError",
    )
    yield Loss(
        name="smooth_l1",
        summary="squared below beta = 1 standard deviation, absolute above (Girshick 2015)",
        kinds=("regression",),
        factory=f"{_MODULE}:SmoothAbsoluteError",
    )
