"""From the fused table to windows: splits in time, scaling, batches (SEMANTICS S)."""
