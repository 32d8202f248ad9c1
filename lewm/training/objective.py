"""Training objective: next-embedding prediction, one regularizer (LeWM, section 3.2), and optional terms."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lewm.clip import Clip
from lewm.config import Component
from lewm.errors import InputError
from lewm.models import JEPA
from lewm.regularizers import Regularizer, build_regularizer


class Loss(NamedTuple):
    """Loss of a batch and its terms, each () float32.

    Attributes:
      total: prediction + weight x regularizer + actor + contrast.
      prediction: mean squared error of the predicted embeddings.
      regularizer: value of the regularizer, without its weight.
      actor: loss of the actor, weights included; 0 without one.
      contrast: loss of the contrast, weight included; 0 without one.
    """

    total: Tensor
    prediction: Tensor
    regularizer: Tensor
    actor: Tensor
    contrast: Tensor


class Objective(nn.Module):
    """Loss of a world model as a module with one forward, because that is what DDP wraps.

    Args:
      model: world model, trained through both sides of the prediction: no stop-gradient, no moving average.
      regularizer: regularizer of the embeddings of all frames.
      regularizer_weight: weight of the regularizer's value, kept as a tensor on the model's device, so that a weight
        that changes from step to step is data of a recorded or compiled step, and not part of its code.
      rollout_steps: number of predictions fed back; see JEPA.predict_clip.
    """

    regularizer_weight: Tensor

    def __init__(
        self, model: JEPA, regularizer: Regularizer, regularizer_weight: float, rollout_steps: int = 1
    ) -> None:
        super().__init__()
        self.model, self.regularizer, self.rollout_steps = model, regularizer, rollout_steps
        self.register_buffer("regularizer_weight", torch.tensor(float(regularizer_weight)), persistent=False)

    def forward(self, clip: Clip, generator: torch.Generator) -> tuple[Loss, Tensor]:
        """Computes the loss of a batch.

        Args:
          clip: batch of clips.
          generator: source of the regularizer's directions, equal on all ranks.

        Returns:
          The loss, and the (B, T, D) embeddings, float32 and detached, for diagnostics.
        """
        z = self.model.encode(clip.pixels)
        z_next = self.model.predict_clip(z, clip.actions, self.rollout_steps)
        prediction = (z_next.float() - z[:, 1:].float()).square().mean()
        regularizer = self.regularizer(z, generator=generator)
        total = prediction + self.regularizer_weight * regularizer
        actor = contrast = torch.zeros_like(prediction)
        if self.model.actor is not None:
            actor = self.model.actor.loss(z, clip.actions)
            total = total + actor
        if self.model.contrast is not None:
            contrast = self.model.contrast.loss(z)
            total = total + contrast
        return Loss(total, prediction, regularizer, actor, contrast), z.detach().float()


def build_objective(model: JEPA, config: Component, rollout_steps: int = 1) -> Objective:
    """Builds the objective of a model.

    Args:
      model: world model.
      config: {name, weight, **arguments} of the regularizer.
      rollout_steps: number of predictions fed back.
    """
    regularizer, weight = build_regularizer(config), config.get("weight")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
        raise InputError(f"regularizer.weight={weight} must be a number of at least 0")
    return Objective(model, regularizer, float(weight), rollout_steps)
