"""Actors: goal-conditioned action laws that are trained with the encoder."""

from abc import ABC, abstractmethod
from itertools import pairwise

from torch import Tensor, nn

from lewm.models.sizes import check_sizes


class Actor(nn.Module, ABC):
    """Actor: says which action block leads from an embedding to a goal, and adds a term to the training loss.

    A subclass needs a line in lewm.models.ACTORS and a file in configs/actor. Its weights are saved with the model's.
    """

    @abstractmethod
    def loss(self, z: Tensor, actions: Tensor) -> Tensor:
        """Term of the training loss, weights included.

        Args:
          z: (B, T, D) embeddings of a clip; gradients flow into the encoder.
          actions: (B, T-1, A) normalized action blocks; actions[:, t] leaves frame t.

        Returns:
          () float32.
        """

    @abstractmethod
    def forward(self, z: Tensor, past_actions: Tensor, z_goal: Tensor) -> Tensor:
        """Next action block, normalized and not clipped to any bounds.

        Args:
          z: (B, T, D) embeddings of the last frames, the newest last.
          past_actions: (B, T-1, A) action blocks between them.
          z_goal: (B, D) embeddings of the goals.

        Returns:
          (B, A).
        """


def normalized_mlp(input_dim: int, output_dim: int, hidden_dim: int, num_layers: int) -> nn.Sequential:
    """MLP with a LayerNorm and a GELU after each hidden layer: (..., input_dim) -> (..., output_dim).

    Raises:
      InputError: hidden_dim or num_layers is too small.
    """
    check_sizes(hidden_dim=hidden_dim, num_layers=num_layers)
    widths = [input_dim, *[hidden_dim] * num_layers]
    hidden = [(nn.Linear(*sizes), nn.LayerNorm(hidden_dim), nn.GELU()) for sizes in pairwise(widths)]
    return nn.Sequential(*(layer for layers in hidden for layer in layers), nn.Linear(hidden_dim, output_dim))
