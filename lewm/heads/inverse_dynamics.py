"""Goal-conditioned inverse dynamics on frozen embeddings (GC-IDM, arXiv 2605.08732)."""

from typing import Any, cast

import torch
from torch import Tensor

from lewm.errors import InputError
from lewm.heads.action_head import ActionHead
from lewm.heads.config import FittingConfig
from lewm.heads.goal_mlp import GoalMLP
from lewm.training.model_spec import ModelSpec


class InverseDynamics(ActionHead):
    """MLP from the embeddings of the last frames and of a goal to the next action block.

    Args:
      embedding_dim: D, width of an embedding.
      action_dim: A, numbers in an action block.
      context: T, last frames that it sees; one frame does not show how fast things move.
      hidden_dim: width of the hidden layers.
      num_layers: number of hidden layers.

    Raises:
      InputError: a size is below 1.
    """

    def __init__(self, embedding_dim: int, action_dim: int, context: int, hidden_dim: int, num_layers: int) -> None:
        super().__init__()
        if context < 1:
            raise InputError(f"context={context} must be at least 1")
        self.context = context
        self.mlp = GoalMLP(embedding_dim, context + 1, action_dim, hidden_dim, num_layers)

    @classmethod
    def sizes(cls, spec: ModelSpec, fitting: FittingConfig) -> dict[str, Any]:
        return {"embedding_dim": spec.model.embedding_dim, "action_dim": spec.action_dim}

    def forward(self, z: Tensor, z_goal: Tensor) -> Tensor:
        """Predicts the (B, A) normalized action block, not clipped to any bounds.

        Args:
          z: (B, t, D) embeddings of the last frames, one model step apart, oldest first. Of more than `context` the
            last are taken; where there are fewer, the oldest stands for those before it.
          z_goal: (B, D) embeddings of the goal frames.
        """
        missing = max(self.context - z.shape[1], 0)
        z = torch.cat([z[:, :1].expand(-1, missing, -1), z[:, -self.context :], z_goal[:, None]], dim=1)
        return cast(Tensor, self.mlp(z))

    def fit_normalization(self, z: Tensor) -> None:
        """Takes mean and spread of (..., D) embeddings of the training episodes."""
        self.mlp.fit_normalization(z.flatten(0, -2))
