"""What a training of this workspace would take as inputs, before and after a pruning."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tftctl.audit.prune.names import Described
from tftctl.data.allowlist import PLACE
from tftctl.data.inputs import allowed_columns, choose_inputs
from tftctl.data.spec import InputSpec


@dataclass(frozen=True, slots=True)
class Inputs:
    """`wanted` as the configuration names them, `allowlist` as configs/selected_features.txt does; None for all."""

    wanted: Sequence[str] | None = None
    allowlist: Sequence[str] | None = None

    def among(self, columns: Described, gone: Collection[str] = ()) -> list[InputSpec]:
        """Those that are there; none where the configuration names none of them."""
        left = {name: entry for name, entry in columns.items() if name not in set(gone)}
        names = [name for name in self.wanted if name in left] if self.wanted is not None else allowed_columns(left)
        if self.allowlist is not None:
            names = [name for name in names if name in set(self.allowlist)]
        return choose_inputs(left, names, None) if names else []

    def missed(self, gone: Collection[str]) -> dict[str, list[str]]:
        """Names that files of the configuration list and that are gone, by file."""
        files = {"configs/model_config.yaml": self.wanted, PLACE: self.allowlist}
        missed = {file: [name for name in names or () if name in set(gone)] for file, names in files.items()}
        return {file: names for file, names in missed.items() if names}


def spoiling(inputs: Sequence[InputSpec]) -> list[str]:
    """Inputs of a row's own bars: a null in one of them spoils a window (S3)."""
    return [item.name for item in inputs if item.block is None and item.role != "known"]
