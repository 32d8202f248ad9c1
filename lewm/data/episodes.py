"""The native dataset, version 3: a folder of .npy files that are memory-mapped, and metadata.json.

pixels.npy   (F, h, w, C) uint8     all frames of all episodes, one after another; h = w
states.npy   (F, S) float64         the simulator state of each frame; S is 0 where there are none
actions.npy  (F - E, a) float32     raw actions; an episode of L actions has L + 1 frames, frame 0 is the reset's
lengths.npy  (E,) int64             actions in each episode
digests.npy  (E, 32) uint8          Episode.digest() of each episode

metadata.json holds the format, its version, num_episodes E, num_frames F, the fields of Metadata and content_hash, the
SHA-256 of digests.npy's array. A folder whose content_hash is null is unfinished.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lewm.config import EnvConfig, RecordingConfig
from lewm.data.array_files import ARRAYS, read_array_file
from lewm.data.episode_arrays import EpisodeArrays
from lewm.data.episode_index import EpisodeIndex
from lewm.data.metadata import Metadata, read_description
from lewm.data.sources import sources_of
from lewm.errors import InputError


class Episodes(EpisodeArrays):
    """Dataset folder, memory-mapped: `data[3]` is an Episode, `data.index` says where each of them lies.

    Args:
      path: folder of the dataset. InputError: there is none, or it is damaged.

    Attributes:
      pixels, states, actions, digests: the arrays of the module's docstring.
      metadata: what is known of the dataset beside its arrays.
      content_hash: hex digest of all arrays, made when they were written; equal data have equal hashes.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        description = read_description(self.path)
        self.metadata, self.content_hash = description.metadata, str(description.content_hash)
        arrays = {name: self._map(name) for name in ARRAYS}
        lengths, self.digests = np.array(arrays["lengths"]), np.array(arrays["digests"])
        if len(lengths) == 0 or lengths.min() < 1:
            raise InputError(f"{self.path} has an episode without actions, or no episode: collect the dataset again")
        pixels, states, actions, index = arrays["pixels"], arrays["states"], arrays["actions"], EpisodeIndex(lengths)
        super().__init__(pixels, states, actions, index)
        if (len(pixels), len(states), len(actions)) != (index.num_frames, index.num_frames, index.num_actions):
            raise InputError(f"the arrays in {self.path} do not fit their lengths: collect the dataset again")
        for problem in misfits(self, self.metadata):
            raise InputError(f"{problem} in {self.path}: collect the dataset again")
        if (description.num_episodes, description.num_frames) != (len(self), index.num_frames):
            raise InputError(f"metadata.json counts other episodes than there are in {self.path}: collect it again")
        if self.digests.shape != (len(self), 32) or content_hash(self.digests) != self.content_hash:
            raise InputError(
                f"the digests in {self.path} are not those that its metadata.json was written for:"
                " collect the dataset again"
            )

    def _map(self, name: str) -> NDArray[Any]:
        rows, problems = read_array_file(self.path / f"{name}.npy")
        if rows is None or problems:
            raise InputError(f"{problems[0]} in {self.path}: collect the dataset again")
        return rows

    def __reduce__(self) -> tuple[type["Episodes"], tuple[Path]]:
        return Episodes, (self.path,)  # a worker process opens the files; pickling a memory map would copy the data

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(E,) number of actions in each episode."""
        return self.index.lengths

    @property
    def sources(self) -> NDArray[np.int64]:
        """(E,) the source of each episode, from 0: variants of one recording have the same, others their own."""
        return sources_of(self.metadata.collection, len(self))

    def intact(self) -> Iterator[bool]:
        """Tells of each episode, in order, whether it is what was written. Reads everything, with all cores."""
        return self.have_digests(self.digests)

    def check_fits(self, env: EnvConfig | RecordingConfig) -> None:
        """InputError unless the data have this frame size and, of an environment, are of it and its arguments."""
        metadata = self.metadata
        if metadata.frame_size != env.frame_size:
            raise InputError(
                f"the frames of {self.path} are {metadata.frame_size} pixels wide, and {env.frame_size} are wanted:"
                " set env.frame_size, or give another data path"
            )
        if isinstance(env, RecordingConfig):
            return
        if metadata.env_id != env.id:
            raise InputError(
                f"the dataset {self.path} is of {metadata.env_id or 'no environment'}, not of {env.id}:"
                " give another data path, or env=recorded for recordings"
            )
        if metadata.env_kwargs != json.loads(json.dumps(env.kwargs)):
            raise InputError(
                f"the dataset {self.path} was made with env.kwargs={metadata.env_kwargs}, not {env.kwargs}:"
                " set them, or give another data path"
            )


def misfits(arrays: EpisodeArrays, metadata: Metadata) -> Iterator[str]:
    """Where the shapes of the arrays contradict the metadata, a line each."""
    shape, size = arrays.pixels.shape[1:], metadata.frame_size
    if shape != (size, size, 3):
        yield f"metadata.json: frame_size is {size}, and the frames are {shape}, not {(size, size, 3)}"
    num_states, num_actions = arrays.states.shape[1], arrays.actions.shape[1]
    if len(metadata.state_names) != num_states:
        yield f"metadata.json: {len(metadata.state_names)} state_names, and a state has {num_states} numbers"
    if len(metadata.action_low) != num_actions:
        yield f"metadata.json: action_low has {len(metadata.action_low)} numbers, and an action {num_actions}"


def content_hash(digests: NDArray[np.uint8]) -> str:
    """(E, 32) digests of the episodes -> hex digest of the dataset, however it was cut into chunks."""
    return hashlib.sha256(digests.tobytes()).hexdigest()
