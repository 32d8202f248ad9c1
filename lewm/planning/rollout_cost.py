"""Cost of action sequences in the imagination of a world model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lewm.planning.costs import GoalCost
from lewm.planning.protocols import WorldModel


class SharedRollout(Protocol):
    """Rollout of many action sequences from one context; see lewm.models.rollout.cached.CachedRollout.

    Attributes:
      window: most embeddings that a prediction sees, imagined ones included.
      batch_size: most sequences that go through the model at once, which bounds memory; None: the model chooses.
    """

    window: int
    batch_size: int | None

    def __call__(self, z: Tensor, past_actions: Tensor) -> Callable[[Tensor], Tensor]:
        """Takes in (B, T, D), (B, T-1, A) contexts; returns a function from (B, N, H, A) to (B, N, H, D) embeddings."""
        ...


@dataclass(frozen=True)
class RolloutCost:
    """Cost of candidates that a model imagines from a context; a LiftedCost.

    It has a gradient where gradients are enabled and the candidates require one, and keeps nothing for it elsewhere.

    Attributes:
      model: predicts single steps, for searches that vary the embeddings, too.
      goal_cost: cost of imagined embeddings and actions.
      z: (B, T, D) embeddings of the context frames.
      past_actions: (B, T-1, A) action blocks between them.
      z_goal: (B, D) embeddings of the goal frames.
      window: most embeddings that a prediction sees.
      batch_size: most sequences that `predict` gives the model at once, or None.
      futures: rollout from this context, (B, N, H, A) candidates -> (B, N, H, D) embeddings.
    """

    model: WorldModel
    goal_cost: GoalCost
    z: Tensor
    past_actions: Tensor
    z_goal: Tensor
    window: int
    batch_size: int | None
    futures: Callable[[Tensor], Tensor]

    def __call__(self, candidates: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and candidates.requires_grad):
            return self.judge(self.imagine(candidates), candidates)

    def imagine(self, candidates: Tensor) -> Tensor:
        """Embeddings that follow the context, each prediction fed back: (B, N, H, A) -> (B, N, H, D)."""
        return self.futures(candidates)

    def predict(self, candidates: Tensor, z: Tensor) -> Tensor:
        """Predicts each embedding from those of `z` before it: (B, N, H, A), (B, N, H, D) -> (B, N, H, D)."""
        num_candidates, horizon = candidates.shape[1:3]
        past, z_past = (tensor[:, None].expand(-1, num_candidates, -1, -1) for tensor in (self.past_actions, self.z))
        actions = torch.cat([past, candidates], dim=2).flatten(0, 1)
        seen = torch.cat([z_past, z], dim=2).flatten(0, 1)
        size = self.batch_size or len(seen)
        pieces = zip(seen.split(size), actions.split(size), strict=True)
        z_next = torch.cat([self._steps(*piece, horizon) for piece in pieces])
        return z_next.unflatten(0, (-1, num_candidates))

    def judge(self, z_next: Tensor, candidates: Tensor) -> Tensor:
        """Costs of embeddings and of the actions that lead there: (B, N, H, D), (B, N, H, A) -> (B, N)."""
        return self.goal_cost(z_next, self.z_goal, candidates)

    def _steps(self, seen: Tensor, actions: Tensor, horizon: int) -> Tensor:
        """Predicts each of the last H embeddings from those before it: (R, T+H, D), (R, T-1+H, A) -> (R, H, D)."""
        z_next = []
        for end in range(seen.shape[1] - horizon, seen.shape[1]):
            start = max(end - self.window, 0)
            z_next.append(self.model.rollout(seen[:, start:end], actions[:, start:end], self.window)[:, 0])
        return torch.stack(z_next, dim=1)


def action_cost(
    model: WorldModel,
    rollout: SharedRollout,
    goal_cost: GoalCost,
    z: Tensor,
    past_actions: Tensor,
    z_goal: Tensor,
) -> RolloutCost:
    """Makes the cost of candidates from a context, which is taken in once; arguments as in RolloutCost."""
    with torch.no_grad():
        futures = rollout(z, past_actions)
    return RolloutCost(model, goal_cost, z, past_actions, z_goal, rollout.window, rollout.batch_size, futures)
