"""The table of functions, read without TA-Lib, and the call of one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, create_model

from tftctl.api import Params, Scale

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

# name, default, smallest and largest value; a float without a limit has None
Parameter = tuple[str, int | float, int | float | None, int | float | None]


@dataclass(frozen=True, slots=True)
class Function:
    """One function of TA-Lib: bar columns in the order of its arguments, and a scale for every column it makes."""

    name: str
    summary: str
    inputs: tuple[str, ...]
    params: type[Params]
    outputs: Mapping[str, Scale]
    lookback: int

    def lookback_for(self, params: Params) -> int:
        """Bars before the first value, as TA-Lib says; at default parameters the table knows."""
        if params == self.params():
            return self.lookback
        from talib.abstract import Function as Abstract

        return int(Abstract(self.name, **params.model_dump()).lookback)


def load_functions() -> Iterator[Function]:
    """All functions of the table (functions.json, made by make_table.py)."""
    for row in json.loads(files("tftctl_talib").joinpath("functions.json").read_text("utf-8")):
        parameters = tuple((name, *limits) for name, limits in row["parameters"].items())
        outputs = {column: about["scale"] for column, about in row["outputs"].items()}
        inputs = tuple(row["inputs"])
        yield Function(row["name"], row["summary"], inputs, _params(parameters), outputs, row["lookback"])


def run(function: Function, columns: Mapping[str, Array], params: Params) -> dict[str, Array]:
    """Call the function with every parameter given. NaN before the first value, where TA-Lib gives infinity, and from
    the first input that is no number on (TA-Lib would go on with 0 or a frozen value)."""
    import numpy as np
    import talib

    arrays = [columns[name] for name in function.inputs]
    size, usable = arrays[0].size, min(_finite_bars(values) for values in arrays)
    first = function.lookback_for(params)
    found = {column: np.full(size, np.nan) for column in function.outputs}
    if usable > first:
        made = getattr(talib, function.name)(*(values[:usable] for values in arrays), **params.model_dump())
        for column, values in zip(found, made if isinstance(made, tuple) else (made,), strict=True):
            found[column][first:usable] = np.where(np.isfinite(values), values, np.nan)[first:]
    return found


def _finite_bars(values: Array) -> int:
    """Number of bars before the first NaN or infinity."""
    import numpy as np

    broken = np.flatnonzero(~np.isfinite(values))
    return int(broken[0]) if broken.size else values.size


@cache
def _params(parameters: tuple[Parameter, ...]) -> type[Params]:
    """One model for all functions of the same parameters: building a model is the slow part of listing."""
    if not parameters:
        return Params
    fields: dict[str, Any] = {
        name: (Annotated[type(default), Field(ge=low, le=high)], default) for name, default, low, high in parameters
    }
    return create_model("TalibParams", __base__=Params, **fields)
