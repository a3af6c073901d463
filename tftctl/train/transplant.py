"""Weights of one network in another: what both have goes over, by the names of inputs, targets, symbols and periods."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tftctl.data.spec import DataSpec, TargetSpec
from tftctl.model.network import NetworkShape, embedding_widths, real_names
from tftctl.train.checkpoint import LoadedCheckpoint, network_shape
from tftctl.train.module import ForecastModule

_GATES = re.compile(r"network\.tft\.(?P<part>static|encoder|decoder)_variable_selection\.flattened_grn\.(?P<inner>.+)")
_EMBEDDING = re.compile(r"network\.tft\.input_embeddings\.embeddings\.c_(?P<name>symbol|period)\.weight")
_INPUT = re.compile(r"network\.tft\..*\b(?:single_variable_grns|prescalers)\.(?P<name>[xc]_\w+?)\.")
_HEAD = re.compile(r"network\.tft\.output_layer(?:\.(?P<place>\d+))?\.(?P<inner>weight|bias)")
_UNKNOWN = "<unknown>"
# for each axis, the old index of each new one: -1 where there is none; None where nothing moves
Places = list[list[int] | None]


@dataclass(slots=True)
class Transplant:
    """What went over. By kind (`inputs`, `targets`, `symbols`, `periods`): names that were kept, are fresh, and are
    gone; `fresh` has other parts that could not be loaded, and why; parameters are counted, and `untouched` names those
    of which nothing was loaded."""

    kept: dict[str, list[str]] = field(default_factory=dict)
    new: dict[str, list[str]] = field(default_factory=dict)
    dropped: dict[str, list[str]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)
    loaded: int = 0
    parameters: int = 0
    untouched: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """For the manifest."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "untouched"}

    def lines(self) -> Iterator[str]:
        """For the reader."""
        yield f"warm start: {self.loaded:,} of {self.parameters:,} parameters loaded"
        for kind, names in self.kept.items():
            parts = [f"{len(names)} kept"]
            parts += [f"{len(self.new[kind])} fresh ({self._with_reasons(self.new[kind])})"] if self.new[kind] else []
            parts += (
                [f"{len(self.dropped[kind])} dropped ({_listed(self.dropped[kind])})"] if self.dropped[kind] else []
            )
            yield f"  {kind}: {', '.join(parts)}"
        for part, reason in self.fresh.items():
            yield f"  fresh: {part} ({reason})"

    def _with_reasons(self, names: Sequence[str]) -> str:
        return _listed([f"{name}: {self.reasons[name]}" if name in self.reasons else name for name in names])


def transplant(loaded: LoadedCheckpoint, module: ForecastModule, spec: DataSpec) -> Transplant:
    """Load into a fresh module what a checkpoint's network has in common with it.

    Inputs keep their prescaler and gate, the joint gates their rows and columns of the inputs that stay; heads and
    log-variances go by target, embeddings by symbol and period. Everything else goes over where its shape is the same.
    """
    old_spec = loaded.content.spec
    old, new = network_shape(loaded.content.config, old_spec), module.network.shape
    report = _compared(old_spec, spec)
    own = module.state_dict()
    unlike = [size for size in _SIZES if getattr(old, size) != getattr(new, size)]
    for name, value in own.items():
        if name.startswith("loss.") and name != "loss.log_vars":
            continue  # weights and positive weights are those of this training
        report.parameters += value.numel()
        found = _source(name, loaded.state, old_spec, spec, report)
        places = _places(name, old, new, old_spec, spec, report)
        fitted = _fitted(found, value, places) if found is not None else None
        if fitted is None:
            _note_fresh(report, name, found, value, unlike)
        if fitted is None or not fitted[1]:
            report.untouched.append(name)
            continue
        own[name], count = fitted
        report.loaded += count
    module.load_state_dict(own)
    return report


_SIZES = ("hidden_size", "hidden_continuous_size", "lstm_layers", "attention_head_size", "encoder_length")


def _compared(old: DataSpec, new: DataSpec) -> Transplant:
    report = Transplant()
    pairs: dict[str, tuple[list[str], list[str]]] = {
        "inputs": (old.reals, new.reals),
        "targets": ([target.name for target in old.targets], [target.name for target in new.targets]),
        "symbols": (old.symbols, new.symbols),
        "periods": (old.periods, new.periods),
    }
    heads = {target.name: target for target in old.targets}
    for target in new.targets:
        reason = _unlike_heads(heads.get(target.name), target)
        if reason:
            report.reasons[target.name] = reason
    for kind, (before, after) in pairs.items():
        kept = [name for name in after if name in before and name not in report.reasons]
        report.kept[kind] = kept
        report.new[kind] = [name for name in after if name not in kept]
        report.dropped[kind] = [name for name in before if name not in after]
    return report


def _unlike_heads(old: TargetSpec | None, new: TargetSpec) -> str:
    """Why a head cannot be kept; empty where it can, or is new."""
    if old is None or (old.loss == new.loss and old.outputs == new.outputs and old.kind == new.kind):
        return ""
    if old.kind == new.kind and old.outputs == new.outputs == 1:
        return ""
    return f"its loss was {old.loss}, is {new.loss}"


def _source(name: str, state: Mapping[str, Tensor], old: DataSpec, new: DataSpec, report: Transplant) -> Tensor | None:
    """The tensor that a parameter comes from."""
    head = _HEAD.fullmatch(name)
    if head is None:
        return state.get(name)
    target = new.targets[int(head["place"] or 0)].name
    names = [entry.name for entry in old.targets]
    if target not in names or target in report.reasons:
        return None
    place = f".{names.index(target)}" if len(names) > 1 else ""
    return state.get(f"network.tft.output_layer{place}.{head['inner']}")


def _places(
    name: str, old: NetworkShape, new: NetworkShape, old_spec: DataSpec, spec: DataSpec, report: Transplant
) -> Places:
    embedding, gates = _EMBEDDING.fullmatch(name), _GATES.fullmatch(name)
    if embedding is not None:
        before, after = _classes(old_spec, embedding["name"]), _classes(spec, embedding["name"])
        return [_by_name(before, after), None]
    if name == "loss.log_vars":
        kept = ["" if target.name in report.reasons else target.name for target in spec.targets]
        return [_by_name([target.name for target in old_spec.targets], kept)]
    if gates is not None:
        return _gate_places(gates["inner"], _variables(gates["part"], old), _variables(gates["part"], new), new)
    return []


def _classes(spec: DataSpec, name: str) -> list[str]:
    if name == "period":
        return spec.periods
    return [*spec.symbols, *([_UNKNOWN] if spec.pooled else [])]


def _variables(part: str, shape: NetworkShape) -> dict[str, int]:
    """Variables of a selection in its order, and how many numbers each brings."""
    widths = embedding_widths(shape)
    if part == "static":
        return {f"c_{name}": widths[name] for name in shape.static}
    names = real_names(shape.reals)
    reals = names if part == "encoder" else [names[number] for number in shape.known]
    varying = {f"c_{name}": widths[name] for name in shape.varying}
    return {**varying, **dict.fromkeys(reals, shape.hidden_continuous_size)}


def _gate_places(inner: str, old: Mapping[str, int], new: Mapping[str, int], shape: NetworkShape) -> Places:
    """Joint gates: `fc1` reads the variables' numbers side by side, the gated unit has two rows for each of them."""
    rows = _by_name(list(old), list(new))
    twice = [*rows, *(place + len(old) if place >= 0 else -1 for place in rows)]
    before, after = (min(shape.hidden_size, len(variables)) for variables in (old, new))
    units = [place if place < before else -1 for place in range(after)]
    match inner:
        case "fc1.weight":
            return [units, _by_name(_numbers(old), _numbers(new))]
        case "fc2.weight":
            return [units, units]
        case "context.weight":
            return [units, None]
        case "gate_norm.glu.fc.weight":
            return [twice, units]
        case "gate_norm.glu.fc.bias":
            return [twice]
        case "fc1.bias" | "fc2.bias":
            return [units]
    return [rows]


def _numbers(variables: Mapping[str, int]) -> list[str]:
    return [f"{name}:{number}" for name, width in variables.items() for number in range(width)]


def _by_name(old: Sequence[str], new: Sequence[str]) -> list[int]:
    places = {name: place for place, name in enumerate(old)}
    return [places.get(name, -1) for name in new]


def _fitted(old: Tensor, new: Tensor, places: Places) -> tuple[Tensor, int] | None:
    """The new tensor with the numbers of the old one, and how many they are; None where the shapes do not allow it."""
    if old.ndim != new.ndim:
        return None
    targets, sources = [], []
    for axis in range(new.ndim):
        moved = places[axis] if axis < len(places) else None
        if moved is None:
            if old.shape[axis] != new.shape[axis]:
                return None
            moved = list(range(new.shape[axis]))
        elif len(moved) != new.shape[axis] or max(moved, default=-1) >= old.shape[axis]:
            return None
        targets.append(torch.tensor([place for place, source in enumerate(moved) if source >= 0], dtype=torch.long))
        sources.append(torch.tensor([source for source in moved if source >= 0], dtype=torch.long))
    made = new.clone()
    made[torch.meshgrid(*targets, indexing="ij")] = old[torch.meshgrid(*sources, indexing="ij")].to(made.dtype)
    count = 1
    for chosen in targets:
        count *= chosen.numel()
    return made, count


def _note_fresh(report: Transplant, name: str, found: Tensor | None, value: Tensor, unlike: Sequence[str]) -> None:
    """Parts that are fresh for another reason than a name that is new."""
    if _HEAD.fullmatch(name) or (_INPUT.match(name) and found is None):
        return
    part = name.removeprefix("network.tft.").split(".")[0]
    if found is None:
        report.fresh.setdefault(part, "the checkpoint's network has no such part")
    else:
        other = f"; {', '.join(unlike)} differ" if unlike else ""
        report.fresh.setdefault(part, f"{tuple(found.shape)} there, {tuple(value.shape)} here{other}")


def _listed(names: Sequence[str], limit: int = 8) -> str:
    more = f", ... {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
