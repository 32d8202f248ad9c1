"""What is trained: next-embedding prediction and one regularizer (LeWM, section 3.2)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lewm.clip import Clip
from lewm.models import JEPA
from lewm.regularizers import Regularizer


class Loss(NamedTuple):
    """total = prediction + weight x regularizer, each () float32."""

    total: Tensor
    prediction: Tensor
    regularizer: Tensor


class Objective(nn.Module):
    """The loss as a module with one forward, because that is what DDP wraps.

    Args:
      model: trained through both sides of the prediction: no stop-gradient, no moving average.
      regularizer: of the embeddings of all frames.
      regularizer_weight: of its value.
    """

    def __init__(self, model: JEPA, regularizer: Regularizer, regularizer_weight: float) -> None:
        super().__init__()
        self.model, self.regularizer, self.regularizer_weight = model, regularizer, regularizer_weight

    def forward(self, clip: Clip, generator: torch.Generator) -> tuple[Loss, Tensor]:
        """Returns the loss and the (B, T, D) embeddings, float32 and detached, for diagnostics."""
        z = self.model.encode(clip.pixels)
        z_next = self.model.predict(z[:, :-1], clip.actions)
        prediction = (z_next.float() - z[:, 1:].float()).square().mean()
        regularizer = self.regularizer(z, generator=generator)
        loss = Loss(prediction + self.regularizer_weight * regularizer, prediction, regularizer)
        return loss, z.detach().float()
