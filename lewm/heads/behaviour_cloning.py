"""Goal-conditioned behaviour cloning: the baseline that acts without a world model."""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from lewm.config import build
from lewm.heads.action_head import ActionHead
from lewm.heads.config import FittingConfig
from lewm.heads.goal_mlp import GoalMLP
from lewm.heads.head import Batch, HeadData
from lewm.models import ENCODERS
from lewm.models.vit import ViTEncoder
from lewm.training.model_spec import ModelSpec


class BehaviourCloning(ActionHead):
    """Encoder of its own and an MLP, trained end to end from a frame and a goal frame to the next action block.

    In eval mode, `policy(pixels, goal_pixels)` gives (B, A) normalized action blocks, not clipped to any bounds.

    Args:
      encoder: (N, C, h, w) uint8 -> (N, encoder width); fit_normalization(pixels) is called before training.
      action_dim: A, numbers in an action block.
      hidden_dim: width of the hidden layers of the MLP.
      num_layers: number of hidden layers of the MLP.

    Raises:
      InputError: a size is below 1.
    """

    sees = "frames"
    context = 1

    def __init__(self, encoder: nn.Module, action_dim: int, hidden_dim: int, num_layers: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.mlp = GoalMLP(cast(int, encoder.output_dim), 2, action_dim, hidden_dim, num_layers)

    @classmethod
    def sizes(cls, spec: ModelSpec, fitting: FittingConfig) -> dict[str, Any]:
        encoder = build(ENCODERS, spec.model.encoder, "encoder", image_size=spec.frame_size)
        return {"encoder": encoder, "action_dim": spec.action_dim}

    def forward(self, pixels: Tensor, goal_pixels: Tensor) -> Tensor:
        """(B, C, h, w), (B, C, h, w) uint8 of the model's frame size -> (B, A)."""
        features = self.encoder(torch.cat([pixels, goal_pixels]))
        return cast(Tensor, self.mlp(torch.stack(features.chunk(2), dim=1)))

    def fit_normalization(self, pixels: Tensor) -> None:
        """Fits the input normalization of the encoder to (N, C, h, w) uint8 frames of the training episodes."""
        cast(ViTEncoder, self.encoder).fit_normalization(pixels)

    def draw(self, data: HeadData, num: int, rng: np.random.Generator) -> Batch:
        """Frames, goal frames, and the recorded action blocks."""
        batch = super().draw(data, num, rng)
        return batch._replace(seen=batch.seen[:, 0])
