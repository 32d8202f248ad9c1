"""Goal-conditioned behaviour cloning: the baseline that acts without a world model."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lewm.heads.goal_mlp import GoalMLP
from lewm.models.vit import ViTEncoder


class BehaviourCloning(nn.Module):
    """An encoder of its own and an MLP, trained end to end from a frame and a goal frame to the action block.

    `policy(pixels, goal_pixels)` with (B, C, h, w) uint8 frames of the model's frame size, in eval mode and without
    gradients, gives the (B, A) normalized action blocks to act out next. They are not clipped to any bounds.

    Args:
      encoder: (N, C, h, w) uint8 -> (N, encoder width); fit_normalization(pixels) is called before training.
      action_dim: A.
      hidden_dim, num_layers: of the MLP.
    """

    def __init__(self, encoder: nn.Module, action_dim: int, hidden_dim: int, num_layers: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.mlp = GoalMLP(cast(int, encoder.output_dim), 2, action_dim, hidden_dim, num_layers)

    def forward(self, pixels: Tensor, goal_pixels: Tensor) -> Tensor:
        """(B, C, h, w), (B, C, h, w) uint8 -> (B, A)."""
        features = self.encoder(torch.cat([pixels, goal_pixels]))
        return cast(Tensor, self.mlp(torch.stack(features.chunk(2), dim=1)))

    def fit_normalization(self, pixels: Tensor) -> None:
        """Fits what the encoder subtracts and divides by to (N, C, h, w) uint8 frames of the training split."""
        cast(ViTEncoder, self.encoder).fit_normalization(pixels)

    def loss(self, pixels: Tensor, goal_pixels: Tensor, actions: Tensor) -> Tensor:
        """() the mean squared error, given the (B, A) recorded action blocks."""
        return F.mse_loss(self(pixels, goal_pixels), actions)
