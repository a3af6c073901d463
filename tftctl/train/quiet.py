"""Keeps the libraries' advertisements and self-talk off the user's screen; everything else passes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# what Lightning says about itself and about pytorch-forecasting's own constructor
_KNOWN = (
    r"Attribute '\w+' is an instance of `nn\.Module`",
    r".*does not have many workers",
    r".*isinstance\(treespec, LeafSpec\)",
    r"The number of training batches \(\d+\) is smaller than the logging interval",
)
_LOGGERS = ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch", "lightning.fabric")


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Filter the known remarks of Lightning while it works for us."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for text in _KNOWN:
                warnings.filterwarnings("ignore", message=text)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
