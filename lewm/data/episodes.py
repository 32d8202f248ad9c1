"""The native dataset, version 2: a folder of .npy files that are memory-mapped, and metadata.json.

pixels.npy   (F, h, w, C) uint8     all frames of all episodes, one after another; h = w
states.npy   (F, S) float64         the simulator state of each frame; S is 0 where there are none
actions.npy  (F - E, a) float32     raw actions; an episode of L actions has L + 1 frames, frame 0 is the reset's
lengths.npy  (E,) int64             actions in each episode
digests.npy  (E, 32) uint8          episode_digest of each episode

metadata.json holds the format, its version, num_episodes E, num_frames F, the fields of Metadata and content_hash, the
SHA-256 of digests.npy's array. A folder whose content_hash is null is unfinished.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lewm.config import EnvConfig, RecordingConfig
from lewm.errors import InputError

FORMAT = "lewm-episodes"
VERSION = 2
ARRAYS = {"pixels": np.uint8, "states": np.float64, "actions": np.float32, "lengths": np.int64, "digests": np.uint8}
"""The arrays and their types, in the order in which an episode is written."""


@dataclass(frozen=True)
class Metadata:
    """What is known of a dataset beside its arrays.

    Attributes:
      env_id: Gymnasium id of the environment.
      frame_size: height and width of the frames.
      state_names: S names, one for each number of a state.
      action_low: (a,) lower bounds of the raw actions.
      action_high: (a,) upper bounds of the raw actions.
      collection: how the data came about: policy, seed, versions, simulator and renderer.
      env_kwargs: arguments of the environment beside frame_size.
      angles: those of state_names that are angles in radians.
    """

    env_id: str
    frame_size: int
    state_names: list[str]
    action_low: list[float]
    action_high: list[float]
    collection: dict[str, Any]
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    angles: list[str] = field(default_factory=list)


class Episodes:
    """Memory-mapped reader of a dataset folder.

    Attributes:
      pixels, states, actions, lengths, digests: the arrays of the module's docstring.
      frame_offsets, action_offsets: (E,) index of each episode's first frame and first action.
      metadata: Metadata.
      content_hash: hex digest of all arrays, made when they were written; equal data have equal hashes.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.metadata, self.content_hash = read_description(self.path)
        self.pixels, self.states, self.actions = (self._load(name, "r") for name in ("pixels", "states", "actions"))
        self.lengths, self.digests = (self._load(name, None) for name in ("lengths", "digests"))
        num_frames = int((self.lengths + 1).sum())
        if (len(self.pixels), len(self.states), len(self.actions)) != (num_frames, num_frames, self.lengths.sum()):
            raise InputError(f"the arrays in {self.path} do not fit their lengths: collect the dataset again")
        if self.digests.shape != (len(self.lengths), 32) or content_hash(self.digests) != self.content_hash:
            raise InputError(
                f"the digests in {self.path} are not those that its metadata.json was written for:"
                " collect the dataset again"
            )
        self.frame_offsets = np.cumsum(self.lengths + 1) - (self.lengths + 1)
        self.action_offsets = np.cumsum(self.lengths) - self.lengths

    def _load(self, name: str, mmap_mode: Any) -> NDArray[Any]:
        try:
            mapped = np.load(self.path / f"{name}.npy", mmap_mode=mmap_mode)
        except (OSError, EOFError, ValueError) as error:
            raise InputError(f"{self.path / name}.npy is missing or damaged ({error}): collect again") from error
        return mapped

    def __reduce__(self) -> tuple[type["Episodes"], tuple[Path]]:
        return Episodes, (self.path,)  # a worker process opens the files; pickling a memory map would copy the data

    def __len__(self) -> int:
        return len(self.lengths)

    def intact(self) -> Iterator[bool]:
        """Whether each episode is what was written, in order. Reads everything, with all cores."""
        return intact_episodes(self.pixels, self.states, self.actions, self.lengths, self.digests)

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


def read_description(path: Path) -> tuple[Metadata, str]:
    """Metadata and content hash of the dataset at `path`; an InputError says what else is there."""
    if not path.is_dir():
        raise InputError(f"no dataset at {path}: make one with scripts/collect.py data_path={path}")
    try:
        described = json.loads((path / "metadata.json").read_text())
    except FileNotFoundError:
        raise InputError(f"{path} is not a dataset: it has no metadata.json; give another data path") from None
    except ValueError as error:
        raise InputError(f"{path}/metadata.json is damaged ({error}): collect the dataset again") from None
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise InputError(f"{path} is not a dataset of format {FORMAT}; give another data path")
    if described.get("version") != VERSION:
        raise InputError(
            f"{path} is a dataset of version {described.get('version')} of the format {FORMAT}, and this program reads"
            f" version {VERSION}: remove it and collect it again"
        )
    try:
        metadata, digest = Metadata(**described["metadata"]), described["content_hash"]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}/metadata.json is incomplete ({error}): collect the dataset again") from None
    if digest is None:
        raise InputError(f"{path} is unfinished: go on with the command that began it, or remove it")
    return metadata, digest


def episode_digest(pixels: NDArray[np.uint8], states: NDArray[np.float64], actions: NDArray[np.float32]) -> bytes:
    """SHA-256 of the arrays of one episode, of their types and of their shapes."""
    arrays = [np.ascontiguousarray(array) for array in (pixels, states, actions)]
    digest = hashlib.sha256(repr([(array.dtype.str, array.shape) for array in arrays]).encode())
    for array in arrays:
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.digest()


def content_hash(digests: NDArray[np.uint8]) -> str:
    """(E, 32) digests of the episodes -> hex digest of the dataset, however it was cut into chunks."""
    return hashlib.sha256(digests.tobytes()).hexdigest()


def intact_episodes(
    pixels: NDArray[np.uint8],
    states: NDArray[np.float64],
    actions: NDArray[np.float32],
    lengths: NDArray[np.int64],
    digests: NDArray[np.uint8],
) -> Iterator[bool]:
    """Whether the digest of each episode is that of its arrays, in order; arrays as in the module's docstring."""
    frames, steps = np.cumsum(lengths + 1), np.cumsum(lengths)

    def is_intact(episode: int) -> bool:
        length, frame, step = (int(array[episode]) for array in (lengths, frames, steps))
        rows, moves = slice(frame - length - 1, frame), slice(step - length, step)
        return episode_digest(pixels[rows], states[rows], actions[moves]) == digests[episode].tobytes()

    num_threads = os.cpu_count() or 1  # hashing releases the interpreter's lock
    with ThreadPoolExecutor(num_threads) as pool:
        episodes = iter(range(len(lengths)))
        ahead = [pool.submit(is_intact, episode) for episode in islice(episodes, 4 * num_threads)]
        while ahead:
            yield ahead.pop(0).result()
            ahead += [pool.submit(is_intact, episode) for episode in islice(episodes, 1)]
