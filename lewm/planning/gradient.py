"""Gradient descent on the actions themselves, from several starts at once."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lewm.planning.candidates import cheaper, check_numbers, clip, evaluate, nothing_yet, spread
from lewm.planning.descent import Adam, gradients
from lewm.planning.noise import draw_coloured
from lewm.planning.protocols import ActionCost, Generators, Iteration, OnIteration, Plan


@dataclass(frozen=True)
class Gradient:
    """Adam on every candidate, projected onto the bounds after each step.

    A candidate whose cost is not finite has no gradient: it starts again near the best plan so far.

    Attributes:
      low, high: (A,) or (K, a) bounds of an action block in normalized space; candidates are clipped to them.
      num_samples: starts; the mean is one of them.
      num_iterations: steps.
      std: standard deviation of the starts around the mean.
      noise_exponent: the power of the starts' noise falls as 1 / frequency^noise_exponent; 0 is white.
      learning_rate: of Adam: about how far an action moves in one step, in normalized units.
    """

    low: Tensor
    high: Tensor
    num_samples: int
    num_iterations: int
    std: float
    noise_exponent: float
    learning_rate: float

    def __post_init__(self) -> None:
        check_numbers(self.num_samples, self.num_iterations, self.std, self.noise_exponent)
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate={self.learning_rate} must be positive")

    def __call__(
        self, cost: ActionCost, mean: Tensor, *, generator: Generators, on_iteration: OnIteration | None = None
    ) -> Plan:
        """Returns the cheapest candidate of all steps, the last included."""
        mean = clip(mean, self.low, self.high)
        best = nothing_yet(mean)
        candidates = self._starts(mean, generator)
        adam = Adam(candidates, self.learning_rate)
        for index in range(self.num_iterations):
            costs, (slope,) = gradients(cost, candidates)
            best = cheaper(best, costs, candidates)
            lost = costs.isinf()
            stepped = clip(adam.step(candidates, slope), self.low, self.high)
            candidates = torch.where(lost[:, :, None, None], self._starts(best.actions, generator), stepped)
            adam.forget(lost)
            if on_iteration is not None:
                on_iteration(Iteration(index, costs, best.actions, None, best.cost))
        return cheaper(best, evaluate(cost, candidates), candidates)

    def _starts(self, mean: Tensor, generator: Generators) -> Tensor:
        """(B, N, H, A) candidates around (B, H, A)."""
        noise = draw_coloured(self.num_samples - 1, generator, mean, self.low, self.noise_exponent)
        return spread(mean, self.std, noise, self.low, self.high)
