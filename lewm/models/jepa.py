"""Joint-embedding predictive world model of LeWorldModel (arXiv 2603.19312, section 3)."""

from typing import cast

import torch
from torch import Tensor, nn

from lewm.models.actor import Actor
from lewm.models.vit import ViTEncoder


class JEPA(nn.Module):
    """JEPA: an encoder of frames and an action-conditioned predictor of the next embedding.

    Args:
      encoder: (N, C, h, w) uint8 -> (N, encoder width); fit_normalization(pixels) may be called before training.
      projector: (N, encoder width) -> (N, D).
      action_encoder: (B, T, A) -> (B, T, predictor width).
      predictor: (B, T, D), (B, T, predictor width) -> (B, T, predictor width), causal.
      predictor_projector: (N, predictor width) -> (N, D).
      context: most frames that a prediction sees.
      flow: (B, T, D) -> (B, T, D) with an `inverse`, from the projector's output to the embeddings, or None. It is
        not applied to predictions: predictor and predictor_projector map embeddings to embeddings.
      actor: action law that is trained with the encoder, or None.
    """

    def __init__(
        self,
        *,
        encoder: nn.Module,
        projector: nn.Module,
        action_encoder: nn.Module,
        predictor: nn.Module,
        predictor_projector: nn.Module,
        context: int,
        flow: nn.Module | None,
        actor: Actor | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.projector = encoder, projector
        self.action_encoder, self.predictor, self.predictor_projector = action_encoder, predictor, predictor_projector
        self.context, self.flow, self.actor = context, flow, actor

    def fit_normalization(self, pixels: Tensor) -> None:
        """Fits the normalization of the input to (B, T, C, h, w) uint8 frames of the training split."""
        cast(ViTEncoder, self.encoder).fit_normalization(pixels.flatten(0, 1))

    def encode(self, pixels: Tensor) -> Tensor:
        """Encodes frames: (B, T, C, h, w) uint8 -> (B, T, D) embeddings."""
        z = self.projector(self.encoder(pixels.flatten(0, 1))).unflatten(0, pixels.shape[:2])
        return cast(Tensor, z if self.flow is None else self.flow(z))

    def predict(self, z: Tensor, actions: Tensor) -> Tensor:
        """Predicts each next embedding from the embeddings and actions up to it.

        Args:
          z: (B, T, D) embeddings, T at most `context`.
          actions: (B, T, A) normalized action blocks; actions[:, t] leaves frame t.

        Returns:
          (B, T, D); out[:, t] predicts z[:, t+1].
        """
        z_next = self.predictor(z, self.action_encoder(actions))
        return cast(Tensor, self.predictor_projector(z_next.flatten(0, 1)).unflatten(0, z.shape[:2]))

    def rollout(self, z: Tensor, actions: Tensor, context: int | None = None) -> Tensor:
        """Predicts the H embeddings that follow the context, feeding predictions back.

        Args:
          z: (B, T, D) embeddings of the context frames.
          actions: (B, T-1+H, A) the actions between the context frames, then those to imagine.
          context: most embeddings that a prediction sees; the model's own number by default.

        Returns:
          (B, H, D) predicted embeddings. Each sees the last `context` embeddings before it.
        """
        context = self.context if context is None else context
        num_past = z.shape[1]
        for end in range(num_past, actions.shape[1] + 1):
            start = max(end - context, 0)
            z_next = self.predict(z[:, start:end], actions[:, start:end])[:, -1:]
            z = torch.cat([z, z_next], dim=1)
        return z[:, num_past:]
