"""Losses of a head that forecasts a distribution: raw (N, outputs), target (N,) -> unreduced loss (N,)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tftctl.builtins.loss_options import LEVELS, levels_with_median, positive, quantile_levels

HALF_LOG_2_PI = 0.5 * math.log(2.0 * math.pi)
MIN_SCALE = 0.01  # standard deviations; a likelihood without a floor grows without bound where labels repeat
MIN_FREEDOM = 2.01  # above 2 the variance exists


class Quantiles(nn.Module):
    """Mean over the levels of the pinball loss max(l d, (l - 1) d), d = target - quantile (Koenker, Bassett 1978).

    The output of level 0.5 is the median itself. Each other output is the step from its neighbour nearer to the
    median, softplus(raw) >= 0, so that quantiles cannot cross, whatever the outputs are.
    """

    def __init__(self, levels: Sequence[float] = LEVELS) -> None:
        super().__init__()
        self.levels = levels_with_median({"levels": levels})
        self.median = self.levels.index(0.5)

    def forward(self, raw: Tensor, target: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        """Loss of shape (N,)."""
        distance = target[:, None] - self.quantiles(raw)
        level = torch.tensor(self.levels, dtype=raw.dtype, device=raw.device)
        return torch.maximum(level * distance, (level - 1) * distance).mean(dim=1)

    def point(self, raw: Tensor) -> Tensor:
        """The median, shape (N,)."""
        return raw[:, self.median]

    def quantiles(self, raw: Tensor) -> Tensor:
        """Standardised quantiles (N, Q), never falling along Q."""
        middle = raw[:, self.median : self.median + 1]
        below = functional.softplus(raw[:, : self.median]).flip(1).cumsum(1).flip(1)
        above = functional.softplus(raw[:, self.median + 1 :]).cumsum(1)
        return torch.cat([middle - below, middle, middle + above], dim=1)


class Gaussian(nn.Module):
    """-log density of a normal distribution: 0.5 z^2 + log scale + 0.5 log 2 pi, z = (target - mean) / scale.

    raw[:, 0] is the mean, softplus(raw[:, 1]) + `min_scale` the scale, both standardised.
    """

    def __init__(self, levels: Sequence[float] = LEVELS, min_scale: float = MIN_SCALE) -> None:
        super().__init__()
        self.levels = quantile_levels({"levels": levels})
        self.min_scale = positive("min_scale", min_scale)

    def forward(self, raw: Tensor, target: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        """Loss of shape (N,)."""
        scale = self.scale(raw)
        return 0.5 * ((target - self.point(raw)) / scale) ** 2 + scale.log() + HALF_LOG_2_PI

    def point(self, raw: Tensor) -> Tensor:
        """The mean, shape (N,)."""
        return raw[:, 0]

    def scale(self, raw: Tensor) -> Tensor:
        """The standard deviation, shape (N,)."""
        return functional.softplus(raw[:, 1]) + self.min_scale

    def quantiles(self, raw: Tensor) -> Tensor:
        """Standardised quantiles (N, Q): mean + scale times those of the standard normal."""
        unit = torch.special.ndtri(torch.tensor(self.levels, dtype=torch.float64)).to(raw)
        return self.point(raw)[:, None] + self.scale(raw)[:, None] * unit


class StudentT(nn.Module):
    """-log density of a Student-t distribution with v degrees of freedom (Lange, Little, Taylor 1989).

    log B + log scale + (v + 1) / 2 log(1 + z^2 / v), B = sqrt(v pi) G(v / 2) / G((v + 1) / 2), z = (target -
    location) / scale. raw[:, 0] is the location, softplus(raw[:, 1]) + `min_scale` the scale (not the standard
    deviation), softplus(raw[:, 2]) + 2.01 is v.
    """

    def __init__(self, levels: Sequence[float] = LEVELS, min_scale: float = MIN_SCALE) -> None:
        super().__init__()
        self.levels = quantile_levels({"levels": levels})
        self.min_scale = positive("min_scale", min_scale)

    def forward(self, raw: Tensor, target: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        """Loss of shape (N,)."""
        scale, freedom = self.scale(raw), self.freedom(raw)
        z = (target - self.point(raw)) / scale
        log_b = torch.lgamma(freedom / 2) - torch.lgamma((freedom + 1) / 2) + 0.5 * torch.log(freedom * math.pi)
        return log_b + scale.log() + (freedom + 1) / 2 * torch.log1p(z**2 / freedom)

    def point(self, raw: Tensor) -> Tensor:
        """The location, shape (N,)."""
        return raw[:, 0]

    def scale(self, raw: Tensor) -> Tensor:
        """The scale, shape (N,)."""
        return functional.softplus(raw[:, 1]) + self.min_scale

    def freedom(self, raw: Tensor) -> Tensor:
        """Degrees of freedom, shape (N,)."""
        return functional.softplus(raw[:, 2]) + MIN_FREEDOM

    def quantiles(self, raw: Tensor) -> Tensor:
        """Standardised quantiles (N, Q), by SciPy: they carry no gradient."""
        from scipy.special import stdtrit

        freedom = self.freedom(raw).detach().double().cpu().numpy()
        unit = torch.from_numpy(stdtrit(freedom[:, None], [list(self.levels)])).to(raw)
        return (self.point(raw)[:, None] + self.scale(raw)[:, None] * unit).detach()
