"""Raw actions to and from the normalized action blocks that the model sees."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lewm.errors import InputError

STD_FLOOR = 1e-3
"""A raw dimension that hardly moves is centred but not blown up."""


def pack_actions(actions: Tensor, frameskip: int) -> Tensor:
    """Concatenates the K actions of a model step, in time order: (..., T x K, a) -> (..., T, K x a)."""
    *batch, num_steps, raw_dim = actions.shape
    assert num_steps % frameskip == 0, f"{num_steps} actions are not whole blocks of {frameskip}"
    return actions.reshape(*batch, num_steps // frameskip, frameskip * raw_dim)


def unpack_actions(blocks: Tensor, frameskip: int) -> Tensor:
    """The inverse of pack_actions: (..., T, K x a) -> (..., T x K, a)."""
    *batch, num_blocks, width = blocks.shape
    return blocks.reshape(*batch, num_blocks * frameskip, width // frameskip)


@dataclass(frozen=True)
class ActionNormalizer:
    """Mean and standard deviation of each raw action dimension on the training split.

    Attributes:
      mean, std: (a,) in raw action units; std is at least STD_FLOOR where they are fitted.

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
        """(F, a) raw actions of the training split -> their normalizer."""
        std = np.maximum(actions.std(0, dtype=np.float64), STD_FLOOR)
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
