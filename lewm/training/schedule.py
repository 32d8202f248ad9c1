"""Learning-rate schedule of a training and of the fitting of heads."""

import math


def learning_rate(step: int, num_steps: int, warmup_fraction: float) -> float:
    """Factor of the peak learning rate: linear warmup, then a cosine to 0.

    Args:
      step: step that comes next, from 0.
      num_steps: steps of the whole training.
      warmup_fraction: share of the steps in which the rate rises.

    Returns:
      A number in (0, 1].
    """
    warmup = round(warmup_fraction * num_steps)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(num_steps - warmup, 1)))
