"""How many steps separate two frames, read from their frozen embeddings: a distance to plan with for far goals."""

import math

import torch
from torch import Tensor, nn

from lewm.heads.goal_mlp import GoalMLP


class TemporalDistance(nn.Module):
    """An MLP from two embeddings to a distribution over the model steps from the first to the second, and its mean.

    The numbers of steps that it tells apart lie close together near 0 and ever wider apart towards max_steps, which
    stands for all that is farther.

    Args:
      embedding_dim: D.
      max_steps: largest number of steps.
      num_bins: numbers of steps that it tells apart.
      hidden_dim, num_layers: of the MLP.
    """

    steps: Tensor

    def __init__(self, embedding_dim: int, max_steps: int, num_bins: int, hidden_dim: int, num_layers: int) -> None:
        super().__init__()
        if max_steps < 1 or num_bins < 2:
            raise ValueError(f"max_steps={max_steps} must be at least 1 and num_bins={num_bins} at least 2")
        steps = torch.expm1(torch.linspace(0, math.log1p(max_steps), num_bins, dtype=torch.float64))
        self.register_buffer("steps", steps.float())
        self.mlp = GoalMLP(embedding_dim, 2, num_bins, hidden_dim, num_layers)

    def forward(self, z: Tensor, z_goal: Tensor) -> Tensor:
        """(..., D) embeddings, (..., D) goals, shapes that broadcast -> (...) expected model steps between them."""
        return (self._logits(z, z_goal).softmax(-1) * self.steps).sum(-1)

    def fit_normalization(self, z: Tensor) -> None:
        """Takes mean and spread of (..., D) embeddings of the training split."""
        self.mlp.fit_normalization(z.flatten(0, -2))

    def loss(self, z: Tensor, z_goal: Tensor, gaps: Tensor) -> Tensor:
        """() the cross-entropy, given the (...) true gaps; a gap between two bins is shared so that its mean is it."""
        gaps = gaps.clamp(max=float(self.steps[-1]))
        high = torch.searchsorted(self.steps, gaps).clamp(min=1, max=len(self.steps) - 1)
        below, above = self.steps[high - 1], self.steps[high]
        share = ((gaps - below) / (above - below)).clamp(0, 1)
        logs = self._logits(z, z_goal).log_softmax(-1)
        log_low, log_high = (torch.take_along_dim(logs, i[..., None], dim=-1)[..., 0] for i in (high - 1, high))
        return -((1 - share) * log_low + share * log_high).mean()

    def _logits(self, z: Tensor, z_goal: Tensor) -> Tensor:
        z, z_goal = torch.broadcast_tensors(z, z_goal)
        logits: Tensor = self.mlp(torch.stack([z, z_goal], dim=-2))
        return logits
