"""Clips whose frames lie on the training device: for data that fit there."""

import numpy as np
import torch
from numpy.typing import NDArray

from lewm.clip import Clip
from lewm.data.clips import Clips
from lewm.data.episodes import Episodes
from lewm.data.normalize import ActionNormalizer, pack_actions
from lewm.errors import InputError

ROOM = 0.7
"""Share of the free memory of a GPU that frames may take; the model needs the rest."""


class DeviceClips(Clips):
    """The same clips as Clips, gathered on `device` from uint8 frames that were copied there once.

    A DataLoader of it takes num_workers=0 and pin_memory=False.

    Args:
      episodes, episode_ids, num_frames, frameskip, normalizer: as of Clips; only these episodes are copied.
      device: where the frames and the batches are.
    """

    def __init__(
        self,
        episodes: Episodes,
        episode_ids: NDArray,
        num_frames: int,
        frameskip: int,
        normalizer: ActionNormalizer,
        device: str | torch.device,
    ) -> None:
        super().__init__(episodes, episode_ids, num_frames, frameskip, normalizer)
        lengths, self._device = episodes.lengths[episode_ids], torch.device(device)
        self._check_room(int((lengths + 1).sum()) * int(np.prod(episodes.pixels.shape[1:])), episodes)
        frames = [(i, i + n + 1) for i, n in zip(episodes.frame_offsets[episode_ids], lengths, strict=True)]
        steps = [(i, i + n) for i, n in zip(episodes.action_offsets[episode_ids], lengths, strict=True)]
        self._pixels = _gathered(episodes.pixels, frames, self._device)
        self._states = _gathered(episodes.states, frames, self._device)
        self._actions = normalizer.normalize(_gathered(episodes.actions, steps, self._device))
        # Where the episodes are in these copies, less where they are in the dataset.
        moved_frames, moved_steps = (np.zeros(len(episodes), np.int64) for _ in range(2))
        moved_frames[episode_ids] = np.cumsum(lengths + 1) - (lengths + 1) - episodes.frame_offsets[episode_ids]
        moved_steps[episode_ids] = np.cumsum(lengths) - lengths - episodes.action_offsets[episode_ids]
        self._frame_starts = self._frame_starts + moved_frames[self.owners]
        self._action_starts = self._action_starts + moved_steps[self.owners]

    def _check_room(self, num_bytes: int, episodes: Episodes) -> None:
        if self._device.type != "cuda":
            return
        free = torch.cuda.mem_get_info(self._device)[0]
        if num_bytes > ROOM * free:
            raise InputError(
                f"the training frames of {episodes.path} take {num_bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB"
                f" are free on {self._device}, of which {ROOM:.0%} are for them: give data.device=cpu"
            )

    def __getitems__(self, indices: list[int] | NDArray) -> Clip:
        """A whole batch by one gather on the device."""
        frames, steps = (torch.from_numpy(rows).to(self._device) for rows in self._rows(indices))
        return Clip(
            pixels=_take(self._pixels, frames).movedim(-1, -3),
            actions=pack_actions(_take(self._actions, steps), self._frameskip),
            states=_take(self._states, frames),
        )


def _take(rows: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """rows[indices], which copies number by number on a CPU, where index_select copies whole rows."""
    return rows.index_select(0, indices.flatten()).unflatten(0, indices.shape)


def _gathered(array: NDArray, parts: list[tuple[int, int]], device: torch.device) -> torch.Tensor:
    """PartialResults of a memory-mapped array, one after another on the device; an episode at a time is in memory."""
    num_rows = sum(end - begin for begin, end in parts)
    result = torch.empty(
        (num_rows, *array.shape[1:]), dtype=torch.from_numpy(np.empty(0, array.dtype)).dtype, device=device
    )
    row = 0
    for begin, end in parts:
        result[row : row + end - begin] = torch.from_numpy(np.array(array[begin:end]))
        row += end - begin
    return result
