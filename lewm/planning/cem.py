"""The cross-entropy method (Rubinstein and Kroese, 2004), as LeWM plans with it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lewm.planning.protocols import ActionCost, Generators, Plan, draw_normal


@dataclass(frozen=True)
class CEM:
    """Samples candidates from a diagonal Gaussian and refits it to the cheapest ones.

    Attributes:
      low, high: (A,) bounds of an action block in normalized space; candidates are clipped to them.
      num_samples: candidates of an iteration; the mean itself is one of them.
      num_elites: cheapest candidates that the Gaussian is refitted to.
      num_iterations: refits.
      std: standard deviation at the start.
      min_std: floor of the standard deviation.
    """

    low: Tensor
    high: Tensor
    num_samples: int
    num_elites: int
    num_iterations: int
    std: float
    min_std: float

    def __post_init__(self) -> None:
        if not 1 <= self.num_elites <= self.num_samples:
            raise ValueError(f"num_elites={self.num_elites} must be between 1 and num_samples={self.num_samples}")
        if not (self.std > 0 and self.min_std >= 0):
            raise ValueError(f"std={self.std} must be positive and min_std={self.min_std} not negative")
        if self.num_iterations < 1:
            raise ValueError(f"num_iterations={self.num_iterations} must be at least 1")

    def __call__(self, cost: ActionCost, mean: Tensor, *, generator: Generators) -> Plan:
        """Returns the cheapest candidate that any iteration saw, the last mean included. A cost of nan loses."""
        mean = mean.clamp(self.low, self.high)
        std = torch.full_like(mean, self.std)
        best = Plan(mean, torch.full_like(mean[:, 0, 0], torch.inf))
        for _ in range(self.num_iterations):
            noise = draw_normal((self.num_samples - 1, *mean.shape[1:]), generator, mean)
            candidates = (mean[:, None] + std[:, None] * noise).clamp(self.low, self.high)
            candidates = torch.cat([mean[:, None], candidates], dim=1)
            costs, elites = self._cheapest(cost, candidates, self.num_elites)
            best = _cheaper(best, Plan(elites[:, 0], costs[:, 0]))
            mean = elites.mean(1)
            std = elites.std(1, correction=0).clamp(min=self.min_std)
        costs, last = self._cheapest(cost, mean[:, None], 1)
        return _cheaper(best, Plan(last[:, 0], costs[:, 0]))

    @staticmethod
    def _cheapest(cost: ActionCost, candidates: Tensor, num: int) -> tuple[Tensor, Tensor]:
        """(B, N, H, A) -> the (B, num) lowest costs in ascending order and their (B, num, H, A) candidates."""
        costs = torch.nan_to_num(cost(candidates), nan=torch.inf)
        costs, index = costs.topk(num, dim=1, largest=False, sorted=True)
        return costs, torch.take_along_dim(candidates, index[:, :, None, None], dim=1)


def _cheaper(a: Plan, b: Plan) -> Plan:
    better = b.cost < a.cost
    return Plan(torch.where(better[:, None, None], b.actions, a.actions), torch.where(better, b.cost, a.cost))
