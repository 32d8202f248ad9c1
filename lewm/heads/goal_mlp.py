"""MLP of the heads, from the embeddings of the last frames and of a goal frame."""

from typing import cast

import torch
from torch import Tensor, nn

from lewm.models.actor import normalized_mlp


class GoalMLP(nn.Module):
    """MLP with LayerNorms on standardized embeddings: (..., num_inputs, D) -> (..., output_dim).

    The inputs are frames, oldest first, and the goal. The newest frame is taken as it is, the others as differences to
    it: close to the goal little else than the small difference matters.

    Args:
      embedding_dim: D, width of an embedding.
      num_inputs: number of embeddings, the goal included.
      output_dim: width of the output.
      hidden_dim: width of the hidden layers.
      num_layers: number of hidden layers.

    Raises:
      InputError: a size is too small.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, embedding_dim: int, num_inputs: int, output_dim: int, hidden_dim: int, num_layers: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(embedding_dim))
        self.register_buffer("std", torch.ones(()))
        self.layers = normalized_mlp(num_inputs * embedding_dim, output_dim, hidden_dim, num_layers)

    def fit_normalization(self, z: Tensor) -> None:
        """Takes mean and spread of (F, D) embeddings.

        The spread is one number for all dimensions: otherwise those that are noise would be blown up.
        """
        self.mean.copy_(z.mean(0))
        self.std.copy_((z - z.mean(0)).square().mean().sqrt().clamp(min=1e-6))

    def forward(self, z: Tensor) -> Tensor:
        """(..., num_inputs, D), oldest frame first and the goal last -> (..., output_dim)."""
        z = (z - self.mean) / self.std
        before, newest, goal = z[..., :-2, :], z[..., -2:-1, :], z[..., -1:, :]
        output = self.layers(torch.cat([newest - before, newest, goal - newest], dim=-2).flatten(-2))
        return cast(Tensor, output.to(z.dtype))  # autocast ends here: losses are float32
