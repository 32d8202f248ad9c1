"""Random shooting: the baseline that a search has to beat."""

from dataclasses import dataclass

from torch import Tensor

from lewm.planning.candidates import cheaper, clip, evaluate, nothing_yet
from lewm.planning.protocols import ActionCost, Generators, Iteration, OnIteration, Plan
from lewm.planning.search import ColouredSearch


@dataclass(frozen=True)
class RandomShooting(ColouredSearch):
    """Random shooting: draws candidates around the start and returns the cheapest one.

    The noise is normal, not uniform within the bounds: a model that was trained on recorded actions, which have
    standard deviation 1, knows little of the corners, and bounds may be infinite.

    Attributes: those of ColouredSearch. All iterations draw around the start.
    """

    def __call__(
        self, cost: ActionCost, mean: Tensor, *, generator: Generators, on_iteration: OnIteration | None = None
    ) -> Plan:
        """Returns the cheapest candidate, the start included."""
        start = clip(mean, self.low, self.high)
        best = nothing_yet(start)
        for index in range(self.num_iterations):
            candidates = self.draw(start, self.std, generator)
            costs = evaluate(cost, candidates)
            best = cheaper(best, costs, candidates)
            if on_iteration is not None:
                on_iteration(Iteration(index, costs, best.actions, None, best.cost))
        return best
