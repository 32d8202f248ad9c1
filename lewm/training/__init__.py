"""Where model, regularizer and data meet: the objective, the loop, checkpoints."""
