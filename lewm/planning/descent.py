"""Gradient descent on candidates, shared by the planners that differentiate the cost."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lewm.errors import InputError
from lewm.planning.candidates import cheaper, clip, losing
from lewm.planning.protocols import ActionCost, Generators, Plan
from lewm.planning.search import ColouredSearch

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Constants of Adam (Kingma and Ba, 2015)."""


def gradients(cost: Callable[..., Tensor], *variables: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Costs and their gradients with respect to each variable.

    Args:
      cost: function from the variables to (B, N) costs.
      variables: (B, N, ...) each.

    Returns:
      (B, N) costs, inf where they are not finite, and a gradient for each variable: 0 where it or its cost is not
      finite.

    Raises:
      InputError: the cost does not depend on the variables in a way that autograd knows.
    """
    with torch.enable_grad():
        leaves = [variable.detach().requires_grad_() for variable in variables]
        costs = losing(cost(*leaves))
        if not costs.requires_grad:
            raise InputError("the cost has no gradient: plan with one that has, or with a planner that needs none")
        slopes = torch.autograd.grad(torch.where(costs.isfinite(), costs, 0).sum(), leaves)
    return costs.detach(), [torch.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0) for slope in slopes]


class Adam:
    """Adam without in-place updates, whose moments can be reset for single candidates.

    Args:
      like: (B, N, ...) tensor of the variable's shape, type and device.
      learning_rate: size of the largest step, approximately.
    """

    def __init__(self, like: Tensor, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self._mean, self._square = torch.zeros_like(like), torch.zeros_like(like)
        self._num_steps = like.new_zeros(like.shape[:2] + (1,) * (like.ndim - 2))

    def step(self, variable: Tensor, gradient: Tensor) -> Tensor:
        """Returns the variable after one step."""
        self._num_steps = self._num_steps + 1
        self._mean = torch.lerp(gradient, self._mean, BETAS[0])
        self._square = torch.lerp(gradient.square(), self._square, BETAS[1])
        mean = self._mean / (1 - BETAS[0] ** self._num_steps)
        square = self._square / (1 - BETAS[1] ** self._num_steps)
        return variable - self.learning_rate * mean / (square.sqrt() + EPSILON)

    def forget(self, candidates: Tensor) -> None:
        """Resets the moments where `candidates` (B, N) is True."""
        mask = candidates.reshape(self._num_steps.shape)
        self._mean, self._square, self._num_steps = (
            torch.where(mask, 0, each) for each in (self._mean, self._square, self._num_steps)
        )


@dataclass(frozen=True)
class Descent(ColouredSearch):
    """Base class of gradient-based searches, from several starts at once.

    Attributes beside those of ColouredSearch, whose noise is that of the starts:
      learning_rate: learning rate of Adam: approximately the step of an action, in normalized units.
    """

    learning_rate: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"learning_rate={self.learning_rate} must be positive")

    def descend(
        self, cost: ActionCost, candidates: Tensor, best: Plan, adam: Adam, generator: Generators
    ) -> tuple[Tensor, Tensor, Plan]:
        """Takes one step on the cost of (B, N, H, A) candidates, projected onto the bounds.

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
