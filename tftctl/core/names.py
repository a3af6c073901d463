"""Rules for column names (SEMANTICS F1)."""

from __future__ import annotations

import builtins
import keyword
import re

NAME = re.compile(r"[a-z][a-z0-9_]*")
KEY_COLUMNS = ("symbol", "period", "timestamp")
BAR_COLUMNS = ("open", "high", "low", "close", "volume")
ROW_COLUMNS = (*KEY_COLUMNS, "available_at", "next_timestamp", "segment", "bar_index", "is_filled")
TARGET_PREFIX = "target_"
LABEL_END_PREFIX = "label_end__"

# nn.Module, nn.ModuleDict, dict and Tensor attributes collide with names of variables inside
# pytorch-forecasting's ModuleDicts ("attribute 'type' already exists").
_TORCH_ATTRIBUTES = frozenset(
    """add_module apply bfloat16 buffers call_super_init children clear compile cpu cuda data double dump_patches eval
    extra_repr float forward get_buffer get_extra_state get_parameter get_submodule grad half ipu items keys
    load_state_dict loss mean modules mtia named_buffers named_children named_modules named_parameters parameters pop
    register_buffer register_module register_parameter requires_grad requires_grad_ set_extra_state set_submodule
    shape share_memory size std sum state_dict to to_empty train training type update values xpu zero_grad copy get
    popitem setdefault fromkeys device dtype layout index max min name abs var median quantile""".split()
)


def name_problem(name: str) -> str | None:
    """Return why `name` cannot be the name of an indicator, target or column; None when it can."""
    if not NAME.fullmatch(name):
        return "use lower-case letters, digits and underscores, beginning with a letter"
    if "__" in name:
        return "a double underscore marks context columns such as rsi__4h"
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return "it is a Python keyword"
    if name in _TORCH_ATTRIBUTES or hasattr(builtins, name):
        return "it is the name of a Python or PyTorch attribute"
    if name in ROW_COLUMNS or name in BAR_COLUMNS:
        return "it is the name of a bar column"
    return None


def context_column(feature: str, period: str) -> str:
    """`rsi` seen from a faster row: `rsi__4h` (F1, F4)."""
    return f"{feature}__{period}"


def age_column(period_or_series: str) -> str:
    """Hours since the context bar or macro value became available."""
    return f"age__{period_or_series}"


def label_end_column(target: str) -> str:
    """The instant after which a row's label may be known (L1)."""
    return f"{LABEL_END_PREFIX}{target}"


def is_target_column(name: str) -> bool:
    """Whether a column is a label or describes one; none of these is ever an input (S2)."""
    return name.startswith((TARGET_PREFIX, LABEL_END_PREFIX))


def is_pattern(text: str) -> bool:
    """Whether it can mean several columns."""
    return any(mark in text for mark in "*?[")


def parameter_suffix(values: list[object]) -> str:
    """The suffix of a non-default instance: [28] -> `_28`, [20, 2.5] -> `_20_2p5`."""
    return "".join("_" + _value_text(value) for value in values)


def _value_text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        value = int(value) if value.is_integer() else f"{value:.10g}"
    return re.sub(r"[^a-z0-9]+", "_", str(value).lower().replace(".", "p").replace("-", "m")).strip("_")
