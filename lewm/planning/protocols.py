"""What planners, costs and the world model promise one another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

ActionCost = Callable[[Tensor], Tensor]
"""(B, N, H, A) candidate action sequences in normalized space -> (B, N) their costs.

It has a gradient where gradients are enabled and the candidates require one.
"""

Generators = Sequence[torch.Generator]
"""B sources of noise, one for each episode: its plan does not depend on its neighbours in the batch."""


class Plan(NamedTuple):
    """actions: (B, H, A) the best sequences found; cost: (B,) what they cost."""

    actions: Tensor
    cost: Tensor


@dataclass(frozen=True)
class Iteration:
    """What an iteration of a search came to, for plots.

    Attributes:
      index: from 0.
      costs: (B, N) of the candidates of this iteration; inf where they were not finite.
      mean: (B, H, A) around which the next iteration searches; the best plan so far where it is around no one place.
      std: (B, H, A) how widely; None where it is around no one place.
      best_cost: (B,) the lowest cost so far.
    """

    index: int
    costs: Tensor
    mean: Tensor
    std: Tensor | None
    best_cost: Tensor


OnIteration = Callable[[Iteration], None]


class Planner(Protocol):
    """A search over action sequences: a frozen dataclass of its hyper-parameters and the action bounds.

    The bounds `low` and `high` are those of an action block in normalized space: (A,), or (K, a) for a block of K raw
    actions, A = K x a, which planners with noise in time need to know. Candidates never leave them.
    """

    def __call__(
        self, cost: ActionCost, mean: Tensor, *, generator: Generators, on_iteration: OnIteration | None = None
    ) -> Plan:
        """Searches around `mean` (B, H, A) and returns the cheapest candidate ever seen; the mean is one of them.

        A cost that is not finite loses: nan, inf and -inf. on_iteration is called after each iteration.
        """
        ...


@runtime_checkable
class LiftedCost(Protocol):
    """An ActionCost that opens up what it imagines, so that embeddings can be searched together with the actions."""

    def __call__(self, candidates: Tensor) -> Tensor:
        """(B, N, H, A) -> (B, N): judge(imagine(candidates), candidates)."""
        ...

    def imagine(self, candidates: Tensor) -> Tensor:
        """(B, N, H, A) -> (B, N, H, D): the embeddings that follow the context, each prediction fed back."""
        ...

    def predict(self, candidates: Tensor, z: Tensor) -> Tensor:
        """(B, N, H, A), (B, N, H, D) -> (B, N, H, D): each predicted from the context and those in `z` before it.

        No prediction is fed back: all H can be computed at once. Where `z` is what `candidates` imagine, it is the
        result, too.
        """
        ...

    def judge(self, z_next: Tensor, candidates: Tensor) -> Tensor:
        """(B, N, H, D), (B, N, H, A) -> (B, N): what reaching those embeddings with those actions costs."""
        ...


class WorldModel(Protocol):
    """What planning needs of a model; see lewm.models.jepa.JEPA."""

    def encode(self, pixels: Tensor) -> Tensor: ...

    def rollout(self, z: Tensor, actions: Tensor, context: int) -> Tensor: ...
