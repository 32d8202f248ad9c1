"""Construction of rollouts from configurations."""

import torch

from lewm.config import PlanningConfig
from lewm.errors import InputError
from lewm.models.jepa import JEPA
from lewm.models.predictor import Predictor
from lewm.models.rollout.cached import CachedRollout
from lewm.models.rollout.folded import FoldedRollout
from lewm.models.rollout.graphed import GraphedRollout
from lewm.precision import choose_inference_precision


def build_rollout(model: JEPA, planning: PlanningConfig, device: str) -> CachedRollout | FoldedRollout | GraphedRollout:
    """Builds the rollout of a model: replayed CUDA graphs on a GPU.

    Args:
      model: world model; in eval mode when it is used.
      planning: context, window, batch_size and precision.
      device: device of the model.

    Raises:
      InputError: more frames than the model was trained on, or an unknown precision.
    """
    window = model.context if planning.window is None else planning.window
    for key, number in (("context", planning.context), ("window", window)):
        if number > model.context:
            raise InputError(f"planning.{key}={number}, but the model was trained on {model.context} frames")
    kind = torch.device(device).type
    precision = choose_inference_precision("planning.precision", planning.precision, kind)
    rollout_class = CachedRollout if isinstance(model.predictor, Predictor) else FoldedRollout
    try:
        rollout = rollout_class(model, window, planning.batch_size, precision)
    except ValueError as error:
        raise InputError(f"planning.{error}") from error
    return GraphedRollout(rollout) if kind == "cuda" else rollout
