"""Training: the module, losses, metrics, the composite score, checkpoints, run directories."""
