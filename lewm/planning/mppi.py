"""Model-predictive path integral control (Williams et al. 2017, arXiv 1707.02342)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lewm.errors import InputError
from lewm.planning.candidates import cheaper, clip, evaluate, nothing_yet
from lewm.planning.protocols import ActionCost, Generators, Iteration, OnIteration, Plan
from lewm.planning.search import ColouredSearch


@dataclass(frozen=True)
class MPPI(ColouredSearch):
    """MPPI: moves the mean to the average of the candidates, weighted by exp(-cost / temperature).

    Attributes beside those of ColouredSearch; the paper has one iteration for each plan, and white noise:
      std_decay: factor of the standard deviation from one iteration to the next; 1 is the paper's.
      temperature: temperature of the weights.
      relative: the temperature is in standard deviations of the iteration's costs, so that a plan does not depend on
        their unit; else it is in that unit, as in the paper.
    """

    std_decay: float
    temperature: float
    relative: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.std_decay <= 1:
            raise InputError(f"std_decay={self.std_decay} must be positive and at most 1")
        if not self.temperature > 0:
            raise InputError(f"temperature={self.temperature} must be positive")

    def __call__(
        self, cost: ActionCost, mean: Tensor, *, generator: Generators, on_iteration: OnIteration | None = None
    ) -> Plan:
        """Returns the cheapest candidate that any iteration saw, the last mean included."""
        mean = clip(mean, self.low, self.high)
        best = nothing_yet(mean)
        for index in range(self.num_iterations):
            std = self.std * self.std_decay**index
            candidates = self.draw(mean, std, generator)
            costs = evaluate(cost, candidates)
            best = cheaper(best, costs, candidates)
            average = (self._weights(costs)[:, :, None, None] * candidates).sum(1)
            # Without a single finite cost there is nothing to average. Rounding may leave the bounds.
            mean = torch.where(costs.isfinite().any(1)[:, None, None], clip(average, self.low, self.high), mean)
            if on_iteration is not None:
                on_iteration(Iteration(index, costs, mean, torch.full_like(mean, std * self.std_decay), best.cost))
        return cheaper(best, evaluate(cost, mean[:, None]), mean[:, None])

    def _weights(self, costs: Tensor) -> Tensor:
        """Weights of the candidates, (B, N), with sum 1; 0 for an infinite cost."""
        above = costs - costs.amin(1, keepdim=True)  # inf - inf is nan: of an episode without a finite cost
        if self.relative:
            finite = above.isfinite()
            num = finite.sum(1, keepdim=True).clamp(min=1)
            offset = above - torch.where(finite, above, 0).sum(1, keepdim=True) / num
            std = (torch.where(finite, offset, 0).square().sum(1, keepdim=True) / num).sqrt()
            above = above / std.clamp(min=torch.finfo(std.dtype).tiny)
        return torch.softmax(-above / self.temperature, dim=1)
