"""Action head: base class of the heads that say which action block leads to a goal."""

from abc import abstractmethod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lewm.heads.head import NUM_JUDGED, Batch, Head, HeadData
from lewm.uploading import upload

BATCH_SIZE = 256
"""Examples that are judged at once."""


class ActionHead(Head):
    """Head that is trained by the squared error of normalized action blocks.

    Attributes:
      context: T, frames that it sees, the current one included.
    """

    context: int

    @abstractmethod
    def forward(self, seen: Tensor, goals: Tensor) -> Tensor:
        """(N, T, ...) what is seen of the last frames, (N, ...) of the goal frames -> (N, A) action blocks."""

    def draw(self, data: HeadData, num: int, rng: np.random.Generator) -> Batch:
        """Frames, goals up to fitting.max_steps model steps ahead, and the recorded action blocks."""
        pairs = data.pairs.ahead(num, self.context, data.fitting.max_steps, rng)
        seen = data.see(pairs.frames)
        return Batch(seen, data.see(pairs.goals), upload(pairs.actions, seen.device))

    def loss(self, seen: Tensor, goals: Tensor, actions: Tensor) -> Tensor:
        """() mean squared error, given the (N, A) recorded action blocks."""
        return F.mse_loss(self(seen, goals), actions)

    def errors(self, data: HeadData, rng: np.random.Generator) -> dict[str, float]:
        """Mean squared error of the normalized actions, and the share of their variance that is explained (R2)."""
        batches = [self.draw(data, BATCH_SIZE, rng) for _ in range(NUM_JUDGED // BATCH_SIZE)]
        actions = torch.cat([batch.targets for batch in batches])
        error = (torch.cat([self(batch.seen, batch.goals) for batch in batches]) - actions).square().mean()
        variance = (actions - actions.mean(0)).square().mean().clamp(min=1e-12)
        return {"mean_squared_error": error.item(), "r2": (1 - error / variance).item()}
