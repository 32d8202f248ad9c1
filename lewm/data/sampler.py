"""Sampler of clips: a training step's are a function of (seed, step), whatever the number of ranks and the start."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from lewm.errors import InputError


class StepSampler(Sampler[list[int]]):
    """Batches for steps start ... num_steps - 1; an epoch is a permutation of all clips, its incomplete rest dropped.

    With clips_per_episode = n above 1, a batch holds batch_size / n clips of the permutation and, beside each, n - 1
    others of its episode. A regularizer compares the clips of a batch with one another: where all are of different
    episodes, what stays the same within an episode (the block that nobody has pushed yet) is enough to tell them
    apart, is predicted perfectly, and can take the place of what moves.

    Args:
      owners: (num_clips,) the episode of each clip, ascending.
      batch_size: clips of one step over all ranks.
      clips_per_episode: n, a divisor of batch_size.
      start: first step.
      num_steps: end of the training.
      seed: seed of the permutations.
      rank, num_ranks: which equal share of each batch to yield.

    Attributes:
      rank_batch_size: clips of that share.
    """

    def __init__(
        self,
        owners: NDArray[np.int64],
        batch_size: int,
        *,
        clips_per_episode: int = 1,
        start: int = 0,
        num_steps: int,
        seed: int,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        if not 1 <= batch_size <= len(owners):
            raise InputError(
                f"training.batch_size={batch_size} must be between 1 and the {len(owners)} clips of the data"
            )
        if batch_size % clips_per_episode:
            raise InputError(
                f"training.clips_per_episode={clips_per_episode} does not divide training.batch_size={batch_size}"
            )
        if batch_size % num_ranks:
            raise InputError(
                f"training.batch_size={batch_size} cannot be shared by {num_ranks} processes: make it a multiple"
            )
        self._owners, self._batch_size, self._seed = owners, batch_size, seed
        self._clips_per_episode = clips_per_episode
        self.rank_batch_size = batch_size // num_ranks
        self._steps = range(start, num_steps)
        self._share = slice(rank * batch_size // num_ranks, (rank + 1) * batch_size // num_ranks)

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[int]]:
        num_anchors = self._batch_size // self._clips_per_episode
        batches_per_epoch = len(self._owners) // num_anchors
        order: NDArray | None = None
        for step in self._steps:
            epoch, index = divmod(step, batches_per_epoch)
            if order is None or index == 0:
                order = np.random.default_rng((self._seed, epoch)).permutation(len(self._owners))
            anchors = order[index * num_anchors : (index + 1) * num_anchors]
            yield self._with_company(anchors, step)[self._share].tolist()

    def _with_company(self, anchors: NDArray, step: int) -> NDArray:
        """(n,) clips -> (n x clips_per_episode,) each followed by others of its episode; again if it has too few."""
        num_others = self._clips_per_episode - 1
        if num_others == 0:
            return anchors
        owners = self._owners[anchors]
        first, end = np.searchsorted(self._owners, owners), np.searchsorted(self._owners, owners, side="right")
        num_there = (end - first - 1)[:, None]
        keys = np.random.default_rng((self._seed, step, num_others)).random((len(anchors), max(num_there.max(), 1)))
        keys[np.arange(keys.shape[1]) >= num_there] = np.inf
        order = keys.argsort(axis=1)  # begins with a permutation of range(num_there)
        others = first[:, None] + np.take_along_axis(order, np.arange(num_others) % np.maximum(num_there, 1), axis=1)
        others += others >= anchors[:, None]  # steps over the anchor
        groups = np.column_stack([anchors, np.where(num_there, others, anchors[:, None])])
        return groups.reshape(-1)
