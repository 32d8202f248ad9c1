"""The cross-entropy method (Rubinstein and Kroese, 2004), as LeWM plans with it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lewm.planning.candidates import (
    cheaper,
    cheapest,
    check_elites,
    check_numbers,
    clip,
    evaluate,
    fit,
    nothing_yet,
    spread,
)
from lewm.planning.noise import draw_normal
from lewm.planning.protocols import ActionCost, Generators, Iteration, OnIteration, Plan


@dataclass(frozen=True)
class CEM:
    """Samples candidates from a diagonal Gaussian and refits it to the cheapest ones.

    Attributes:
      low, high: (A,) or (K, a) bounds of an action block in normalized space; candidates are clipped to them.
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
        check_numbers(self.num_samples, self.num_iterations, self.std)
        check_elites(self.num_elites, self.num_samples, self.min_std)

    def __call__(
        self, cost: ActionCost, mean: Tensor, *, generator: Generators, on_iteration: OnIteration | None = None
    ) -> Plan:
        """Returns the cheapest candidate that any iteration saw, the last mean included."""
        mean = clip(mean, self.low, self.high)
        std = torch.full_like(mean, self.std)
        best = nothing_yet(mean)
        for index in range(self.num_iterations):
            noise = draw_normal((self.num_samples - 1, *mean.shape[1:]), generator, mean)
            candidates = spread(mean, std, noise, self.low, self.high)
            costs = evaluate(cost, candidates)
            best = cheaper(best, costs, candidates)
            mean, std = fit(*cheapest(costs, candidates, self.num_elites), mean, std)
            std = std.clamp(min=self.min_std)
            if on_iteration is not None:
                on_iteration(Iteration(index, costs, mean, std, best.cost))
        return cheaper(best, evaluate(cost, mean[:, None]), mean[:, None])
