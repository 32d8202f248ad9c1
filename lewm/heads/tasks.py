"""What each head learns: the batches for its loss, and the errors that it is judged by on held-out episodes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from lewm.heads.config import FittingConfig
from lewm.heads.pairs import PairSampler

NUM_JUDGED = 4096
"""Pairs of held-out episodes that a head is judged on."""

Frames = Callable[[NDArray[np.int64]], Tensor]
"""Indices of any shape into PairSampler.rows -> what the head sees of these frames, on its device."""


class Task(Protocol):
    """What a head learns."""

    def draw(self, head: Any, num: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """A batch of `num` for head.loss: what is seen, the goals, and what the head is to say."""
        ...

    def errors(self, head: Any, rng: np.random.Generator) -> dict[str, float]:
        """What the head in eval mode comes to on other pairs."""
        ...


@dataclass(frozen=True)
class InverseDynamicsTask:
    """From the embeddings of the last frames and of a goal frame to the action block."""

    pairs: PairSampler
    frames: Frames
    fitting: FittingConfig

    def draw(self, head: Any, num: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        pairs = self.pairs.ahead(num, head.context, self.fitting.max_steps, rng)
        seen = self.frames(pairs.frames)
        return seen, self.frames(pairs.goals), torch.from_numpy(pairs.actions).to(seen.device)

    def errors(self, head: Any, rng: np.random.Generator) -> dict[str, float]:
        """Mean squared error of the normalized actions, and the share of their variance that the head explains."""
        batches = [self.draw(head, 256, rng) for _ in range(NUM_JUDGED // 256)]
        actions = torch.cat([batch[2] for batch in batches])
        error = (torch.cat([head(*batch[:2]) for batch in batches]) - actions).square().mean()
        variance = (actions - actions.mean(0)).square().mean().clamp(min=1e-12)
        return {"mean_squared_error": error.item(), "r2": (1 - error / variance).item()}


@dataclass(frozen=True)
class BehaviourCloningTask(InverseDynamicsTask):
    """From a frame and a goal frame to the action block."""

    def draw(self, head: Any, num: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        pairs = self.pairs.ahead(num, 1, self.fitting.max_steps, rng)
        seen = self.frames(pairs.frames[:, 0])
        return seen, self.frames(pairs.goals), torch.from_numpy(pairs.actions).to(seen.device)


@dataclass(frozen=True)
class TemporalDistanceTask:
    """From the embeddings of two frames to the model steps between them."""

    pairs: PairSampler
    frames: Frames
    fitting: FittingConfig

    def draw(self, head: Any, num: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        return self._draw(num, self.fitting.far_share, rng)

    def errors(self, head: Any, rng: np.random.Generator) -> dict[str, float]:
        """On pairs of one episode: Spearman's correlation of predicted and true steps, and the mean absolute error.

        Beside them the correlation that the squared distance of the embeddings has, which a head is to surpass.
        """
        z, z_goal, gaps = self._draw(NUM_JUDGED, 0.0, rng)
        steps, distance = head(z, z_goal), (z - z_goal).square().sum(-1)
        return {
            "rank_correlation": _rank_correlation(steps, gaps),
            "rank_correlation_of_squared_distance": _rank_correlation(distance, gaps),
            "mean_absolute_error_in_steps": (steps - gaps).abs().mean().item(),
        }

    def _draw(self, num: int, far_share: float, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        first, second, gaps = self.pairs.apart(num, far_share, rng)
        z = self.frames(first)
        return z, self.frames(second), torch.from_numpy(gaps).to(z.device).clamp(max=self.fitting.max_steps)


def _rank_correlation(x: Tensor, y: Tensor) -> float:
    """Spearman's; 0 where one of them is constant, which has no ranks."""
    return float(spearmanr(x.cpu(), y.cpu())[0]) if min(x.max() - x.min(), y.max() - y.min()) > 0 else 0.0


TASKS: dict[str, Callable[[PairSampler, Frames, FittingConfig], Task]] = {
    "inverse_dynamics": InverseDynamicsTask,
    "temporal_distance": TemporalDistanceTask,
    "behaviour_cloning": BehaviourCloningTask,
}
"""By the names of lewm.models.HEADS."""
