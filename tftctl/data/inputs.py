"""Which columns go into the network: what the table allows, the configuration and the allowlist (SEMANTICS S2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tftctl.core.errors import ConfigError, choices
from tftctl.core.names import is_target_column
from tftctl.data.allowlist import PLACE
from tftctl.data.spec import InputSpec
from tftctl.features.columns import INPUT_ROLES


def choose_inputs(
    columns: Mapping[str, Mapping[str, Any]], wanted: Sequence[str] | None, allowlist: Sequence[str] | None
) -> list[InputSpec]:
    """Inputs in the order of the table. `columns` is the `columns` entry of the fused table's meta.

    `wanted` are names of the configuration, `allowlist` those of the allowlist; None for all. Raises ConfigError for
    names that do not exist or may not be inputs.
    """
    names = list(wanted) if wanted is not None else allowed_columns(columns)
    if allowlist is not None:
        for name in allowlist:
            _check(name, columns, PLACE)
        names = [name for name in names if name in set(allowlist)]
    for name in names:
        _check(name, columns, "reals")
    if not names:
        raise ConfigError("no input is left", f"see reals in the model configuration and {PLACE}")
    chosen = set(names)
    return [_spec(name, entry) for name, entry in columns.items() if name in chosen]


def allowed_columns(columns: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every column that is an input when nobody says otherwise: scale-free, and no bar or age."""
    return [name for name, entry in columns.items() if entry["role"] in INPUT_ROLES and entry["scale"] == "free"]


def _check(name: str, columns: Mapping[str, Mapping[str, Any]], place: str) -> None:
    if is_target_column(name):
        raise ConfigError(f"{place}: {name!r} is a label or made of one and can never be an input", "remove it")
    if name not in columns:
        raise ConfigError(
            f"{place}: the fused table has no column {name!r}", choices(name, allowed_columns(columns), "inputs")
        )
    if columns[name]["scale"] != "free":
        raise ConfigError(
            f"{place}: {name!r} is in units of {columns[name]['scale']}, which differ over symbols and time",
            f"normalise it in configs/features.yaml and use {name}_zscore",
        )


def _spec(name: str, entry: Mapping[str, Any]) -> InputSpec:
    return InputSpec(name=name, role=entry["role"], block=_block(name, entry))


def _block(name: str, entry: Mapping[str, Any]) -> str | None:
    """What the column is a view of, if not of the row's own bars: a null there is data, flagged by block (S3)."""
    match entry["role"]:
        case "context":
            return entry["context_period"]
        case "macro":
            return name
        case "age":
            return entry["source"]
        case "cross_section":
            return "cross_section"
        case "contextual":
            return "context"
    return None
