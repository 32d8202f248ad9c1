"""The native dataset, version 2: a folder of .npy files that are memory-mapped, and metadata.json.

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lewm.config import EnvConfig, RecordingConfig
from lewm.data.episode_arrays import EpisodeArrays
from lewm.data.episode_index import EpisodeIndex
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
        self.metadata, self.content_hash = read_description(self.path)
        pixels, states, actions = (self._load(name, "r") for name in ("pixels", "states", "actions"))
        index, self.digests = EpisodeIndex(self._load("lengths", None)), self._load("digests", None)
        super().__init__(pixels, states, actions, index)
        if (len(pixels), len(states), len(actions)) != (index.num_frames, index.num_frames, index.num_actions):
            raise InputError(f"the arrays in {self.path} do not fit their lengths: collect the dataset again")
        if self.digests.shape != (len(index), 32) or content_hash(self.digests) != self.content_hash:
            raise InputError(
                f"the digests in {self.path} are not those that its metadata.json was written for:"
                " collect the dataset again"
            )

    def _load(self, name: str, mmap_mode: Any) -> NDArray[Any]:
        try:
            mapped = np.load(self.path / f"{name}.npy", mmap_mode=mmap_mode)
        except (OSError, EOFError, ValueError) as error:
            raise InputError(f"{self.path / name}.npy is missing or damaged ({error}): collect again") from error
        return mapped

    def __reduce__(self) -> tuple[type["Episodes"], tuple[Path]]:
        return Episodes, (self.path,)  # a worker process opens the files; pickling a memory map would copy the data

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(E,) number of actions in each episode."""
        return self.index.lengths

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


def content_hash(digests: NDArray[np.uint8]) -> str:
    """(E, 32) digests of the episodes -> hex digest of the dataset, however it was cut into chunks."""
    return hashlib.sha256(digests.tobytes()).hexdigest()
