"""Clips: T frames, K env steps apart, with the action blocks between them."""

import mmap
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from lewm.clip import Clip
from lewm.data.episodes import Episodes
from lewm.data.normalize import ActionNormalizer, constant_dims, pack_actions
from lewm.errors import InputError


def split_episodes(num_episodes: int, val_fraction: float, seed: int) -> tuple[NDArray, NDArray]:
    """Indices of training and held-out episodes, sorted; at least one of each."""
    num_val = min(max(round(val_fraction * num_episodes), 1), num_episodes - 1)
    if num_val < 1:
        raise InputError(f"the dataset has {num_episodes} episode; a training and a held-out one need at least 2")
    order = np.random.default_rng(seed).permutation(num_episodes)
    return np.sort(order[num_val:]), np.sort(order[:num_val])


def split_dataset(data: Episodes, val_fraction: float, seed: int) -> tuple[NDArray, NDArray]:
    """Indices of training and held-out episodes as split_episodes(), with all variants of a source on the same side."""
    sources = data.sources
    _, held_out = split_episodes(int(sources.max()) + 1, val_fraction, seed)
    is_held_out = np.isin(sources, held_out)
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def training_actions(episodes: Episodes, episode_ids: NDArray) -> NDArray[np.float32]:
    """(F, a) raw actions of the given episodes, for ActionNormalizer.fit."""
    return np.concatenate([episodes.actions[episodes.index.actions(episode)] for episode in episode_ids])


def fit_normalizer(data: Episodes, episode_ids: NDArray, tell: Callable[[str], Any]) -> ActionNormalizer:
    """Fits action statistics to the given episodes, and tells in one line which dimensions are constant in them.

    Args:
      data: the dataset.
      episode_ids: (E,) the training split.
      tell: takes the line, if there is one.
    """
    actions = training_actions(data, episode_ids)
    if constant := [data.metadata.action_names[i] for i in constant_dims(actions)]:
        tell(
            f"constant in the training episodes of {data.path}: {', '.join(constant)}. Nothing can be learned of what"
            " other values would do, and plans stay near these"
        )
    return ActionNormalizer.fit(actions)


class Clips(Dataset[Clip]):
    """Every clip of the given episodes, one for each start frame. Reads the K-strided frames only, not the span.

    Args:
      episodes: the dataset.
      episode_ids: (E,) the episodes to take clips from; a clip never crosses into the next one.
      num_frames: T.
      frameskip: K.
      normalizer: maps raw actions to the normalized ones of a Clip.

    Attributes:
      episodes, episode_ids, num_frames, frameskip, normalizer: the arguments.
      owners: (num_clips,) the episode of each clip, ascending.
    """

    def __init__(
        self, episodes: Episodes, episode_ids: NDArray, num_frames: int, frameskip: int, normalizer: ActionNormalizer
    ) -> None:
        self.episodes, self.episode_ids = episodes, np.asarray(episode_ids)
        self.num_frames, self.frameskip, self.normalizer = num_frames, frameskip, normalizer
        index, span = episodes.index, (num_frames - 1) * frameskip
        self.owners, steps = index.places(episode_ids, room=span)
        if len(self.owners) == 0:
            raise InputError(
                f"a clip of {num_frames} frames at frameskip={frameskip} spans {span} steps, and the longest episode"
                f" has {index.lengths[episode_ids].max()}: lower env.frameskip or training.num_frames"
            )
        self._frame_starts = index.frame_rows(self.owners, steps)
        self._action_starts = index.action_rows(self.owners, steps)

    def __len__(self) -> int:
        return len(self._frame_starts)

    def used_episodes(self) -> NDArray[np.int64]:
        """Those of episode_ids that have a clip, in their order."""
        long_enough = self.episodes.index.lengths[self.episode_ids] >= (self.num_frames - 1) * self.frameskip
        return self.episode_ids[long_enough]

    def __getitem__(self, index: int) -> Clip:
        """One clip without the batch axis."""
        batch = self.__getitems__([index])
        return Clip(*(tensor[0] for tensor in batch))

    def __getitems__(self, indices: list[int] | NDArray) -> Clip:
        """A whole batch by one gather from the memory map; torch's DataLoader calls this."""
        frames, steps = self._rows(indices)
        _ask_for(self.episodes.pixels, frames)
        actions = self.normalizer.normalize(self.episodes.actions[steps])
        return Clip(
            pixels=torch.from_numpy(self.episodes.pixels[frames]).movedim(-1, -3),
            actions=pack_actions(actions, self.frameskip),
            states=torch.from_numpy(self.episodes.states[frames]),
        )

    def _rows(self, indices: list[int] | NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(B,) clips -> (B, T) rows of their frames, (B, (T-1) x K) rows of their actions."""
        frames = self._frame_starts[indices][:, None] + self.frameskip * np.arange(self.num_frames)
        steps = self._action_starts[indices][:, None] + np.arange(self.frameskip * (self.num_frames - 1))
        return frames, steps


def _ask_for(array: NDArray, rows: NDArray[np.int64]) -> None:
    """Has the kernel read rows of a memory map side by side.

    Faulted in one after another, rows that are not in the page cache take several times longer: see --cold of
    scripts/benchmarks/data.py. One that is there costs a microsecond.
    """
    if not (isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_WILLNEED")):
        return
    mapped = array.base
    row_bytes, begin = array.strides[0], array.offset % mmap.ALLOCATIONGRANULARITY
    for start in (begin + row_bytes * rows.ravel()).tolist():
        page = start - start % mmap.PAGESIZE
        mapped.madvise(mmap.MADV_WILLNEED, page, start + row_bytes - page)


def as_batch(clip: Any) -> Clip:
    """collate_fn for a DataLoader of Clips: __getitems__ has made the batch already."""
    return cast(Clip, clip)
