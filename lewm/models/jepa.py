"""Joint-embedding predictive world model of LeWorldModel (arXiv 2603.19312, section 3)."""

from typing import cast

import torch
from torch import Tensor, nn

from lewm.models.actor import Actor
from lewm.models.affine_predictor import AffinePredictor
from lewm.models.prefix_predictor import PrefixPredictor
from lewm.models.temporal_contrast import TemporalContrast
from lewm.models.vit import ViTEncoder


class JEPA(nn.Module):
    """JEPA: an encoder of frames and an action-conditioned predictor of the next embedding.

    Args:
      encoder: (N, C, h, w) uint8 -> (N, encoder width); fit_normalization(pixels) may be called before training.
      projector: (N, encoder width) -> (N, D).
      action_encoder: (B, T, A) -> (B, T, predictor width).
      predictor: (B, T, D), (B, T, predictor width) -> (B, T, predictor width), causal.
      predictor_projector: (N, predictor width) -> (N, D).
      context: most frames that a prediction sees; with a PrefixPredictor, most steps that one reaches ahead.
      flow: (B, T, D) -> (B, T, D) with an `inverse`, from the projector's output to the embeddings, or None. It is
        not applied to predictions: predictor and predictor_projector map embeddings to embeddings.
      actor: action law that is trained with the encoder, or None.
      contrast: term of the training loss on the embeddings of clips, or None.
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
        contrast: TemporalContrast | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.projector = encoder, projector
        self.action_encoder, self.predictor, self.predictor_projector = action_encoder, predictor, predictor_projector
        self.context, self.flow, self.actor, self.contrast = context, flow, actor, contrast

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
        return self._project(self.predictor(z, self.action_encoder(actions)))

    def predict_ahead(self, z: Tensor, actions: Tensor) -> Tensor:
        """Predicts the K next embeddings, each straight from the current one: for a PrefixPredictor.

        Args:
          z: (B, D) embeddings.
          actions: (B, K, A) normalized action blocks that follow, K at most `context`.

        Returns:
          (B, K, D); out[:, k] has seen the actions 0 ... k.
        """
        return self._project(cast(PrefixPredictor, self.predictor).ahead(z, self.action_encoder(actions)))

    def predict_clip(self, z: Tensor, actions: Tensor, rollout_steps: int = 1) -> Tensor:
        """Predicts all frames of a clip but the first, as in training.

        Those after the first T - rollout_steps are predicted by a rollout from these, all others from the embeddings
        of the frames before them. A PrefixPredictor predicts them all straight from the first.

        Args:
          z: (B, T, D) embeddings, of which the first T - rollout_steps are seen, at most `context` of them.
          actions: (B, T-1, A) normalized action blocks between them.
          rollout_steps: number of predictions, the last ones, of which each sees those before it.

        Returns:
          (B, T-1, D); out[:, t] predicts z[:, t+1].
        """
        if isinstance(self.predictor, PrefixPredictor):
            return self.predict_ahead(z[:, 0], actions)
        seen = z[:, : z.shape[1] - rollout_steps]
        z_next = self.predict(seen, actions[:, : seen.shape[1]])
        if rollout_steps == 1:
            return z_next
        imagined = self.rollout(torch.cat([seen, z_next[:, -1:]], dim=1), actions)
        return torch.cat([z_next, imagined], dim=1)

    def rollout(self, z: Tensor, actions: Tensor, context: int | None = None) -> Tensor:
        """Predicts the H embeddings that follow the context, feeding predictions back.

        Args:
          z: (B, T, D) embeddings of the context frames.
          actions: (B, T-1+H, A) the actions between the context frames, then those to imagine.
          context: most embeddings that a prediction sees; the model's own number by default.

        Returns:
          (B, H, D) predicted embeddings. Each sees the last `context` embeddings before it. With a PrefixPredictor the
          first ones, as many as it reaches ahead, see the last frame alone, and the next ones the last of these.
        """
        context = self.context if context is None else context
        num_past = z.shape[1]
        while (end := z.shape[1]) <= actions.shape[1]:
            z = torch.cat([z, self._next(z, actions, end, context)], dim=1)
        return z[:, num_past:]

    def _next(self, z: Tensor, actions: Tensor, end: int, context: int) -> Tensor:
        """The next embedding of a rollout, or several at once: (B, end, D), (B, T-1+H, A) -> (B, K, D)."""
        if isinstance(self.predictor, PrefixPredictor):
            return self.predict_ahead(z[:, -1], actions[:, end - 1 : end - 1 + self.context])
        start = end - 1 if isinstance(self.predictor, AffinePredictor) else max(end - context, 0)
        return self.predict(z[:, start:end], actions[:, start:end])[:, -1:]

    def _project(self, z_next: Tensor) -> Tensor:
        """(B, T, predictor width) -> (B, T, D)."""
        return cast(Tensor, self.predictor_projector(z_next.flatten(0, 1)).unflatten(0, z_next.shape[:2]))
