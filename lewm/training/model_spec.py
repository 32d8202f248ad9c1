"""Model specification: architecture, frames, actions and data of a model, kept in model.json beside the weights."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from numpy.typing import NDArray
from torch import nn

from lewm.config import ModelConfig, TrainConfig, build, from_dict, known_keys
from lewm.config.schema import Count, Seed, Share
from lewm.data.clips import Clips
from lewm.data.episodes import Episodes
from lewm.data.identity import DatasetIdentity
from lewm.data.normalize import ActionNormalizer
from lewm.errors import InputError
from lewm.models import (
    ACTION_ENCODERS,
    ACTORS,
    CONTRASTS,
    ENCODERS,
    FLOWS,
    JEPA,
    PREDICTORS,
    PROJECTORS,
    AffinePredictor,
)


@dataclass(frozen=True)
class TrainingData:
    """Identity of the dataset that a model was trained on, and of its split.

    Attributes:
      path: folder of the dataset.
      content_hash: hash of all its arrays.
      env_id: Gymnasium id of its environment.
      state_names: (S,) names of the numbers of a state.
      angles, velocities: those of state_names that are angles in radians, and velocities.
      collected_by: identity of a dataset that was collected here, see DatasetIdentity; None of others.
      val_fraction: share of the episodes that were held out.
      split_seed: seed of the split.
    """

    path: str
    content_hash: str
    env_id: str
    state_names: tuple[str, ...]
    angles: tuple[str, ...]
    velocities: tuple[str, ...]
    collected_by: dict[str, Any] | None
    val_fraction: Share
    split_seed: Seed


@dataclass(frozen=True)
class ModelSpec:
    """Specification of a trained model: with the weights, all that is needed to use it.

    Attributes:
      model: architecture of the model.
      frame_size: height and width of the frames, pixels.
      frameskip: K, env steps in a model step.
      normalizer: action statistics of the training split.
      action_low, action_high: (a,) bounds of the raw actions.
      data: dataset that the model was trained on.

    Raises:
      InputError: the bounds are no bounds, or do not fit the action statistics.
    """

    model: ModelConfig
    frame_size: Count
    frameskip: Count
    normalizer: ActionNormalizer
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    data: TrainingData

    def __post_init__(self) -> None:
        low, high = self.action_low, self.action_high
        if not len(low) == len(high) == len(self.normalizer.mean) >= 1:
            num_dims = len(self.normalizer.mean)
            raise InputError(f"{len(low)} lower and {len(high)} upper bounds for the statistics of {num_dims} actions")
        for i in range(len(low)):
            if not low[i] <= high[i] or not math.isfinite(high[i] - low[i]):
                raise InputError(f"action_low[{i}]={low[i]} and action_high[{i}]={high[i]} are no finite bounds")

    @classmethod
    def of(cls, config: TrainConfig, data: Episodes, normalizer: ActionNormalizer) -> "ModelSpec":
        """Specification of the model that a configuration trains on a dataset.

        Args:
          config: configuration of the run.
          data: dataset to train on.
          normalizer: action statistics of the training split.
        """
        metadata, identity = data.metadata, DatasetIdentity.recorded(data)
        return cls(
            model=config.model,
            frame_size=config.env.frame_size,
            frameskip=config.env.frameskip,
            normalizer=normalizer,
            action_low=tuple(metadata.action_low),
            action_high=tuple(metadata.action_high),
            data=TrainingData(
                path=str(data.path),
                content_hash=data.content_hash,
                env_id=metadata.env_id,
                state_names=tuple(metadata.state_names),
                angles=tuple(metadata.angles),
                velocities=tuple(metadata.velocities),
                collected_by=asdict(identity) if identity else None,
                val_fraction=config.data.val_fraction,
                split_seed=config.data.split_seed,
            ),
        )

    @classmethod
    def draft(cls, config: TrainConfig, action_low: Sequence[float], action_high: Sequence[float]) -> "ModelSpec":
        """Specification before there are data, to try a configuration: actions are taken as they are.

        Args:
          config: configuration of the run.
          action_low, action_high: (a,) bounds of the raw actions.
        """
        unknown = TrainingData(
            path="",
            content_hash="",
            env_id="",
            state_names=(),
            angles=(),
            velocities=(),
            collected_by=None,
            val_fraction=config.data.val_fraction,
            split_seed=config.data.split_seed,
        )
        low, high = tuple(action_low), tuple(action_high)
        unit = ActionNormalizer((0.0,) * len(low), (1.0,) * len(low))
        return cls(config.model, config.env.frame_size, config.env.frameskip, unit, low, high, unknown)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelSpec":
        """Inverse of dataclasses.asdict(). Unknown keys are ignored: later versions may have more."""
        if isinstance(values.get("model"), dict):  # models of earlier versions lack these
            values = values | {"model": {"actor": None, "contrast": None, **values["model"]}}
        return cast(ModelSpec, from_dict(known_keys(values, cls), cls))

    @property
    def action_dim(self) -> int:
        """A, numbers in an action block."""
        return len(self.action_low) * self.frameskip

    def clips(self, data: Episodes, episode_ids: NDArray, num_frames: int) -> Clips:
        """Clips of num_frames frames of the given episodes, as the model takes them."""
        return Clips(data, episode_ids, num_frames, self.frameskip, self.normalizer)

    def build_model(self) -> JEPA:
        """Builds a model with random weights from torch's global generator."""
        return build_model(self.model, self.frame_size, self.action_dim)


def build_model(config: ModelConfig, image_size: int, action_dim: int) -> JEPA:
    """Builds a model with random weights from torch's global generator.

    Args:
      config: architecture of the model.
      image_size: height and width of the frames, pixels.
      action_dim: A, numbers in an action block.
    """
    encoder = build(ENCODERS, config.encoder, "encoder", image_size=image_size)
    predictor = build(
        PREDICTORS, config.predictor, "predictor", embedding_dim=config.embedding_dim, context=config.context
    )

    def projector(input_dim: int) -> nn.Module:
        sizes = {"input_dim": input_dim, "output_dim": config.embedding_dim}
        return cast(nn.Module, build(PROJECTORS, config.projector, "projector", **sizes))

    return JEPA(
        encoder=encoder,
        projector=projector(encoder.output_dim),
        action_encoder=build(
            ACTION_ENCODERS,
            config.action_encoder,
            "action_encoder",
            input_dim=action_dim,
            output_dim=predictor.output_dim,
        ),
        predictor=predictor,
        predictor_projector=nn.Identity()
        if isinstance(predictor, AffinePredictor)
        else projector(predictor.output_dim),
        context=config.context,
        # Last, so that the other parts begin with the weights that they have without them.
        flow=None if config.flow is None else build(FLOWS, config.flow, "flow", dim=config.embedding_dim),
        actor=None
        if config.actor is None
        else build(ACTORS, config.actor, "actor", embedding_dim=config.embedding_dim, action_dim=action_dim),
        contrast=None
        if config.contrast is None
        else build(CONTRASTS, config.contrast, "contrast", embedding_dim=config.embedding_dim),
    )
