"""Schedules of a training: learning rate and regularizer weight, by steps or by the clock."""

import math
import time

import torch

from lewm.config import TrainingConfig
from lewm.distributed import of_main_rank


def learning_rate(step: float, num_steps: int, warmup_fraction: float) -> float:
    """Factor of the peak learning rate: linear warmup, then a cosine to 0.

    Args:
      step: step that comes next, from 0.
      num_steps: steps of the whole training.
      warmup_fraction: share of the steps in which the rate rises.

    Returns:
      A number in [0, 1].
    """
    warmup = round(warmup_fraction * num_steps)
    if step < warmup:
        return min((step + 1) / warmup, 1.0)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(num_steps - warmup, 1)))


class Schedule:
    """Schedule of a training that ends after num_steps or, if given, max_seconds, whichever comes first.

    Where the time is shorter, the schedule runs by the clock: after half of it, the learning rate is the one that is
    due after half of the steps.

    Args:
      training: settings of the training.
      device: device of the ranks' collectives.
      seconds: seconds that were trained before, by an interrupted process.

    Attributes:
      position: steps that the schedule has come to, at least the number of steps made, at most num_steps.
    """

    def __init__(self, training: TrainingConfig, device: torch.device, seconds: float = 0.0) -> None:
        self._training, self._device = training, device
        self._before, self._begun = seconds, time.perf_counter()
        self.position = 0.0

    @property
    def seconds(self) -> float:
        """Seconds trained so far, those of an interrupted process included."""
        return self._before + time.perf_counter() - self._begun

    def advance(self, step: int) -> None:
        """Moves to step number `step`, on all ranks alike."""
        self.position = float(step)
        if self._training.max_seconds is not None:
            share = min(of_main_rank(self.seconds, self._device) / self._training.max_seconds, 1.0)
            self.position = max(self.position, share * self._training.num_steps)

    @property
    def is_over(self) -> bool:
        """Whether the steps are made, or the time is up."""
        return self.position >= self._training.num_steps

    @property
    def rate_factor(self) -> float:
        """Factor of the peak learning rates at the next step."""
        return learning_rate(self.position, self._training.num_steps, self._training.warmup_fraction)

    @property
    def weight_factor(self) -> float:
        """Factor of the regularizer's weight at the next step, which changes linearly to final_weight_fraction."""
        return 1 + (self._training.final_weight_fraction - 1) * self.position / self._training.num_steps

    def expected_steps(self, step: int) -> int:
        """Steps of the whole training, at the rate of the first `step` ones."""
        return round(step * self._training.num_steps / self.position) if self.position else self._training.num_steps
