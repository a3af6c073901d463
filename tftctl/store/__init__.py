"""The store: immutable Parquet segments, manifests as the truth, many readers and competing writers."""

from tftctl.store.layout import cache_dir
from tftctl.store.manifest import Manifest, Segment
from tftctl.store.segments import SegmentSink
from tftctl.store.snapshot import Snapshot
from tftctl.store.store import Store
from tftctl.store.transaction import Transaction
from tftctl.store.writer import Place

__all__ = ["Manifest", "Place", "Segment", "SegmentSink", "Snapshot", "Store", "Transaction", "cache_dir"]
