"""Random shooting: the floor that a search has to beat."""

from dataclasses import dataclass

from torch import Tensor

from lewm.planning.candidates import cheaper, check_numbers, clip, evaluate, nothing_yet, spread
from lewm.planning.noise import draw_coloured
from lewm.planning.protocols import ActionCost, Generators, Iteration, OnIteration, Plan


@dataclass(frozen=True)
class RandomShooting:
    """Draws candidates around where it starts and takes the cheapest; it learns nothing from their costs.

    The noise is normal, not uniform within the bounds: a model that was trained on recorded actions, which have
    standard deviation 1, knows little of the corners, and bounds may be infinite.

    Attributes:
      low, high: (A,) or (K, a) bounds of an action block in normalized space; candidates are clipped to them.
      num_samples: candidates of an iteration; the start is one of them.
      num_iterations: how many times so many are drawn.
      std: standard deviation of the noise.
      noise_exponent: the power of the noise falls as 1 / frequency^noise_exponent; 0 is white.
    """

    low: Tensor
    high: Tensor
    num_samples: int
    num_iterations: int
    std: float
    noise_exponent: float

    def __post_init__(self) -> None:
        check_numbers(self.num_samples, self.num_iterations, self.std, self.noise_exponent)

    def __call__(
        self, cost: ActionCost, mean: Tensor, *, generator: Generators, on_iteration: OnIteration | None = None
    ) -> Plan:
        """Returns the cheapest candidate that it drew, or the start."""
        start = clip(mean, self.low, self.high)
        best = nothing_yet(start)
        for index in range(self.num_iterations):
            noise = draw_coloured(self.num_samples - 1, generator, start, self.low, self.noise_exponent)
            candidates = spread(start, self.std, noise, self.low, self.high)
            costs = evaluate(cost, candidates)
            best = cheaper(best, costs, candidates)
            if on_iteration is not None:
                on_iteration(Iteration(index, costs, best.actions, None, best.cost))
        return best
