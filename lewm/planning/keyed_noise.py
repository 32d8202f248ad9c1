"""Normal noise of many episodes at once, by a counter-based generator."""

import math
from functools import lru_cache

import torch
from torch import Tensor

INCREMENT = 0x9E3779B97F4A7C15 - 2**64
MULTIPLIERS = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64
"""Constants of SplitMix64 (Steele et al. 2014), as signed numbers."""

LARGEST = 1 - 2**-24
"""Largest float32 below 1: no noise is infinite, and none beyond 5.4 standard deviations."""


class KeyedNoise:
    """Normal noise of B episodes. Each row is a function of its own seed and of what was drawn before.

    All rows take the same few operations, where a torch.Generator for each episode takes a kernel for each: for GPUs.
    Number i of a row is the inverse normal distribution of mix(seed + mix(i)), mix the output function of SplitMix64.

    Args:
      seeds: (B,) int64 seeds of the episodes, on the device of the noise.
    """

    def __init__(self, seeds: Tensor) -> None:
        self.seeds, self._num_drawn = seeds, 0

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """The next (B, *shape) float32 numbers."""
        num = math.prod(shape)
        bits = _mix(self.seeds[:, None] + _hashed_counter(self._num_drawn, num, self.seeds.device))
        self._num_drawn += num
        uniform = (bits.to(torch.float32) * 2**-63).clamp(-LARGEST, LARGEST)
        return (torch.erfinv(uniform) * math.sqrt(2)).reshape(len(self.seeds), *shape)


@lru_cache(maxsize=64)  # every plan draws the same shapes in the same order
def _hashed_counter(start: int, num: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return _mix(torch.arange(start + 1, start + 1 + num, device=device) * INCREMENT)


def _mix(x: Tensor) -> Tensor:
    """Output function of SplitMix64, one to one on int64; products wrap around."""
    for shift, multiplier in zip((30, 27), MULTIPLIERS, strict=True):
        x = (x ^ _shifted(x, shift)) * multiplier
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, num_bits: int) -> Tensor:
    """Shifts to the right with zeros from the left, where >> repeats the sign."""
    return (x >> num_bits) & (2 ** (64 - num_bits) - 1)
