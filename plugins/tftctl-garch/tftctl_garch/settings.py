"""Parameters of all three indicators, and how far back a value can reach."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from tftctl.api import Params

# parameters of at most so many refits ago may stand in for a fit that failed: bounded, so that the start of a
# segment is forgotten and an append need not read all of it
OLDEST_REFIT = 4


class RefitParams(Params):
    """Bars that a fit looks back on, bars between refits, and bars of a segment before its first fit."""

    fit_window: Annotated[int, Field(ge=100, le=100_000)] = 2000
    refit_every: Annotated[int, Field(ge=1, le=100_000)] = 500
    min_fit: Annotated[int, Field(ge=100, le=100_000)] = 500

    @model_validator(mode="after")
    def _window_holds_first_fit(self) -> Self:
        if self.min_fit > self.fit_window:
            raise ValueError(f"min_fit {self.min_fit} is more than fit_window {self.fit_window}")
        return self


def settle(params: RefitParams) -> int:
    """Bars that a value can depend on: back to the oldest refit that may be used, and the window before that."""
    return params.fit_window + (OLDEST_REFIT + 1) * params.refit_every
