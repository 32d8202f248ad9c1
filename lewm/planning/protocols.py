"""Interfaces between planners, costs and the world model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from lewm.planning.keyed_noise import KeyedNoise

ActionCost = Callable[[Tensor], Tensor]
"""Cost of candidates: (B, N, H, A) action sequences in normalized space -> (B, N).

It has a gradient where gradients are enabled and the candidates require one.
"""

Generators = Sequence[torch.Generator] | KeyedNoise
"""B sources of noise, one for each episode, so that its plan does not depend on its neighbours in the batch."""


class Plan(NamedTuple):
    """Best action sequences that were found.

    Attributes:
      actions: (B, H, A) action blocks.
      cost: (B,) their costs.
    """

    actions: Tensor
    cost: Tensor


@dataclass(frozen=True)
class Iteration:
    """Result of one iteration of a search, for plots.

    Attributes:
      index: number of the iteration, from 0.
      costs: (B, N) costs of its candidates; inf where they were not finite.
      mean: (B, H, A) mean of the next candidates; the best plan so far where the search has no single mean.
      std: (B, H, A) standard deviation of the next candidates; None where the search has no single mean.
      best_cost: (B,) lowest cost so far.
    """

    index: int
    costs: Tensor
    mean: Tensor
    std: Tensor | None
    best_cost: Tensor


OnIteration = Callable[[Iteration], None]
"""Called after each iteration of a search."""


class Planner(Protocol):
    """Search over action sequences: a frozen dataclass of its hyper-parameters and the action bounds.

    The bounds `low` and `high` are those of an action block in normalized space: (A,), or (K, a) for a block of K raw
    actions, A = K x a, which planners with noise in time need to know. Candidates never leave them.
    """

    def __call__(
        self, cost: ActionCost, mean: Tensor, *, generator: Generators, on_iteration: OnIteration | None = None
    ) -> Plan:
        """Searches the action sequences of B episodes.

        Args:
          cost: cost of candidates. One that is not finite loses: nan, inf and -inf.
          mean: (B, H, A) where the search starts, itself a candidate.
          generator: B sources of noise.
          on_iteration: called after each iteration.

        Returns:
          The cheapest candidate of all iterations.
        """
        ...


@runtime_checkable
class LiftedCost(Protocol):
    """An ActionCost in its parts, so that embeddings can be searched together with the actions."""

    def __call__(self, candidates: Tensor) -> Tensor:
        """Costs of candidates, judge(imagine(candidates), candidates): (B, N, H, A) -> (B, N)."""
        ...

    def imagine(self, candidates: Tensor) -> Tensor:
        """Embeddings that follow the context, each prediction fed back: (B, N, H, A) -> (B, N, H, D)."""
        ...

    def predict(self, candidates: Tensor, z: Tensor) -> Tensor:
        """Predicts each embedding from those of `z` before it: (B, N, H, A), (B, N, H, D) -> (B, N, H, D).

        The context stands before `z`. No prediction is fed back, so all H can be computed at once.
        """
        ...

    def judge(self, z_next: Tensor, candidates: Tensor) -> Tensor:
        """Costs of embeddings and of the actions that lead there: (B, N, H, D), (B, N, H, A) -> (B, N)."""
        ...


class WorldModel(Protocol):
    """World model as planning sees it; see lewm.models.jepa.JEPA."""

    def encode(self, pixels: Tensor) -> Tensor:
        """Embeddings of frames: (B, T, C, h, w) uint8 -> (B, T, D)."""
        ...

    def rollout(self, z: Tensor, actions: Tensor, context: int) -> Tensor:
        """Next embeddings, each predicted from the last `context`: (B, T, D), (B, T-1+H, A) -> (B, H, D)."""
        ...
