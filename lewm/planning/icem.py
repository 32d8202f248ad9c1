"""iCEM: the cross-entropy method with fewer samples (Pinneri et al. 2020, arXiv 2008.06389)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lewm.errors import InputError
from lewm.planning.candidates import candidates_around, cheaper, cheapest, clip, evaluate, fit, nothing_yet
from lewm.planning.noise import draw_coloured
from lewm.planning.protocols import ActionCost, Generators, Iteration, OnIteration, Plan
from lewm.planning.search import EliteSearch, check_exponent


@dataclass(frozen=True)
class ICEM(EliteSearch):
    """CEM with coloured noise, kept elites and a shrinking population.

    The elites of the last plan live on in the mean that a search starts from, which is a candidate: the caller shifts
    the last plan. A kept elite keeps its cost, too, so the model evaluates new candidates only.

    Attributes beside those of EliteSearch:
      num_kept: number of elites that compete in the next iteration, too.
      population_decay: iteration i has max(N / population_decay^i, 2 K) new candidates, at most N.
      momentum: share of the old mean and standard deviation in the refitted ones.
      noise_exponent: the power of the noise falls as 1 / frequency^noise_exponent; 0 is white.
    """

    num_kept: int
    population_decay: float
    momentum: float
    noise_exponent: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_exponent(self.noise_exponent)
        if not 0 <= self.num_kept <= self.num_elites:
            raise InputError(f"num_kept={self.num_kept} must be between 0 and num_elites={self.num_elites}")
        if not self.population_decay >= 1:
            raise InputError(f"population_decay={self.population_decay} must be at least 1")
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum={self.momentum} must be at least 0 and below 1")

    def population(self, index: int) -> int:
        """Number of new candidates of iteration `index`."""
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
            candidates = candidates_around(mean, std, noise, self.low, self.high)
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
