"""What planners, costs and the world model promise one another."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

ActionCost = Callable[[Tensor], Tensor]
"""(B, N, H, A) candidate action sequences in normalized space -> (B, N) their costs."""

Generators = Sequence[torch.Generator]
"""B sources of noise, one for each episode: its plan does not depend on its neighbours in the batch."""


class Plan(NamedTuple):
    """actions: (B, H, A) the best sequences found; cost: (B,) what they cost."""

    actions: Tensor
    cost: Tensor


class Planner(Protocol):
    """A search over action sequences: a frozen dataclass of its hyper-parameters and the action bounds."""

    def __call__(self, cost: ActionCost, mean: Tensor, *, generator: Generators) -> Plan:
        """Searches around `mean` (B, H, A)."""
        ...


class WorldModel(Protocol):
    """What planning needs of a model; see lewm.models.jepa.JEPA."""

    def encode(self, pixels: Tensor) -> Tensor: ...

    def rollout(self, z: Tensor, actions: Tensor, context: int) -> Tensor: ...


def draw_normal(shape: tuple[int, ...], generator: Generators, like: Tensor) -> Tensor:
    """(B, *shape) standard normal noise; row b comes from generator[b] alone."""
    rows = [torch.randn(shape, generator=source, device=source.device) for source in generator]
    return torch.stack(rows).to(like)
