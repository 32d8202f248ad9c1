"""The typed schema of configs/head/ and configs/train_head.yaml."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from omegaconf import OmegaConf

from lewm.config import CONFIGS, Component, from_dict, suggestion
from lewm.errors import InputError


@dataclass(frozen=True)
class FittingConfig:
    """How a head is fitted.

    Attributes:
      num_steps, batch_size, learning_rate, weight_decay: of AdamW; the rate warms up, then falls along a cosine.
      max_steps: most model steps from a frame to its goal.
      far_share: of temporal_distance: share of pairs that are any two frames, which count as max_steps apart.
      max_frames: most frames of the training episodes to learn from, whole episodes drawn at random; embeddings take 4
        bytes x D for each.
    """

    num_steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    max_steps: int
    far_share: float
    max_frames: int

    def __post_init__(self) -> None:
        for key in ("num_steps", "batch_size", "max_steps", "max_frames"):
            if getattr(self, key) < 1:
                raise InputError(f"fitting.{key}={getattr(self, key)} must be at least 1")
        for key in ("learning_rate", "weight_decay"):
            if not 0 <= getattr(self, key) < math.inf:
                raise InputError(f"fitting.{key}={getattr(self, key)} must be at least 0")
        if not 0 <= self.far_share < 1:
            raise InputError(f"fitting.far_share={self.far_share} must be at least 0 and below 1")


@dataclass(frozen=True)
class HeadConfig:
    """A file of configs/head/."""

    head: Component
    fitting: FittingConfig


@dataclass(frozen=True)
class TrainHeadConfig:
    run: str
    data_path: str | None
    seed: int
    device: str
    num_threads: int | None
    head: Component
    fitting: FittingConfig

    @property
    def head_config(self) -> HeadConfig:
        return HeadConfig(self.head, self.fitting)


def read_heads(entries: Iterable[str | Component]) -> list[HeadConfig]:
    """The configurations of configs/head/ of these names, or of {name, what differs from the file}."""
    return [_read_head(entry if isinstance(entry, dict) else {"name": entry}) for entry in entries]


def _read_head(entry: Component) -> HeadConfig:
    files = {path.stem: path for path in (CONFIGS / "head").glob("*.yaml")}
    name = str(entry.get("name"))
    if name not in files:
        raise InputError(f"no head {name!r}{suggestion(name, files)}")
    values = cast(dict[str, dict[str, Any]], OmegaConf.to_container(OmegaConf.load(files[name])))
    for key, value in entry.items():
        groups = [group for group in values.values() if key in group]
        if not groups:
            known = [key for group in values.values() for key in group]
            raise InputError(f"head {name} has no key {key!r}{suggestion(key, known)}")
        groups[0][key] = value
    return cast(HeadConfig, from_dict(values, HeadConfig))
