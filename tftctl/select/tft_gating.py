"""`tftctl select tft-gating`: which inputs a trained network lets through, as evidence in files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tftctl.core.errors import DataError, StoreError, UsageError, nearest
from tftctl.core.progress import Report, Say, silent
from tftctl.core.times import iso
from tftctl.core.workspace import Workspace
from tftctl.data.assemble import Prepared, prepare_again
from tftctl.data.inputs import allowed_columns
from tftctl.data.spec import DataSpec
from tftctl.plugins import Registry
from tftctl.select.gate_scores import ALL_SYMBOLS
from tftctl.select.gates import PARTS, Gates, gate_weights
from tftctl.select.labels_seen import LabelsSeen, labels_seen
from tftctl.select.places import PLACES
from tftctl.store import Snapshot, Store
from tftctl.train.ancestor import load_ancestor
from tftctl.train.checkpoint import CheckpointContent, LoadedCheckpoint
from tftctl.train.predict import load_predictor
from tftctl.train.rundir import Run
from tftctl.train.session import data_versions

TOP = 10
_KEY = ("variables", "period", "symbol")


@dataclass(frozen=True, slots=True)
class Gating:
    """What was found and where it is. `gates` has the columns of the CSV, `positions` those of the file beside it.

    `meta` is what the JSON file says: run, cut, the last label_end seen, inputs, origins, seconds.
    """

    gates: pl.DataFrame
    positions: pl.DataFrame
    evidence: Path
    positions_path: Path
    meta_path: Path
    meta: dict[str, Any]

    def top(self, limit: int = TOP) -> pl.DataFrame:
        """The encoder variables with the largest weights of every period, all symbols together."""
        rows = self.gates.filter((pl.col("variables") == "encoder") & (pl.col("symbol") == ALL_SYMBOLS))
        return rows.filter(pl.int_range(pl.len()).over("period") < limit)

    def document(self) -> dict[str, Any]:
        """The JSON document of the command."""
        return {
            "selected": [],
            "evidence": str(self.evidence),
            "allowlist": None,
            "positions": str(self.positions_path),
            "meta": str(self.meta_path),
            **self.meta,
            "gates": self.top().to_dicts(),
        }


def gate_evidence(
    workspace: Workspace, source: str, out: Path, registry: Registry, say: Say, report: Report = silent
) -> Gating:
    """Average the gates of a run's last checkpoint, or of a checkpoint file, over its training origins; write files.

    A relative `out` is relative to the workspace. Raises UsageError for an `out` that is no CSV file and for a run that
    is not there, DataError where the store has not the inputs any more, StoreError where nothing can be written.
    """
    began = time.perf_counter()
    paths = _paths(workspace, out)
    loaded, run = load_ancestor(workspace, source, prefer="last")
    prepared, snapshot = _prepare(Store(workspace.store), loaded, registry, say)
    train = prepared.splits["train"]
    if not train.size:
        raise DataError(f"{loaded.content.run} has no training origin in snapshot {snapshot}", "train again")
    network = load_predictor(loaded, registry).network.cpu()
    gates = gate_weights(prepared, network, report)
    seen = labels_seen(workspace, loaded, run, int(prepared.panel.last_label_end()[train].max()))
    meta = _meta(workspace, loaded, run, snapshot, seen, train.size, time.perf_counter() - began)
    found = Gating(gate_frame(gates, prepared.spec), position_frame(gates, prepared.spec), *paths, meta)
    _write(found)
    return found


def gate_frame(gates: Gates, spec: DataSpec) -> pl.DataFrame:
    """One row per part, period, symbol (`*` for all) and variable; rank 1 is the largest weight, ties share theirs."""
    symbols = list(dict.fromkeys([ALL_SYMBOLS, *(symbol for _, _, symbol in gates.groups)]))
    order = [(part, period, symbol) for part in PARTS for period in spec.periods for symbol in symbols]
    kinds = {part: [_kind(name, spec) for name in gates.names[part]] for part in PARTS}
    rows = [
        (*key, _plain(name), kind, float(weight), float(spread), found.count)
        for key in order
        if (found := gates.groups.get(key)) is not None
        for name, kind, weight, spread in zip(gates.names[key[0]], kinds[key[0]], found.mean, found.spread, strict=True)
    ]
    columns = dict.fromkeys((*_KEY, "feature", "kind"), pl.String)
    schema = columns | {"weight": pl.Float64, "spread": pl.Float64, "origins": pl.Int64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    rank = pl.col("weight").rank("average", descending=True).over(_KEY).alias("rank")
    places = pl.struct(_KEY).rle_id().alias("place")
    return frame.with_columns(rank, places).sort("place", "rank", maintain_order=True).drop("place")


def position_frame(gates: Gates, spec: DataSpec) -> pl.DataFrame:
    """Encoder weights by position, 0 being the origin's own row, all symbols together."""
    names = [_plain(name) for name in gates.names["encoder"]]
    periods = [period for period in spec.periods if period in gates.positions]
    frames = [_positions_of(period, gates.positions[period].mean, gates.positions[period].spread, names)
              for period in periods]  # fmt: skip
    return pl.concat(frames)


def _positions_of(period: str, weight: Any, spread: Any, names: Sequence[str]) -> pl.DataFrame:
    length, width = weight.shape
    return pl.DataFrame(
        {
            "period": [period] * weight.size,
            "position": np.repeat(np.arange(1 - length, 1), width),
            "feature": list(names) * length,
            "weight": weight.ravel(),
            "spread": spread.ravel(),
        }
    )


def _plain(name: str) -> str:
    """Without the network's x_ or c_."""
    return name[2:]


def _kind(name: str, spec: DataSpec) -> str:
    if name.startswith("c_"):
        return "categorical"
    return "real" if _plain(name) in {item.name for item in spec.inputs} else "missing_flag"


def _prepare(store: Store, loaded: LoadedCheckpoint, registry: Registry, say: Say) -> tuple[Prepared, int]:
    """The windows of a checkpoint and the number of the snapshot that they are of."""
    with closing(_snapshot(store, loaded.content, say)) as snapshot:
        return prepare_again(store.root, snapshot, loaded.content.spec, registry), snapshot.number


def _snapshot(store: Store, content: CheckpointContent, say: Say) -> Snapshot:
    """The checkpoint's, or the current one where that is gone and this has all inputs.

    Raises DataError for inputs that are in neither.
    """
    snapshot = next(_candidates(store, content.spec.snapshot))
    try:
        _require_inputs(snapshot, content)
        if data_versions(snapshot) != content.data_versions:
            say(
                f"{content.run} was trained on snapshot {content.spec.snapshot} as it was then; snapshot "
                f"{snapshot.number} has all its inputs but other rows, of which those within its training cut are used"
            )
        elif snapshot.number != content.spec.snapshot:
            say(f"snapshot {content.spec.snapshot} is gone; snapshot {snapshot.number} has the same rows")
    except BaseException:
        snapshot.close()
        raise
    return snapshot


def _candidates(store: Store, number: int) -> Iterator[Snapshot]:
    try:
        yield store.read(number)
    except StoreError:
        yield store.read()


def _require_inputs(snapshot: Snapshot, content: CheckpointContent) -> None:
    columns: Mapping[str, Any] = snapshot.meta("fused").get("columns", {}) if snapshot.has("fused") else {}
    wanted = [item.name for item in content.spec.inputs]
    missing = [name for name in wanted if name not in columns]
    if not missing:
        return
    match = nearest(missing[0], columns)
    raise DataError(
        f"{len(missing)} of {len(wanted)} inputs of {content.run} are not in the store any more (snapshot "
        f"{snapshot.number}): {', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}",
        (f"did you mean {match}? " if match else "")
        + f"it has {len(allowed_columns(columns))} columns that can be inputs: tftctl features list; add what is "
        "missing to configs/features.yaml and run tftctl features build, or train again: tftctl train",
    )


def _meta(
    workspace: Workspace,
    loaded: LoadedCheckpoint,
    run: Run | None,
    snapshot: int,
    seen: LabelsSeen,
    origins: int,
    seconds: float,
) -> dict[str, Any]:
    content = loaded.content
    return {
        "run": run.name if run is not None else content.run,
        "run_id": content.run_id,
        "targets": [target.name for target in content.spec.targets],
        "checkpoint": workspace.shown(loaded.path),
        "snapshot": snapshot,
        "trained_on_snapshot": content.spec.snapshot,
        "data_versions": content.data_versions,
        "cut": iso(content.spec.train_end),
        **asdict(seen),
        "last_label_end": iso(seen.last_label_end),
        "inputs": [item.name for item in content.spec.inputs],
        "origins": origins,
        "seconds": round(seconds, 3),
    }


def _paths(workspace: Workspace, out: Path) -> tuple[Path, Path, Path]:
    """The CSV file, the positions and the JSON file beside it."""
    if out.suffix != ".csv":
        raise UsageError(f"--out {out}: the evidence is a CSV file", f"like --out {PLACES.gates}")
    path = workspace.root / out
    return path, path.with_name(f"{path.stem}_positions.csv"), path.with_suffix(".json")


def _write(found: Gating) -> None:
    """All three files are complete before the first takes its place."""
    texts = {
        found.positions_path: found.positions.write_csv(),
        found.evidence: found.gates.write_csv(),
        found.meta_path: json.dumps(found.meta, indent=2) + "\n",
    }
    staged = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in texts}
    try:
        found.evidence.parent.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            staged[path].write_text(text, encoding="utf-8")
        for path, ready in staged.items():
            os.replace(ready, path)
    except OSError as error:
        raise StoreError(f"cannot write {found.evidence}: {error.strerror}", "may you write there?") from None
    finally:
        for ready in staged.values():
            ready.unlink(missing_ok=True)
