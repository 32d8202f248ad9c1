"""Head: base class that states what a head is built from, what it sees, how it is trained and how it is judged."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from lewm.heads.config import FittingConfig
from lewm.heads.pairs import PairSampler
from lewm.training.model_spec import ModelSpec

NUM_JUDGED = 4096
"""Examples of held-out episodes that a head is judged on."""


@dataclass(frozen=True)
class HeadData:
    """Recorded episodes that a head is fitted to, or judged on.

    Attributes:
      pairs: sampler of frames and goal frames, as indices.
      see: indices of any shape (...) -> what the head sees of these frames, on its device: (..., D) float32
        embeddings or (..., C, h, w) uint8 frames.
      fitting: settings of the fitting, such as the farthest goals.
    """

    pairs: PairSampler
    see: Callable[[NDArray[np.int64]], Tensor]
    fitting: FittingConfig


class Batch(NamedTuple):
    """N examples for the loss of a head.

    Attributes:
      seen: (N, ...) frames or embeddings to start from.
      goals: (N, ...) frames or embeddings of the goals.
      targets: (N, ...) what head(seen, goals) should be.
    """

    seen: Tensor
    goals: Tensor
    targets: Tensor


class Head(nn.Module, ABC):
    """Small network that is fitted to recorded episodes after a world model has been trained.

    A subclass needs a line in lewm.heads.HEADS and a file in configs/head. Fitting, saving, loading and the property
    tests know nothing else of it.

    Attributes:
      sees: "embeddings" of the frozen model, or "frames".
    """

    sees: ClassVar[Literal["embeddings", "frames"]] = "embeddings"

    @classmethod
    @abstractmethod
    def sizes(cls, spec: ModelSpec, fitting: FittingConfig) -> dict[str, Any]:
        """Constructor arguments that follow from the model and the fitting; the configuration gives the others."""

    @abstractmethod
    def fit_normalization(self, seen: Tensor) -> None:
        """Fits the normalization of the input to Batch.seen of the training episodes, before the first step."""

    @abstractmethod
    def draw(self, data: HeadData, num: int, rng: np.random.Generator) -> Batch:
        """Draws a batch of `num` examples."""

    @abstractmethod
    def loss(self, seen: Tensor, goals: Tensor, targets: Tensor) -> Tensor:
        """() mean loss of a batch."""

    @abstractmethod
    def errors(self, data: HeadData, rng: np.random.Generator) -> dict[str, float]:
        """Errors of the head in eval mode, by name, on examples that it draws from held-out episodes."""
