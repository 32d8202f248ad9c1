"""Proposals: action sequences of an actor or an inverse-dynamics head, without a search."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lewm.planning.protocols import WorldModel

ActionLaw = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(B, T, D) last embeddings, (B, T-1, A) action blocks between them, (B, D) goals -> (B, A) next block."""


@dataclass(frozen=True)
class Proposal:
    """Proposal of action sequences: an action law acts H times in the imagination of the model.

    Attributes:
      model: world model that predicts where each block leads.
      law: the model's actor, or a head that was fitted to its embeddings.
      window: most embeddings that a prediction of the model sees; the law sees all.
      low, high: (A,) bounds of an action block in normalized space; proposals are clipped to them.
    """

    model: WorldModel
    law: ActionLaw
    window: int
    low: Tensor
    high: Tensor

    @torch.no_grad()
    def __call__(self, z: Tensor, past_actions: Tensor, z_goal: Tensor, horizon: int) -> Tensor:
        """Proposes H action blocks. The first one needs the law alone.

        Args:
          z: (B, T, D) embeddings of the context frames.
          past_actions: (B, T-1, A) action blocks between them.
          z_goal: (B, D) embeddings of the goal frames.
          horizon: H, number of action blocks.

        Returns:
          (B, H, A) action blocks.
        """
        num_past = past_actions.shape[1]
        actions = past_actions
        for step in range(horizon):
            action = self.law(z, actions, z_goal).clamp(self.low, self.high)
            actions = torch.cat([actions, action[:, None]], dim=1)
            if step + 1 < horizon:
                seen = z[:, -self.window :]
                z_next = self.model.rollout(seen, actions[:, -seen.shape[1] :], self.window)
                z = torch.cat([z, z_next], dim=1)
        return actions[:, num_past:]
