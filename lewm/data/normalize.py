"""Raw actions to and from the normalized action blocks that the model sees."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lewm.errors import InputError

ROUNDING = float(np.finfo(np.float32).eps)
"""A raw dimension is constant if its std is no more than this share of its largest value."""
CONSTANT_STD = 1e-3
"""What stands for the std of a constant dimension, a share of its largest value: it is centred but not blown up."""


def pack_actions(actions: Tensor, frameskip: int) -> Tensor:
    """Concatenates the K actions of a model step, in time order: (..., T x K, a) -> (..., T, K x a)."""
    *batch, num_steps, raw_dim = actions.shape
    assert num_steps % frameskip == 0, f"{num_steps} actions are not whole blocks of {frameskip}"
    return actions.reshape(*batch, num_steps // frameskip, frameskip * raw_dim)


def unpack_actions(blocks: Tensor, frameskip: int) -> Tensor:
    """The inverse of pack_actions: (..., T, K x a) -> (..., T x K, a)."""
    *batch, num_blocks, width = blocks.shape
    return blocks.reshape(*batch, num_blocks * frameskip, width // frameskip)


def constant_dims(actions: NDArray[np.float32]) -> NDArray[np.int64]:
    """Indices of the dimensions that never change in (F, a) raw actions, but for rounding."""
    return np.flatnonzero(actions.std(0, dtype=np.float64) <= ROUNDING * np.abs(actions).max(0))


@dataclass(frozen=True)
class ActionNormalizer:
    """Mean and standard deviation of each raw action dimension on the training split.

    Attributes:
      mean, std: (a,) in raw action units.

    Raises:
      InputError: they are not equally many finite numbers, or a std is not above 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not all(map(math.isfinite, self.mean + self.std)) or min(self.std) <= 0:
            raise InputError(f"action statistics mean={self.mean}, std={self.std}: finite, equally many, std above 0")

    @classmethod
    def fit(cls, actions: NDArray[np.float32]) -> "ActionNormalizer":
        """(F, a) raw actions of the training split -> their normalizer, whatever the unit of each dimension.

        A constant dimension has no spread that could be its unit: a share of its value is taken, or of the largest
        value of all dimensions where it is 0.
        """
        size, std = np.abs(actions).max(0).astype(np.float64), actions.std(0, dtype=np.float64)
        scale = np.where(size > 0, size, size.max() or 1.0)
        std[constant_dims(actions)] = CONSTANT_STD * scale[constant_dims(actions)]
        return cls(tuple(actions.mean(0, dtype=np.float64).tolist()), tuple(std.tolist()))

    def normalize(self, actions: ArrayLike | Tensor) -> Tensor:
        """(..., a) raw -> (..., a) normalized, float32."""
        actions = torch.as_tensor(actions, dtype=torch.float32)
        return (actions - actions.new_tensor(self.mean)) / actions.new_tensor(self.std)

    def denormalize(self, actions: Tensor) -> Tensor:
        """(..., a) normalized -> (..., a) raw."""
        return actions * actions.new_tensor(self.std) + actions.new_tensor(self.mean)

    def block_bounds(self, low: ArrayLike, high: ArrayLike, frameskip: int) -> tuple[Tensor, Tensor]:
        """(a,), (a,) bounds of the env -> (A,), (A,) bounds of an action block in normalized space."""
        return self.normalize(low).repeat(frameskip), self.normalize(high).repeat(frameskip)
