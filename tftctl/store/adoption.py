"""Whether segments that other processes wrote make one period of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import polars as pl

from tftctl.core.errors import StoreError
from tftctl.store.layout import segment_folder
from tftctl.store.manifest import Segment
from tftctl.store.storage import Storage
from tftctl.store.writer import Place


def check_place(segment: Segment, place: Place) -> None:
    """Raise StoreError unless a segment holds base rows of this table and period."""
    own = f"{segment_folder(place.table, place.period)}/{segment.id}.parquet"
    if segment.kind != "base" or segment.path != own:
        raise StoreError(
            f"{place}: the {segment.kind} segment {segment.path} does not belong there", "nothing was changed"
        )


def check_runs(runs: Sequence[Sequence[Segment]], place: Place) -> None:
    """Raise StoreError unless each run's symbols come after those of the run before it."""
    spans = [sorted({symbol for segment in run for symbol in segment.groups}) for run in runs]
    for before, after in pairwise(span for span in spans if span):
        if before[-1] >= after[0]:
            raise StoreError(
                f"{place}: {after[0]} comes in two runs of segments, or out of order", "nothing was changed"
            )


def check_columns(storage: Storage, segment: Segment, columns: Mapping[str, str], place: Place) -> None:
    """Raise StoreError unless a segment's file is there and has these columns and types, in this order."""
    try:
        schema = pl.read_parquet_schema(storage.locate(segment.path))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreError(f"{segment.path} cannot be read: {error}", "nothing was changed") from None
    own = {name: str(dtype) for name, dtype in schema.items()}
    if list(own.items()) != list(columns.items()):
        differing = sorted({name for name, _ in own.items() ^ columns.items()}) or ["their order"]
        raise StoreError(
            f"{place}: the columns of {segment.path} are not those of the first run: {', '.join(differing[:5])}",
            "nothing was changed",
        )
