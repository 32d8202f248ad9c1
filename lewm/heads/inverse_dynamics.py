"""Goal-conditioned inverse dynamics on frozen embeddings (GC-IDM, arXiv 2605.08732): which action leads to the goal."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lewm.heads.goal_mlp import GoalMLP


class InverseDynamics(nn.Module):
    """An MLP from the embeddings of the last frames and of the goal to the action block to act out next.

    Args:
      embedding_dim: D.
      action_dim: A.
      context: T, last frames that it sees; one frame does not show how fast things move.
      hidden_dim, num_layers: of the MLP.

    Attributes:
      context: as given.
    """

    def __init__(self, embedding_dim: int, action_dim: int, context: int, hidden_dim: int, num_layers: int) -> None:
        super().__init__()
        if context < 1:
            raise ValueError(f"context={context} must be at least 1")
        self.context = context
        self.mlp = GoalMLP(embedding_dim, context + 1, action_dim, hidden_dim, num_layers)

    def forward(self, z: Tensor, z_goal: Tensor) -> Tensor:
        """The (B, A) normalized action block, not clipped to any bounds.

        Args:
          z: (B, t, D) embeddings of the last frames, one model step apart, oldest first. Of more than `context` the
            last are taken; where there are fewer, the oldest stands for those before it.
          z_goal: (B, D) embeddings of the goal frames.
        """
        missing = max(self.context - z.shape[1], 0)
        z = torch.cat([z[:, :1].expand(-1, missing, -1), z[:, -self.context :], z_goal[:, None]], dim=1)
        return cast(Tensor, self.mlp(z))

    def fit_normalization(self, z: Tensor) -> None:
        """Takes mean and spread of (..., D) embeddings of the training split."""
        self.mlp.fit_normalization(z.flatten(0, -2))

    def loss(self, z: Tensor, z_goal: Tensor, actions: Tensor) -> Tensor:
        """() the mean squared error, given the (B, A) recorded action blocks."""
        return F.mse_loss(self(z, z_goal), actions)
