"""iCEM: the cross-entropy method with fewer samples (Pinneri et al. 2020, arXiv 2008.06389)."""

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
from lewm.planning.noise import draw_coloured
from lewm.planning.protocols import ActionCost, Generators, Iteration, OnIteration, Plan


@dataclass(frozen=True)
class ICEM:
    """CEM with noise that is correlated in time, elites that stay and a population that shrinks.

    The elites of the last plan live on in the mean that a search starts from, which is a candidate: whoever calls
    shifts the last plan. A kept elite keeps its cost, too, so the model evaluates new candidates only.

    Attributes:
      low, high: (A,) or (K, a) bounds of an action block in normalized space; candidates are clipped to them.
      num_samples: N, new candidates of the first iteration; the mean is one of them in every iteration.
      num_elites: K, cheapest candidates that the Gaussian is refitted to.
      num_kept: of them, how many compete in the next iteration again.
      num_iterations: refits.
      population_decay: iteration i has max(N / population_decay^i, 2 K) new candidates, at most N.
      std: standard deviation at the start.
      min_std: floor of the standard deviation.
      momentum: share of the old mean and standard deviation in the refitted ones.
      noise_exponent: the power of the noise falls as 1 / frequency^noise_exponent; 0 is white.
    """

    low: Tensor
    high: Tensor
    num_samples: int
    num_elites: int
    num_kept: int
    num_iterations: int
    population_decay: float
    std: float
    min_std: float
    momentum: float
    noise_exponent: float

    def __post_init__(self) -> None:
        check_numbers(self.num_samples, self.num_iterations, self.std, self.noise_exponent)
        check_elites(self.num_elites, self.num_samples, self.min_std)
        if not 0 <= self.num_kept <= self.num_elites:
            raise ValueError(f"num_kept={self.num_kept} must be between 0 and num_elites={self.num_elites}")
        if not self.population_decay >= 1:
            raise ValueError(f"population_decay={self.population_decay} must be at least 1")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum={self.momentum} must be at least 0 and below 1")

    def population(self, index: int) -> int:
        """New candidates of an iteration."""
        return min(self.num_samples, max(int(self.num_samples / self.population_decay**index), 2 * self.num_elites))

    def __call__(
        self, cost: ActionCost, mean: Tensor, *, generator: Generators, on_iteration: OnIteration | None = None
    ) -> Plan:
        """Returns the cheapest candidate that any iteration saw, the last mean included."""
        mean = clip(mean, self.low, self.high)
        std = torch.full_like(mean, self.std)
        best = nothing_yet(mean)
        kept_costs, kept = mean.new_empty(len(mean), 0), mean[:, None][:, :0]
        for index in range(self.num_iterations):
            noise = draw_coloured(self.population(index) - 1, generator, mean, self.low, self.noise_exponent)
            candidates = spread(mean, std, noise, self.low, self.high)
            costs = evaluate(cost, candidates)
            best = cheaper(best, costs, candidates)
            pool = torch.cat([kept_costs, costs.to(kept_costs)], dim=1), torch.cat([kept, candidates], dim=1)
            elite_costs, elites = cheapest(*pool, self.num_elites)
            new_mean, new_std = fit(elite_costs, elites, mean, std)
            mean = self.momentum * mean + (1 - self.momentum) * new_mean
            std = (self.momentum * std + (1 - self.momentum) * new_std).clamp(min=self.min_std)
            kept_costs, kept = elite_costs[:, : self.num_kept], elites[:, : self.num_kept]
            if on_iteration is not None:
                on_iteration(Iteration(index, costs, mean, std, best.cost))
        return cheaper(best, evaluate(cost, mean[:, None]), mean[:, None])
