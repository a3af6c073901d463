"""What a snapshot consists of: the frozen mirror of one manifest file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from tftctl.core.errors import StoreError
from tftctl.store.frames import period_order
from tftctl.store.rowhash import RowHash

FORMAT = 1
Kind = Literal["base", "delta", "tombstone"]


@dataclass(frozen=True, slots=True)
class Segment:
    """One immutable Parquet file.

    `groups` counts rows per symbol; `first` and `last` are the extreme timestamps; `row_hash` is order-free. A delta
    replaces rows of the same key in segments of a lower `sequence`, a tombstone removes them.
    """

    id: str
    path: str
    period: str
    kind: Kind
    sequence: int
    rows: int
    groups: Mapping[str, int]
    first: int | None
    last: int | None
    bytes: int
    sha256: str
    row_hash: str


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one period as a reader sees them, deltas and tombstones applied."""

    columns: Mapping[str, str]
    groups: Mapping[str, int]
    row_hash: RowHash

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(self.groups.values())

    @property
    def data_version(self) -> str:
        """Digest of the rows and the columns' types; the order of either does not matter (P4)."""
        return _digest([f"{name}:{dtype}" for name, dtype in self.columns.items()] + [str(self.row_hash)])


@dataclass(frozen=True, slots=True)
class Table:
    """One table: what is said about it, its rows per period, and the files that hold them."""

    meta: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()

    @property
    def periods(self) -> list[str]:
        """Periods from short to long."""
        return sorted(self.parts, key=period_order)

    @property
    def columns(self) -> dict[str, str]:
        """Name and type of every column of any period."""
        return {name: dtype for period in self.periods for name, dtype in self.parts[period].columns.items()}

    @property
    def data_version(self) -> str:
        """Digest over the periods' data versions."""
        return _digest(f"{period}:{part.data_version}" for period, part in self.parts.items())

    def of(self, period: str) -> list[Segment]:
        """The segments of one period, in the order of their keys, then of their sequence."""
        return [segment for segment in self.segments if segment.period == period]

    def with_part(self, period: str, part: Part, segments: Iterable[Segment]) -> Table:
        """This table with other rows in one period; `segments` are all that the period then has."""
        others = tuple(segment for segment in self.segments if segment.period != period)
        return replace(self, parts={**self.parts, period: part}, segments=(*others, *segments))

    def without(self, period: str) -> Table:
        """This table without one period."""
        parts = {name: part for name, part in self.parts.items() if name != period}
        return replace(self, parts=parts, segments=tuple(item for item in self.segments if item.period != period))


@dataclass(frozen=True, slots=True)
class Manifest:
    """One snapshot. `parent` is the snapshot it was made from; `created` is ISO 8601 UTC."""

    number: int
    parent: int
    created: str
    why: str
    tables: Mapping[str, Table]

    def segments(self) -> list[Segment]:
        """The segments of all tables."""
        return [segment for table in self.tables.values() for segment in table.segments]

    def paths(self) -> set[str]:
        """Every segment file that this snapshot needs."""
        return {segment.path for segment in self.segments()}


EMPTY = Manifest(0, 0, "", "", {})


def encode(manifest: Manifest) -> bytes:
    """The JSON document of a manifest; derived values stand in it for those who read it without tftctl."""
    document = {
        "format": FORMAT,
        "number": manifest.number,
        "parent": manifest.parent,
        "created": manifest.created,
        "why": manifest.why,
        "tables": {name: _table_document(table) for name, table in sorted(manifest.tables.items())},
    }
    return (json.dumps({**document, "sha256": _checksum(document)}, indent=1, allow_nan=False) + "\n").encode()


def decode(content: bytes, name: str) -> Manifest:
    """Read a manifest's JSON. Raises StoreError when it is damaged or of a newer format."""
    try:
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise StoreError(f"{name} has format {document['format']}, this tftctl reads {FORMAT}", "update tftctl")
        if document.get("sha256", "") not in ("", _checksum(document)):
            raise ValueError("its checksum is not that of its content")
        tables = {key: _table(value) for key, value in document["tables"].items()}
        return Manifest(document["number"], document["parent"], document["created"], document["why"], tables)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{name} is damaged: {error!r}", "see: tftctl store verify") from None


def is_signed(content: bytes) -> bool:
    """Whether a manifest carries its checksum, which `decode` then holds against the content."""
    return bool(json.loads(content).get("sha256"))


def _checksum(document: Mapping[str, Any]) -> str:
    """Of everything but the checksum itself; spaces and the order of keys do not matter."""
    signed = {key: value for key, value in document.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(signed, sort_keys=True).encode()).hexdigest()


def _table_document(table: Table) -> dict[str, Any]:
    return {
        "meta": table.meta,
        "data_version": table.data_version,
        "columns": table.columns,
        "periods": {period: _part_document(table.parts[period]) for period in table.periods},
        "segments": [asdict(segment) for segment in table.segments],
    }


def _part_document(part: Part) -> dict[str, Any]:
    return {
        "rows": part.rows,
        "data_version": part.data_version,
        "row_hash": str(part.row_hash),
        "columns": part.columns,
        "groups": part.groups,
    }


def _table(document: Mapping[str, Any]) -> Table:
    parts = {
        period: Part(part["columns"], part["groups"], RowHash.parse(part["row_hash"]))
        for period, part in document["periods"].items()
    }
    return Table(document["meta"], parts, tuple(Segment(**segment) for segment in document["segments"]))


def _digest(texts: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(sorted(texts)).encode(), digest_size=12).hexdigest()
