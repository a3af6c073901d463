"""The store: immutable Parquet segments, manifests as the truth, many readers and competing writers."""

from tftctl.store.layout import cache_dir
from tftctl.store.manifest import Manifest
from tftctl.store.snapshot import Snapshot
from tftctl.store.store import Store
from tftctl.store.transaction import Transaction

__all__ = ["Manifest", "Snapshot", "Store", "Transaction", "cache_dir"]
