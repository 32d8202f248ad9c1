"""Goal costs of imagined embeddings. Every cost has a gradient in the embeddings or in the actions."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lewm.errors import InputError

GoalCost = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(B, N, H, D) imagined embeddings, (B, D) goals, (B, N, H, A) the actions that led there -> (B, N) costs."""

Distance = Callable[[Tensor, Tensor], Tensor]
"""(..., D) embeddings, (..., D) goals, shapes that broadcast -> (...) distances."""


def squared_distance(z: Tensor, z_goal: Tensor) -> Tensor:
    """Sum of squared differences over D."""
    return (z - z_goal).square().sum(-1)


@dataclass(frozen=True)
class LastDistance:
    """Squared distance of the last imagined embedding to the goal (LeWM, section 3.3)."""

    def __call__(self, z_next: Tensor, z_goal: Tensor, actions: Tensor) -> Tensor:
        return squared_distance(z_next[:, :, -1], z_goal[:, None])


@dataclass(frozen=True)
class MeanDistance:
    """Squared distance to the goal, averaged over the horizon: the sooner there, the cheaper."""

    def __call__(self, z_next: Tensor, z_goal: Tensor, actions: Tensor) -> Tensor:
        return squared_distance(z_next, z_goal[:, None, None]).mean(-1)


@dataclass(frozen=True)
class MinimumDistance:
    """Squared distance to the goal where the horizon comes nearest to it: passing by is as good as staying."""

    def __call__(self, z_next: Tensor, z_goal: Tensor, actions: Tensor) -> Tensor:
        return squared_distance(z_next, z_goal[:, None, None]).amin(-1)


@dataclass(frozen=True)
class PrefixDistance:
    """Squared distance to the goal after the first model steps, those that are executed: what comes later is free.

    Attributes:
      num_steps: model steps that count; beyond the horizon it is the horizon.
    """

    num_steps: int

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise InputError(f"num_steps={self.num_steps} must be at least 1")

    def __call__(self, z_next: Tensor, z_goal: Tensor, actions: Tensor) -> Tensor:
        return squared_distance(z_next[:, :, : self.num_steps][:, :, -1], z_goal[:, None])


@dataclass(frozen=True)
class DiscountedDistance:
    """Sum over the horizon of squared distances to the goal, that of model step t (from 0) times discount^t.

    Attributes:
      discount: positive; below 1 the near future counts most, above 1 the end does.
    """

    discount: float

    def __post_init__(self) -> None:
        if not 0 < self.discount < float("inf"):
            raise InputError(f"discount={self.discount} must be positive")

    def __call__(self, z_next: Tensor, z_goal: Tensor, actions: Tensor) -> Tensor:
        steps = torch.arange(z_next.shape[2], device=z_next.device)
        return (squared_distance(z_next, z_goal[:, None, None]) * self.discount**steps).sum(-1)


@dataclass(frozen=True)
class ControlPenalty:
    """Sum of the squared normalized actions over horizon and block: 0 for the mean action of the training data."""

    def __call__(self, z_next: Tensor, z_goal: Tensor, actions: Tensor) -> Tensor:
        return actions.square().sum((2, 3))


@dataclass(frozen=True)
class TemporalDistanceCost:
    """Model steps to the goal, as a temporal-distance head estimates them.

    Attributes:
      head: lewm.heads.TemporalDistance, fitted to the model's embeddings.
      over: reduction over the imagined steps: mean (the sooner there, the cheaper), last, or minimum.
    """

    head: Distance
    over: str = "mean"

    def __post_init__(self) -> None:
        if self.over not in ("mean", "last", "minimum"):
            raise InputError(f"over={self.over!r}; there are mean, last, minimum")

    def __call__(self, z_next: Tensor, z_goal: Tensor, actions: Tensor) -> Tensor:
        if self.over == "last":
            return self.head(z_next[:, :, -1], z_goal[:, None])
        steps = self.head(z_next, z_goal[:, None, None])
        return steps.mean(-1) if self.over == "mean" else steps.amin(-1)


@dataclass(frozen=True)
class WeightedSum:
    """Weighted sum of several costs.

    Attributes:
      parts: (weight, cost) of each term.
    """

    parts: tuple[tuple[float, GoalCost], ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise InputError("parts is empty: give at least one {weight, cost}")

    def __call__(self, z_next: Tensor, z_goal: Tensor, actions: Tensor) -> Tensor:
        return torch.stack([weight * cost(z_next, z_goal, actions) for weight, cost in self.parts]).sum(0)


GOAL_COSTS: dict[str, type[GoalCost]] = {
    "last_distance": LastDistance,
    "mean_distance": MeanDistance,
    "minimum_distance": MinimumDistance,
    "prefix_distance": PrefixDistance,
    "discounted_distance": DiscountedDistance,
    "control_penalty": ControlPenalty,
    "temporal_distance": TemporalDistanceCost,
    "sum": WeightedSum,
}
