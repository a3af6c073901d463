"""`tftctl audit time`: rows, steps, gaps, duplicates, order, grid, clocks, ends (SEMANTICS T)."""
