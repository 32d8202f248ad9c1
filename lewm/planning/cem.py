"""Cross-entropy method (Rubinstein and Kroese, 2004), the planner of LeWM."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lewm.planning.candidates import candidates_around, cheaper, cheapest, clip, evaluate, fit, nothing_yet
from lewm.planning.noise import draw_normal
from lewm.planning.protocols import ActionCost, Generators, Iteration, OnIteration, Plan
from lewm.planning.search import EliteSearch


@dataclass(frozen=True)
class CEM(EliteSearch):
    """Cross-entropy method: samples candidates from a diagonal Gaussian and refits it to the cheapest ones.

    Attributes: those of EliteSearch.
    """

    def __call__(
        self, cost: ActionCost, mean: Tensor, *, generator: Generators, on_iteration: OnIteration | None = None
    ) -> Plan:
        """Returns the cheapest candidate that any iteration saw, the last mean included."""
        mean = clip(mean, self.low, self.high)
        std = torch.full_like(mean, self.std)
        best = nothing_yet(mean)
        for index in range(self.num_iterations):
            noise = draw_normal((self.num_samples - 1, *mean.shape[1:]), generator, mean)
            candidates = candidates_around(mean, std, noise, self.low, self.high)
            costs = evaluate(cost, candidates)
            best = cheaper(best, costs, candidates)
            mean, std = fit(*cheapest(costs, candidates, self.num_elites), mean, std)
            std = std.clamp(min=self.min_std)
            if on_iteration is not None:
                on_iteration(Iteration(index, costs, mean, std, best.cost))
        return cheaper(best, evaluate(cost, mean[:, None]), mean[:, None])
