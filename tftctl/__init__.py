"""tftctl: from raw K-lines to an audited multi-target Temporal Fusion Transformer."""

__version__ = "0.1.0"
