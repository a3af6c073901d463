"""The frozen records that plugins hand over (DESIGN §5). Importing this module imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Array = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]
    Columns = Mapping[str, Array]
    Stages = Sequence[Mapping[str, pl.Expr]]

Scale = Literal["free", "price", "volume"]
Kind = Literal["regression", "binary"]
Basis = Literal["raw", "split", "total"]
Scope = Literal["group", "context", "cross_section"]
Direction = Literal["higher", "lower", "nominal"]

BASES: tuple[str, ...] = get_args(Basis)


class Params(BaseModel):
    """Base of every parameter model: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CrossSectionParams(Params):
    """Base of the parameters of `cross_section` indicators (F7).

    `universe` names a list of symbols in configs/features.yaml, `all` every symbol of the build; values are null
    where fewer than `min_symbols` of them have a bar.
    """

    universe: str = "all"
    min_symbols: int = 3


@dataclass(frozen=True, slots=True)
class Output:
    """One column of an indicator.

    `scale`: `free` (a ratio, a return, an oscillator: comparable over symbols and time, an input by default),
    `price` or `volume` (in units of the bars; enters the network only after local normalisation).
    `first_valid` and `settle` override the indicator's own where its columns differ.
    """

    name: str
    scale: Scale = "free"
    first_valid: Callable[..., int] | None = None
    settle: Callable[..., int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """A pure function over one unbroken segment of one group's bars.

    Exactly one of two forms:

    - `kernel(columns, params)`: contiguous float64 arrays of shape (bars,) by input name -> float64 arrays of
      shape (bars,) by output name. NaN where undefined; the engine turns NaN and everything before
      `first_valid` into null.
    - `expr(params)`: Polars expressions in stages. A stage maps a column name to an expression over the input
      columns and the columns of earlier stages; names beginning with `_` are dropped at the end.

    `inputs(params)` names the bar columns read. `first_valid(params)` is the index of the first bar with a
    value, `settle(params)` the number of bars after which the start of the segment is forgotten to 1e-9 (F3). Where
    these depend on how long a bar is, they take the period, like "1h", beside: `settle(params, period)`.
    `tolerance` is the relative difference that an incremental rebuild may show (0: bit for bit).
    Raise `revision` when the same parameters give other numbers than before.

    `scope` (F7) is `group` for all of the above. The other two have a kernel and read columns of the features table,
    bars or what configured indicators make:

    - `cross_section`: `kernel(columns, params, symbols)` sees all symbols of a universe side by side, float64 arrays
      of shape (instants, symbols), NaN where a symbol has no unfilled bar complete at that instant; its params derive
      from `CrossSectionParams`. `settle` is the number of instants before that still matter, never -1.
    - `context`: `kernel(columns, params)` sees fused rows one by one: each input, and `<input>__<period>` for every
      context period of the row. It makes columns of the fused table only.
    """

    name: str
    summary: str
    outputs: tuple[Output, ...]
    inputs: Callable[[Any], tuple[str, ...]]
    params: type[Params] = Params
    kernel: Callable[..., Columns] | None = None
    expr: Callable[[Any], Stages] | None = None
    first_valid: Callable[..., int] = lambda params: 0
    settle: Callable[..., int] = lambda params: 0
    scope: Scope = "group"
    known: bool = False
    tolerance: float = 0.0
    revision: int = 1


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What a target may read at or before t (L1): bar columns, and how many bars back (t itself is 1)."""

    columns: tuple[str, ...]
    lookback: int


@dataclass(frozen=True, slots=True)
class LabelSpan:
    """What a target kernel is told besides its parameters.

    `horizon`: bars; `bars_per_year`: a constant of (calendar, period) (T2).
    """

    period: str
    horizon: int
    bars_per_year: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A label: a function of bars t+1..t+h, and of bars at or before t only through `yardstick` (SEMANTICS L).

    Exactly one of `kernel(columns, params, span)` -> float64 array of shape (bars,), NaN where undefined, and
    `expr(params, span)` -> stages as for `Indicator`, the last of which makes the column `label`. Both see one
    unbroken segment; the engine itself blanks rows whose horizon is incomplete, broken or too thinly filled.
    `horizon` maps periods to bars, `"*"` any other period. `outputs` is the number of columns, always 1 here.
    `tail`: `fat` picks SmoothL1 as the default regression loss, `normal` MSE; `loss` names another.

    `features health` tells the share of labels that a convention decides, where the target says of which rows it does,
    bool (bars,): `ties(columns, params, span)`, two values that decide are equal; `inside_bar(columns, params, span)`,
    the order of prices inside one bar decides.
    """

    name: str
    summary: str
    kind: Kind
    horizon: Mapping[str, int]
    inputs: tuple[str, ...]
    unit: str
    yardstick: Callable[[Any, LabelSpan], Yardstick | None] = lambda params, span: None
    params: type[Params] = Params
    kernel: Callable[[Columns, Any, LabelSpan], Array] | None = None
    expr: Callable[[Any, LabelSpan], Stages] | None = None
    loss: str | None = None
    tail: Literal["fat", "normal"] = "normal"
    revision: int = 1
    ties: Callable[[Columns, Any, LabelSpan], Mask] | None = None
    inside_bar: Callable[[Columns, Any, LabelSpan], Mask] | None = None

    def horizon_for(self, period: str) -> int | None:
        """Default horizon in bars at `period`; None when the target has none there."""
        return self.horizon.get(period, self.horizon.get("*"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A loss of one head.

    `factory(**options)` (or an import string `package.module:name`) returns a `torch.nn.Module` with

    - `forward(raw, target, pos_weight) -> loss`: raw (N, outputs), target (N,), pos_weight (N,) or None (binary
      heads only); unreduced loss (N,). Rows without a label are never passed in.
    - `point(raw) -> (N,)`: the forecast: standardised value for regression, logit for binary.
    - `quantiles(raw) -> (N, Q)`, where there are `levels`: the standardised quantiles, never falling along Q.

    `outputs(options)` is the number of raw outputs that the head needs. `levels(options)`: the levels of the quantiles
    that a regression head forecasts beside its point, rising inside (0, 1). Both may raise ValueError for options that
    make no sense. `likelihood`: it is a negative log-likelihood, whose own scale takes the place of the learned
    uncertainty (M1).
    """

    name: str
    summary: str
    kinds: tuple[Kind, ...]
    factory: str | Callable[..., Any]
    outputs: Callable[[Mapping[str, Any]], int] = lambda options: 1
    levels: Callable[[Mapping[str, Any]], tuple[float, ...]] = lambda options: ()
    likelihood: bool = False


@dataclass(frozen=True, slots=True)
class MetricInput:
    """What a metric sees: one (target, period), unique origins, no missing truth.

    prediction, truth: float64 (N,), probability and 0/1 for binary targets, standardised values for regression;
    prediction_raw, truth_raw: the same in the target's unit. threshold: the stored decision threshold.
    available_at: int64 ms (N,); symbol: (N,) strings; label_end: int64 ms (N,), when the label is known.
    levels: of the quantiles that the head forecasts, often none; quantiles: standardised (N, Q), None without levels.
    """

    prediction: Array
    truth: Array
    prediction_raw: Array
    truth_raw: Array
    threshold: float
    available_at: Any
    symbol: Any
    label_end: Any = None
    levels: tuple[float, ...] = ()
    quantiles: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A score of one (target, period). `factory` (or import string) returns a function MetricInput -> float.

    It returns NaN when the data leave it undefined (a class is absent). `no_skill` is used where the
    *predictions* leave it undefined (M5). `lower` -inf and `upper` None mean unbounded.
    `needs_levels`: it scores quantiles; where the head has none, it does not exist. `direction` nominal, for such
    metrics alone: best at the share that the outermost levels promise, last level - first level.
    """

    name: str
    summary: str
    kinds: tuple[Kind, ...]
    direction: Direction
    lower: float
    upper: float | None
    no_skill: float
    factory: str | Callable[..., Any]
    needs_levels: bool = False


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """Bars or a macro series as a source delivers them, before any check.

    `frame` (a Polars frame): bars have `timestamp` (int64 ms UTC, open time), open, high, low, close, volume and
    extra columns; a macro series has `timestamp` and `value`. `extras` declares the scale of extra columns.
    """

    symbol: str
    period: str
    frame: pl.DataFrame
    calendar: str = "24x7"
    basis: Basis = "raw"
    extras: Mapping[str, Scale] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where bars or macro series come from. `fetch(params)` yields `SourceFrame`s; `sample` marks embedded data.

    `planted`: names of columns that a synthetic source documents as predictive.
    """

    name: str
    summary: str
    provides: Literal["bars", "macro"]
    fetch: Callable[[Any], Iterable[SourceFrame]]
    params: type[Params] = Params
    sample: bool = False
    planted: tuple[str, ...] = ()
