"""From a world model to the cost of action sequences: the one place that folds candidates into the batch."""

from collections.abc import Callable

import torch
from torch import Tensor

from lewm.planning.protocols import ActionCost, WorldModel

GoalCost = Callable[[Tensor, Tensor], Tensor]
"""(B, N, H, D) imagined embeddings, (B, D) goals -> (B, N) costs."""


def last_distance(z_next: Tensor, z_goal: Tensor) -> Tensor:
    """Squared distance of the last imagined embedding to the goal (LeWM, section 3.3)."""
    return (z_next[:, :, -1] - z_goal[:, None]).square().sum(-1)


def mean_distance(z_next: Tensor, z_goal: Tensor) -> Tensor:
    """Squared distance to the goal, averaged over the horizon: the sooner there, the cheaper."""
    return (z_next - z_goal[:, None, None]).square().sum(-1).mean(-1)


GOAL_COSTS: dict[str, GoalCost] = {"last_distance": last_distance, "mean_distance": mean_distance}


def action_cost(
    model: WorldModel,
    goal_cost: GoalCost,
    z: Tensor,
    past_actions: Tensor,
    z_goal: Tensor,
    *,
    context: int,
    batch_size: int,
) -> ActionCost:
    """The cost of candidates as the model imagines them from a context.

    Args:
      model: imagines.
      goal_cost: judges what is imagined.
      z: (B, T, D) embeddings of the context frames.
      past_actions: (B, T-1, A) action blocks between them.
      z_goal: (B, D) embeddings of the goal frames.
      context: most embeddings that a prediction sees.
      batch_size: most sequences that go through the model at once, which bounds memory.
    """

    @torch.inference_mode()
    def cost(candidates: Tensor) -> Tensor:
        num_candidates = candidates.shape[1]
        past = past_actions[:, None].expand(-1, num_candidates, -1, -1)
        actions = torch.cat([past, candidates], dim=2).flatten(0, 1)
        starts = z[:, None].expand(-1, num_candidates, -1, -1).flatten(0, 1)
        pieces = zip(starts.split(batch_size), actions.split(batch_size), strict=True)
        z_next = torch.cat([model.rollout(start, action, context) for start, action in pieces])
        return goal_cost(z_next.unflatten(0, (-1, num_candidates)), z_goal)

    return cost
