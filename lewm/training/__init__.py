"""Training of world models: objective, loop, checkpoints."""
