"""Pieces of work: what they depend on as a key, their seeds, and several of them at a time."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.metadata import version
from typing import Any

from tftctl.core.config.selection import SelectionConfig
from tftctl.select.evidence import REVISION
from tftctl.select.folds import Cell
from tftctl.select.rows import Pool


def in_threads(work: Callable[[Any], Any], items: Sequence[Any], jobs: int | None) -> Any:
    """Yield (item, result) as they are done. LightGBM, forests and the walks through trees all let others run."""
    if not items:
        return
    with ThreadPoolExecutor(min(jobs or os.cpu_count() or 1, len(items))) as threads:
        futures = {threads.submit(work, item): item for item in items}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            for future in futures:
                future.cancel()


def cell_seed(settings: SelectionConfig, cell: Cell) -> list[int]:
    """Seeds of a cell: others for each, and the same whichever others are judged beside it."""
    return [settings.seed, zlib.crc32(f"{cell.period} {cell.target}".encode())]


def shares(targets: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
    """What each of a target's cells weighs, one entry of `targets` per cell: its weight (1 without) divided evenly."""
    return {target: weights.get(target, 1.0) / number for target, number in Counter(targets).items()}


def cell_revision() -> list[Any]:
    """What makes evidence: ours and the libraries'."""
    return [REVISION, version("lightgbm"), version("scikit-learn"), version("numpy")]


def pool_key(pool: Pool) -> list[Any]:
    """What a selection reads: rows, symbols, cuts."""
    symbols = [[group.symbol, group.period] for group in pool.panel.groups]
    return [pool.data, symbols, pool.cut, pool.until, pool.embargo_ms, digest(pool.window_start[:1000].tolist())]


def digest(document: Any) -> str:
    """Sixteen hexadecimal digits of any JSON-able document."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=list).encode()).hexdigest()[:16]
