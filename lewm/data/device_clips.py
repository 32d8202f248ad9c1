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
        index, copied, self._device = episodes.index, episodes.index.subset(episode_ids), torch.device(device)
        self._check_room(copied.num_frames * int(np.prod(episodes.pixels.shape[1:])), episodes)
        frames, actions = [index.frames(i) for i in episode_ids], [index.actions(i) for i in episode_ids]
        self._pixels = _gathered(episodes.pixels, frames, copied.num_frames, self._device)
        self._states = _gathered(episodes.states, frames, copied.num_frames, self._device)
        self._actions = normalizer.normalize(_gathered(episodes.actions, actions, copied.num_actions, self._device))
        places = copied.places(np.arange(len(copied)), room=(num_frames - 1) * frameskip)
        self._frame_starts, self._action_starts = copied.frame_rows(*places), copied.action_rows(*places)

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


def _gathered(array: NDArray, parts: list[slice], num_rows: int, device: torch.device) -> torch.Tensor:
    """Parts of a memory-mapped array, one after another on the device; one part at a time is in memory."""
    result = torch.empty(
        (num_rows, *array.shape[1:]), dtype=torch.from_numpy(np.empty(0, array.dtype)).dtype, device=device
    )
    row = 0
    for part in parts:
        rows = torch.from_numpy(np.array(array[part]))
        result[row : row + len(rows)] = rows
        row += len(rows)
    return result
