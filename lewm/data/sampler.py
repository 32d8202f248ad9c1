"""Which clips a training step sees: a function of (seed, step), whatever the number of ranks and wherever it starts."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from lewm.errors import InputError


class StepSampler(Sampler[list[int]]):
    """Batches for steps start ... num_steps - 1; an epoch is a permutation of all clips, its incomplete rest dropped.

    Args:
      num_clips: clips to draw from.
      batch_size: clips of one step over all ranks.
      start: first step.
      num_steps: end of the training.
      seed: seed of the permutations.
      rank, num_ranks: which equal share of each batch to yield.
    """

    def __init__(
        self,
        num_clips: int,
        batch_size: int,
        *,
        start: int = 0,
        num_steps: int,
        seed: int,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        if not 1 <= batch_size <= num_clips:
            raise InputError(
                f"training.batch_size={batch_size} must be between 1 and the {num_clips} clips of the data"
            )
        if batch_size % num_ranks:
            raise InputError(
                f"training.batch_size={batch_size} cannot be shared by {num_ranks} processes: make it a multiple"
            )
        self._num_clips, self._batch_size, self._seed = num_clips, batch_size, seed
        self._steps = range(start, num_steps)
        self._share = slice(rank * batch_size // num_ranks, (rank + 1) * batch_size // num_ranks)

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[int]]:
        batches_per_epoch = self._num_clips // self._batch_size
        order: NDArray | None = None
        for step in self._steps:
            epoch, index = divmod(step, batches_per_epoch)
            if order is None or index == 0:
                order = np.random.default_rng((self._seed, epoch)).permutation(self._num_clips)
            yield order[index * self._batch_size : (index + 1) * self._batch_size][self._share].tolist()
