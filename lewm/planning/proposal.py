"""Action sequences without a search: an inverse-dynamics head acts in what the world model imagines."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lewm.planning.protocols import WorldModel

InverseDynamics = Callable[[Tensor, Tensor], Tensor]
"""(B, T, D) embeddings of frames, oldest first, whose last ones it looks at, (B, D) goals -> (B, A) the next block."""


@dataclass(frozen=True)
class Proposal:
    """Proposes a plan: H times the head's action block, and what the model says comes of it.

    Attributes:
      head: lewm.heads.InverseDynamics, fitted to the model's embeddings.
      window: most embeddings that a prediction of the model sees; the head sees all.
      low, high: (A,) bounds of an action block in normalized space; what is proposed is clipped to them.
    """

    head: InverseDynamics
    window: int
    low: Tensor
    high: Tensor

    @torch.no_grad()
    def __call__(self, model: WorldModel, z: Tensor, past_actions: Tensor, z_goal: Tensor, horizon: int) -> Tensor:
        """Imagines forward, a head's block at a time. The first block needs the head alone.

        Args:
          model: imagines.
          z: (B, T, D) embeddings of the context frames.
          past_actions: (B, T-1, A) action blocks between them.
          z_goal: (B, D) embeddings of the goal frames.
          horizon: H.

        Returns:
          (B, H, A).
        """
        num_past = past_actions.shape[1]
        actions = past_actions
        for step in range(horizon):
            action = self.head(z, z_goal).clamp(self.low, self.high)
            actions = torch.cat([actions, action[:, None]], dim=1)
            if step + 1 < horizon:
                seen = z[:, -self.window :]
                z_next = model.rollout(seen, actions[:, -seen.shape[1] :], self.window)
                z = torch.cat([z, z_next], dim=1)
        return actions[:, num_past:]
