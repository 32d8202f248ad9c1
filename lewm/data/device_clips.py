"""Clips whose frames lie on the training device: for data that fit there."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from lewm.clip import Clip
from lewm.data.clips import Clips
from lewm.data.episodes import Episodes
from lewm.data.normalize import ActionNormalizer, pack_actions
from lewm.errors import InputError
from lewm.uploading import upload

ROOM = 0.7
"""Share of the free memory of a GPU that frames may take; the model needs the rest."""


class DeviceClips(Clips):
    """The same clips as Clips, gathered on `device` from uint8 frames that were copied there once.

    A batch costs one upload, the indices of its B clips, and the host never waits for the device. On a GPU the indices
    of each batch are in pinned memory of their own, which torch's caching host allocator hands out again only after
    the upload is done: one buffer for all batches would be overwritten while it is read.

    Episodes without a clip, shorter than its span, are not copied. All frames of the others are: clips begin at every
    frame, so they reach each one, whatever the frameskip, but in episodes less than a model step longer than the span.

    Args:
      episodes, episode_ids, num_frames, frameskip, normalizer: as of Clips.
      device: where the frames and the batches are.

    Raises:
      InputError: the frames do not fit into ROOM of the free memory of a GPU.
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
        self._device = torch.device(device)
        if lack := lack_of_room(self, self._device):
            raise InputError(f"{lack}: give data.device=cpu")
        index, used, span = episodes.index, self.used_episodes(), (num_frames - 1) * frameskip
        copied = index.subset(used)
        frames, actions = [index.frames(i) for i in used], [index.actions(i) for i in used]
        self._pixels = _gathered(episodes.pixels, frames, copied.num_frames, self._device)
        self._states = _gathered(episodes.states, frames, copied.num_frames, self._device)
        self._actions = normalizer.normalize(_gathered(episodes.actions, actions, copied.num_actions, self._device))
        places = copied.places(np.arange(len(copied)), room=span)
        starts = np.stack([copied.frame_rows(*places), copied.action_rows(*places)], axis=1)
        self._starts = torch.from_numpy(starts).to(self._device)  # (num_clips, 2) rows of first frames and actions
        self._frame_steps = frameskip * torch.arange(num_frames, device=self._device)
        self._action_steps = torch.arange(span, device=self._device)

    @classmethod
    def of(cls, clips: Clips, device: str | torch.device) -> Self:
        """The given clips, in their order."""
        return cls(clips.episodes, clips.episode_ids, clips.num_frames, clips.frameskip, clips.normalizer, device)

    def __getitems__(self, indices: list[int] | NDArray) -> Clip:
        """A whole batch by one gather on the device. The indices are not checked."""
        chosen = upload(np.asarray(indices, np.int64), self._device)
        frame, action = self._starts.index_select(0, chosen).unbind(1)
        frames, actions = frame[:, None] + self._frame_steps, action[:, None] + self._action_steps
        return Clip(
            pixels=_take(self._pixels, frames).movedim(-1, -3),
            actions=pack_actions(_take(self._actions, actions), self.frameskip),
            states=_take(self._states, frames),
        )


def place_clips(clips: Clips, place: str, device: torch.device, say: Callable[[str], Any]) -> Clips:
    """Copies the frames of clips to the training device, if that is wanted and they fit.

    Args:
      clips: clips whose frames are read from the dataset.
      place: data.device: cpu; cuda; or auto, which is cuda if the frames fit on the GPU that trains, else cpu.
      device: device of the training.
      say: is told, in one line, why auto leaves the frames where they are on a machine with a GPU.

    Returns:
      DeviceClips, or the clips that were given.

    Raises:
      InputError: place is cuda and the frames do not fit.
    """
    if place == "cpu" or device.type == "cpu":
        return clips
    if place == "auto" and (lack := lack_of_room(clips, device)):
        say(f"{lack}: data.device=auto uploads them batch by batch")
        return clips
    return DeviceClips.of(clips, device)


def lack_of_room(clips: Clips, device: torch.device) -> str | None:
    """Says by how much the frames of clips are too large for a device; None if they fit."""
    num_frames = clips.episodes.index.subset(clips.used_episodes()).num_frames
    needed, free = num_frames * clips.episodes.pixels[0].nbytes, _free_memory(device)
    if free is None or needed <= ROOM * free:
        return None
    return (
        f"the training frames of {clips.episodes.path} take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB"
        f" are free on {device}, of which {ROOM:.0%} are for them"
    )


def _free_memory(device: torch.device) -> int | None:
    """Free bytes of a GPU; None for devices that share the memory of the host."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


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
