"""Quantiles never cross, whatever a network puts out (SEMANTICS M1)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tftctl.plugins import load_registry, resolve

REGISTRY = load_registry()
OUTPUT = st.floats(-1e4, 1e4, width=32)
LEVELS = st.sets(st.integers(1, 99), max_size=6).map(lambda percent: sorted({0.5, *(p / 100 for p in percent)}))


@pytest.mark.parametrize("name", ["quantile", "gaussian", "student_t"])
@settings(max_examples=60, deadline=None)
@given(data=st.data(), levels=LEVELS)
def test_quantiles_never_fall_from_one_level_to_the_next(name: str, data: Any, levels: list[float]) -> None:
    """For any levels and any float32 outputs; the median of each is its point, for all three are centred there."""
    record, options = REGISTRY.loss(name), {"levels": levels}
    raw = data.draw(hnp.arrays("float32", (5, record.outputs(options)), elements=OUTPUT))
    module = resolve(record.factory)(**options)
    found = module.quantiles(torch.from_numpy(raw))
    assert found.shape == (5, len(levels))
    assert torch.isfinite(found).all()
    assert (found.diff(dim=1) >= 0).all()
    middle = found[:, levels.index(0.5)]
    assert torch.allclose(middle, module.point(torch.from_numpy(raw)), rtol=1e-6, atol=1e-5)
