"""Temporal distance on frozen embeddings: number of model steps between two frames, to plan with for far goals."""

import math
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from lewm.errors import InputError
from lewm.heads.config import FittingConfig
from lewm.heads.goal_mlp import GoalMLP
from lewm.heads.head import NUM_JUDGED, Batch, Head, HeadData
from lewm.training.model_spec import ModelSpec
from lewm.uploading import upload


class TemporalDistance(Head):
    """MLP from two embeddings to a distribution over the model steps from the first to the second, and its mean.

    The numbers of steps that it tells apart lie close together near 0 and ever wider apart towards max_steps, which
    stands for all that is farther.

    Args:
      embedding_dim: D, width of an embedding.
      max_steps: largest number of model steps.
      num_bins: numbers of steps that it tells apart.
      hidden_dim: width of the hidden layers.
      num_layers: number of hidden layers.

    Raises:
      InputError: a size is too small.
    """

    steps: Tensor

    def __init__(self, embedding_dim: int, max_steps: int, num_bins: int, hidden_dim: int, num_layers: int) -> None:
        super().__init__()
        if max_steps < 1 or num_bins < 2:
            raise InputError(f"max_steps={max_steps} must be at least 1 and num_bins={num_bins} at least 2")
        steps = torch.expm1(torch.linspace(0, math.log1p(max_steps), num_bins, dtype=torch.float64))
        self.register_buffer("steps", steps.float())
        self.mlp = GoalMLP(embedding_dim, 2, num_bins, hidden_dim, num_layers)

    @classmethod
    def sizes(cls, spec: ModelSpec, fitting: FittingConfig) -> dict[str, Any]:
        return {"embedding_dim": spec.model.embedding_dim, "max_steps": fitting.max_steps}

    def forward(self, z: Tensor, z_goal: Tensor) -> Tensor:
        """(..., D) embeddings, (..., D) goals, shapes that broadcast -> (...) expected model steps between them."""
        return (self._logits(z, z_goal).softmax(-1) * self.steps).sum(-1)

    def fit_normalization(self, z: Tensor) -> None:
        """Takes mean and spread of (..., D) embeddings of the training episodes."""
        self.mlp.fit_normalization(z.flatten(0, -2))

    def draw(self, data: HeadData, num: int, rng: np.random.Generator) -> Batch:
        """Two frames, and the model steps between them; a fitting.far_share of the pairs count as max_steps apart."""
        return self._draw(data, num, data.fitting.far_share, rng)

    def loss(self, z: Tensor, z_goal: Tensor, gaps: Tensor) -> Tensor:
        """() cross-entropy, given the (...) true model steps; those between two bins are shared by both."""
        gaps = torch.minimum(gaps, self.steps[-1])  # as a number it would be waited for
        high = torch.searchsorted(self.steps, gaps).clamp(min=1, max=len(self.steps) - 1)
        below, above = self.steps[high - 1], self.steps[high]
        share = ((gaps - below) / (above - below)).clamp(0, 1)
        logs = self._logits(z, z_goal).log_softmax(-1)
        log_low, log_high = (torch.take_along_dim(logs, i[..., None], dim=-1)[..., 0] for i in (high - 1, high))
        return -((1 - share) * log_low + share * log_high).mean()

    def errors(self, data: HeadData, rng: np.random.Generator) -> dict[str, float]:
        """Spearman's correlation of predicted and true steps, and the mean absolute error, on pairs of one episode.

        For comparison, the correlation of the squared distance between the embeddings with the true steps.
        """
        z, z_goal, gaps = self._draw(data, NUM_JUDGED, 0.0, rng)
        steps, distance = self(z, z_goal), (z - z_goal).square().sum(-1)
        return {
            "rank_correlation": _rank_correlation(steps, gaps),
            "rank_correlation_of_squared_distance": _rank_correlation(distance, gaps),
            "mean_absolute_error_in_steps": (steps - gaps).abs().mean().item(),
        }

    def _draw(self, data: HeadData, num: int, far_share: float, rng: np.random.Generator) -> Batch:
        first, second, gaps = data.pairs.apart(num, far_share, rng)
        z = data.see(first)
        return Batch(z, data.see(second), upload(gaps, z.device).clamp(max=data.fitting.max_steps))

    def _logits(self, z: Tensor, z_goal: Tensor) -> Tensor:
        z, z_goal = torch.broadcast_tensors(z, z_goal)
        logits: Tensor = self.mlp(torch.stack([z, z_goal], dim=-2))
        return logits


def _rank_correlation(x: Tensor, y: Tensor) -> float:
    """Spearman's rank correlation; 0 where one of the two is constant, which has no ranks."""
    return float(spearmanr(x.cpu(), y.cpu())[0]) if min(x.max() - x.min(), y.max() - y.min()) > 0 else 0.0
