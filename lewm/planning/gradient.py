"""Gradient-based planning: Adam on the actions, from several starts at once."""

from dataclasses import dataclass

from torch import Tensor

from lewm.planning.candidates import cheaper, clip, evaluate, nothing_yet
from lewm.planning.descent import Adam, Descent
from lewm.planning.protocols import ActionCost, Generators, Iteration, OnIteration, Plan


@dataclass(frozen=True)
class Gradient(Descent):
    """Adam on every candidate, projected onto the bounds after each step.

    Attributes: those of Descent.
    """

    def __call__(
        self, cost: ActionCost, mean: Tensor, *, generator: Generators, on_iteration: OnIteration | None = None
    ) -> Plan:
        """Returns the cheapest candidate of all steps, the last included."""
        mean = clip(mean, self.low, self.high)
        best = nothing_yet(mean)
        candidates = self.draw(mean, self.std, generator)
        adam = Adam(candidates, self.learning_rate)
        for index in range(self.num_iterations):
            costs, candidates, best = self.descend(cost, candidates, best, adam, generator)
            if on_iteration is not None:
                on_iteration(Iteration(index, costs, best.actions, None, best.cost))
        return cheaper(best, evaluate(cost, candidates), candidates)
