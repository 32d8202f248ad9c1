"""Exponential moving average of a model's weights, for evaluation."""

import copy

import torch

from lewm.models import JEPA


class WeightAverage:
    """Exponential moving average of a model's weights and buffers.

    After step t the average moves to the current weights by 1 - min(decay, (1 + t) / (10 + t)), so that the random
    start is soon forgotten. Buffers of real numbers, such as the statistics of a BatchNorm, are averaged as weights
    are. Whole numbers are copied. The update is a few kernels beside a recorded step.

    Args:
      model: model that is trained, on its device.
      decay: share of the average that a step leaves, in (0, 1).

    Attributes:
      model: the averaged model, in eval mode and without gradients.
    """

    def __init__(self, model: JEPA, decay: float) -> None:
        self.model, self._decay = copy.deepcopy(model).eval().requires_grad_(False), decay
        pairs = list(zip(self.model.state_dict().values(), model.state_dict().values(), strict=True))
        self._real = [pair[0] for pair in pairs if pair[0].is_floating_point()]
        self._current = [pair[1] for pair in pairs if pair[0].is_floating_point()]
        self._whole = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follows the weights after step number `step`, from 0."""
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._real, self._current, weight)
        for averaged, current in self._whole:
            averaged.copy_(current)
