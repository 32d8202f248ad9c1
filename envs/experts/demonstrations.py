"""Plays recorded demonstrations again, with noise: a few hundred recordings become thousands of episodes."""

import hashlib
import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from envs.errors import ArgumentError, DependencyError, check_number
from envs.experts.expert import Expert
from envs.goal_env import State

TEST_EVERY = 5
"""Every fifth recording is for test episodes alone."""
SPLITS = ("train", "test")

_WHERE = (
    "Push-T's demonstrations are pusht_cchi_v7_replay.zarr of Diffusion Policy, in"
    " https://diffusion-policy.cs.columbia.edu/data/training/pusht.zip"
)
_ARRAYS = {"action": "data/action", "state": "data/state", "episode_ends": "meta/episode_ends"}


class Demonstration(NamedTuple):
    """One recording of L actions.

    Attributes:
      states: (L+1, S) the states between the actions, the first and the last one included.
      targets: (L, a) the target that each action aimed at.
    """

    states: NDArray[np.float64]
    targets: NDArray[np.float64]


def read_demonstrations(path: Path) -> list[Demonstration]:
    """Reads the replay buffer of Diffusion Policy: a folder of zarr arrays, or the same arrays in an .npz file.

    data/state (N, S) and data/action (N, a) hold the rows of all episodes, meta/episode_ends (E,) where each one ends;
    in an .npz, the names are state, action and episode_ends. The last row's action leads nowhere and is dropped.

    Raises:
      ArgumentError: there is no such file, or it is damaged.
      DependencyError: zarr is not installed.
    """
    arrays = _read_arrays(path)
    states, actions = (np.asarray(arrays[name], np.float64) for name in ("state", "action"))
    ends = np.asarray(arrays["episode_ends"])
    begins = np.append(0, ends[:-1])
    if (
        not (states.ndim == actions.ndim == 2 and ends.ndim == 1 and len(ends) and ends.dtype.kind in "iu")
        or not len(states) == len(actions) == ends[-1]
        or (ends - begins < 2).any()
        or not (np.isfinite(states).all() and np.isfinite(actions).all())
    ):
        raise ArgumentError(
            f"{path} is damaged: state {states.shape}, action {actions.shape} and episode_ends {ends.shape} must be"
            " finite rows of episodes of at least 2 rows that fit each other; get the file again"
        )
    pairs = zip(begins.tolist(), ends.tolist(), strict=True)
    return [Demonstration(states[begin:end], actions[begin : end - 1]) for begin, end in pairs]


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    if not path.exists():
        raise ArgumentError(f"there is no file {str(path)!r}; {_WHERE}")
    try:
        if path.is_file():
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in _ARRAYS}
        zarr = importlib.import_module("zarr")
        group = zarr.open_group(path, mode="r")
        return {name: group[place][:] for name, place in _ARRAYS.items()}
    except ImportError as error:
        raise DependencyError(f"{path} needs the package zarr ({error}): run `uv run --extra formats …`") from error
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, EOFError, BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise ArgumentError(f"{path} is no replay buffer of Diffusion Policy ({reason}); {_WHERE}") from error


@dataclass(frozen=True)
class DemonstrationsExpert(Expert):
    """Plays demonstrations again: episode n is a variant of recording n % num_sources.

    An environment takes part that has targets: see GoalEnv.action_towards. Which recordings are played again depends on
    the split, so that test episodes have nothing to do with those that a model is trained or chosen by.

    Attributes:
      path: a file that read_demonstrations() reads.
      split: train or test; the latter is every fifth recording.
      variants: episodes of each recording, at most.
      noise_std: standard deviation of the Gaussian noise on each action, before clipping to the action space.
      digest: SHA-256 of the recordings, found in the file.
    """

    path: str
    split: str
    variants: int = 20
    noise_std: float = 0.05
    digest: str = field(init=False)
    _demonstrations: list[Demonstration] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split not in SPLITS:
            raise ArgumentError(f"split={self.split!r} must be {' or '.join(SPLITS)}")
        check_number("variants", self.variants, 1)
        found = read_demonstrations(Path(self.path).expanduser())
        chosen = [each for i, each in enumerate(found, 1) if (i % TEST_EVERY == 0) == (self.split == "test")]
        if not chosen:
            raise ArgumentError(f"{self.path} has {len(found)} episodes: at least {TEST_EVERY} are needed for a test")
        content = b"".join(np.concatenate(each, axis=None).tobytes() for each in chosen)
        object.__setattr__(self, "digest", hashlib.sha256(content).hexdigest())
        object.__setattr__(self, "_demonstrations", chosen)

    @property
    def num_sources(self) -> int:
        """Number of recordings that are played again."""
        return len(self._demonstrations)

    def replay(self, number: int) -> "Replay":
        """The policy of episode `number`."""
        return Replay(self._demonstrations[number % self.num_sources], self.noise_std)

    def __call__(
        self, state: State, goal_state: State, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        raise TypeError("DemonstrationsExpert heads for no goal: call the policy that replay(number).begin() returns")


class Replay(Expert):
    """Plays one demonstration again.

    Attributes:
      start: (S,) state to start from.
      num_steps: number of actions.
    """

    def __init__(self, demonstration: Demonstration, noise_std: float) -> None:
        self.start, self._targets = demonstration.states[0], demonstration.targets
        self.num_steps = len(self._targets)
        self._noise_std, self._step = noise_std, 0

    def begin(self, env: Any, rng: np.random.Generator) -> Expert:  # type: ignore[override]  # itself
        self._env = env.unwrapped
        return self

    def __call__(
        self, state: State, goal_state: State, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """(1, S) state, (1, S) goal, (1, a) previous action -> (1, a) action towards the recorded target."""
        action = self._env.action_towards(state[0], self._targets[self._step])
        self._step += 1
        space = self._env.action_space
        noisy = action + self._noise_std * rng.standard_normal(action.shape)
        return np.clip(noisy, space.low, space.high).astype(np.float32)[None]
