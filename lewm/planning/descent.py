"""Gradient descent on candidates: what planners that differentiate the cost have in common."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lewm.planning.candidates import cheaper, clip, losing
from lewm.planning.protocols import ActionCost, Generators, Plan
from lewm.planning.search import ColouredSearch

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Adam's (Kingma and Ba, 2015)."""


def gradients(cost: Callable[..., Tensor], *variables: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Costs and what they change by with each variable.

    Args:
      cost: of the variables, (B, N).
      variables: (B, N, ...) each.

    Returns:
      (B, N) costs, inf where they are not finite, and a gradient for each variable: 0 where it or its cost is not
      finite.

    Raises:
      ValueError: the cost does not depend on the variables in a way that autograd knows.
    """
    with torch.enable_grad():
        leaves = [variable.detach().requires_grad_() for variable in variables]
        costs = losing(cost(*leaves))
        if not costs.requires_grad:
            raise ValueError("the cost has no gradient: plan with one that has, or with a planner that needs none")
        slopes = torch.autograd.grad(torch.where(costs.isfinite(), costs, 0).sum(), leaves)
    return costs.detach(), [torch.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0) for slope in slopes]


class Adam:
    """Adam on variables that are returned, not written into, and of which single candidates can start afresh.

    Args:
      like: (B, N, ...) of the variable's shape.
      learning_rate: the largest step, about.
    """

    def __init__(self, like: Tensor, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self._mean, self._square = torch.zeros_like(like), torch.zeros_like(like)
        self._num_steps = like.new_zeros(like.shape[:2] + (1,) * (like.ndim - 2))

    def step(self, variable: Tensor, gradient: Tensor) -> Tensor:
        """The variable, one step down."""
        self._num_steps = self._num_steps + 1
        self._mean = torch.lerp(gradient, self._mean, BETAS[0])
        self._square = torch.lerp(gradient.square(), self._square, BETAS[1])
        mean = self._mean / (1 - BETAS[0] ** self._num_steps)
        square = self._square / (1 - BETAS[1] ** self._num_steps)
        return variable - self.learning_rate * mean / (square.sqrt() + EPSILON)

    def forget(self, candidates: Tensor) -> None:
        """Lets the (B, N) candidates that are True start afresh."""
        mask = candidates.reshape(self._num_steps.shape)
        self._mean, self._square, self._num_steps = (
            torch.where(mask, 0, each) for each in (self._mean, self._square, self._num_steps)
        )


@dataclass(frozen=True)
class Descent(ColouredSearch):
    """A search that takes steps along the gradient of what the actions cost, from several starts at once.

    Attributes beside those of ColouredSearch, whose noise is that of the starts:
      learning_rate: of Adam: about how far an action moves in one step, in normalized units.
    """

    learning_rate: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate={self.learning_rate} must be positive")

    def descend(
        self, cost: ActionCost, candidates: Tensor, best: Plan, adam: Adam, generator: Generators
    ) -> tuple[Tensor, Tensor, Plan]:
        """One step on what (B, N, H, A) candidates cost, projected onto the bounds.

        A candidate whose cost is not finite has no gradient: it starts again near the best plan so far.

        Returns:
          (B, N) costs before the step, (B, N, H, A) candidates after it, the best plan with those before it.
        """
        costs, (slope,) = gradients(cost, candidates)
        best = cheaper(best, costs, candidates)
        lost = costs.isinf()
        stepped = clip(adam.step(candidates, slope), self.low, self.high)
        candidates = torch.where(lost[:, :, None, None], self.draw(best.actions, self.std, generator), stepped)
        adam.forget(lost)
        return costs, candidates, best
