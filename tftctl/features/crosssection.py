"""Indicators that see all symbols of a universe at one instant (SEMANTICS F7), in bounded memory.

Workers leave each symbol's inputs in a file; they are laid side by side on disk, (instants, symbols), the kernels run
over blocks of instants, and each symbol picks its own line of the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from tftctl.core.errors import ConfigError, PluginError, choices, guest_code
from tftctl.features.definitions import IndicatorInstance
from tftctl.features.groups import Recipe

BLOCK_VALUES = 4_000_000


@dataclass(frozen=True, slots=True)
class CrossSections:
    """Columns of one period for instants from `since_ms` on: `values` is a file (columns, symbols, instants)."""

    columns: tuple[str, ...]
    symbols: tuple[str, ...]
    instants: np.ndarray
    values: Path
    since_ms: int

    def of(self, symbol: str, rows: pl.DataFrame) -> list[pl.Series]:
        """A symbol's columns for rows with available_at and is_filled; null for filled bars and non-members."""
        found = np.full((len(self.columns), rows.height), np.nan)
        if symbol in self.symbols and self.instants.size:
            at = rows["available_at"].to_numpy()
            place = np.minimum(np.searchsorted(self.instants, at), self.instants.size - 1)
            there = (self.instants[place] == at) & ~rows["is_filled"].to_numpy()
            line = np.load(self.values, mmap_mode="r")[:, self.symbols.index(symbol)]
            found[:, there] = line[:, place[there]]
        return [pl.Series(name, found[number], nan_to_null=True) for number, name in enumerate(self.columns)]


def universe(recipe: Recipe, instance: IndicatorInstance, symbols: Sequence[str]) -> list[str]:
    """The symbols of an instance's universe among those of a period. Raises ConfigError for an unknown name."""
    name = instance.params.universe  # type: ignore[attr-defined]
    if name == "all":
        return list(symbols)
    known = recipe.config.universes
    if name not in known:
        raise ConfigError(
            f"configs/features.yaml: {instance.record.name}: there is no universe {name!r}",
            choices(name, ["all", *known], "universes"),
        )
    return [symbol for symbol in symbols if symbol in known[name]]


def cross_inputs(recipe: Recipe) -> list[str]:
    """Columns of the features table that cross-sections read."""
    return list(dict.fromkeys(name for instance in recipe.cross for name in instance.inputs))


def gather_inputs(recipe: Recipe, prepared: pl.DataFrame, since_ms: int, path: Path) -> None:
    """Leave one symbol's unfilled rows in a file: available_at and the inputs, (1 + inputs, rows), float64.

    They begin as long before `since_ms` as any cross-section looks back.
    """
    names = cross_inputs(recipe)
    period = prepared["period"][0]
    back = max(instance.at(period).memory or 0 for instance in recipe.cross)
    first = max(0, int(np.searchsorted(prepared["available_at"].to_numpy(), since_ms)) - back)
    rows = recipe.features(prepared, first, None, set(names)).filter(~pl.col("is_filled"))
    np.save(path, rows.select(pl.col("available_at", *names).cast(pl.Float64)).fill_null(float("nan")).to_numpy().T)


def inputs_file(folder: Path, symbols: Sequence[str], symbol: str) -> Path:
    """Where `gather_inputs` leaves a symbol's rows; numbered, because a symbol may be no file name."""
    return folder / f"{symbols.index(symbol)}.npy"


def cross_sections(recipe: Recipe, symbols: Sequence[str], since_ms: int, folder: Path) -> CrossSections:
    """Run every cross-section over the inputs that `gather_inputs` left of `symbols` in `folder`."""
    members = sorted({symbol for instance in recipe.cross for symbol in universe(recipe, instance, symbols)})
    axis = _axis(inputs_file(folder, symbols, symbol) for symbol in members)
    names = cross_inputs(recipe)
    panel = np.lib.format.open_memmap(folder / "inputs.npy", "w+", np.float64, (len(names), axis.size, len(members)))
    panel[:] = np.nan
    for place, symbol in enumerate(members):
        values = np.load(inputs_file(folder, symbols, symbol), mmap_mode="r")
        panel[:, np.searchsorted(axis, values[0].astype(np.int64)), place] = values[1:]
    columns = tuple(column for instance in recipe.cross for column in instance.columns)
    made = np.lib.format.open_memmap(folder / "values.npy", "w+", np.float64, (len(columns), len(members), axis.size))
    made[:] = np.nan
    number = 0
    for instance in recipe.cross:
        places = [members.index(symbol) for symbol in universe(recipe, instance, symbols)]
        own = {name: panel[names.index(name)] for name in instance.inputs}
        _run_blocks(instance, own, places, [members[p] for p in places], made[number : number + len(instance.columns)])
        number += len(instance.columns)
    made.flush()
    return CrossSections(columns, tuple(members), axis, folder / "values.npy", since_ms)


def _axis(files: Iterable[Path]) -> np.ndarray:
    axis = np.empty(0, np.int64)
    for path in files:
        axis = np.union1d(axis, np.load(path, mmap_mode="r")[0].astype(np.int64))
    return axis


def _run_blocks(
    instance: IndicatorInstance,
    inputs: Mapping[str, np.ndarray],
    places: Sequence[int],
    symbols: Sequence[str],
    made: np.ndarray,
) -> None:
    """Fill `made` (outputs, symbols, instants) block by block, each with the instants before it that still matter."""
    instants = made.shape[2]
    step = max(1, BLOCK_VALUES // max(len(symbols), 1))
    back = instance.memory or 0
    for start in range(0, instants, step):
        stop, lead = min(start + step, instants), max(0, start - back)
        block = {name: np.ascontiguousarray(values[lead:stop][:, places]) for name, values in inputs.items()}
        found = run_block(instance, block, symbols)
        for number, feature in enumerate(instance.features):
            values = found[feature.output][start - lead :]
            values = np.where(np.isfinite(values), values, np.nan)
            made[number][np.asarray(places, dtype=np.intp), start:stop] = values.T


def run_block(
    instance: IndicatorInstance, block: Mapping[str, np.ndarray], symbols: Sequence[str]
) -> dict[str, np.ndarray]:
    """Outputs of a cross-section over inputs (instants, symbols), NaN where a symbol is no member or few are.

    Raises PluginError where the kernel returns something else than it declared.
    """
    record = instance.record
    assert record.kernel is not None
    there = np.logical_and.reduce([np.isfinite(values) for values in block.values()])
    few = there.sum(axis=1) < instance.params.min_symbols  # type: ignore[attr-defined]
    with guest_code(f"indicator {record.name!r}", f"look into it: tftctl plugins show {record.name}"):
        found = record.kernel(block, instance.params, tuple(symbols))
    made = {}
    for output in record.outputs:
        values = found.get(output.name)
        if values is None or np.shape(values) != there.shape:
            raise PluginError(
                f"indicator {record.name!r} should return {output.name!r} of shape {there.shape}, "
                f"got {'nothing' if values is None else np.shape(values)}"
            )
        made[output.name] = np.where(few[:, None] | ~there, np.nan, values)
    return made
