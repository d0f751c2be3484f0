"""Training: order, loop, checkpoints, run."""
