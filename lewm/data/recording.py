"""Plays episodes of a scripted policy. Worker processes import this module: it must not import torch."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lewm.config import EnvConfig
from lewm.data.episode_arrays import Episode
from lewm.environment import make_env, make_vector_env
from lewm.errors import InputError

NUM_ENVS = 64
"""Most episodes recorded side by side; part of what makes a dataset reproducible, so not an option."""

CHUNK_BYTES = 2**28
"""Most bytes of the frames of one chunk, unless one episode has more; no option for the same reason."""


class Expert(Protocol):
    """The part of envs.experts.expert.Expert that is needed here: lewm imports nothing of envs."""

    def begin(self, env: Any, rng: np.random.Generator) -> "Expert":
        """Returns the expert for the episode that `env` has just begun; not called for a vector environment."""

    def __call__(
        self, state: NDArray, goal_state: NDArray, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """(N, S) states, (N, S) goals, (N, a) previous actions, 0 at the start -> (N, a) actions."""
        ...


@runtime_checkable
class BatchExpert(Protocol):
    """An expert that chooses something at the beginning of N episodes side by side, too, as a mixture does."""

    def begin_batch(self, num_envs: int, rng: np.random.Generator) -> Expert:
        """Returns the expert for these episodes."""


class Replay(Protocol):
    """One recorded episode to play again: begin() gives the expert that does.

    Attributes:
      start: (S,) state to start from.
      num_steps: actions of the recording.
    """

    start: NDArray[np.float64]
    num_steps: int

    def begin(self, env: Any, rng: np.random.Generator) -> Expert: ...


@runtime_checkable
class ReplayExpert(Protocol):
    """An expert that plays recordings again. Episode n is a variant of recording n % num_sources, with other noise."""

    @property
    def num_sources(self) -> int:
        """Number of recordings."""

    @property
    def variants(self) -> int:
        """Most episodes of each recording."""

    @property
    def digest(self) -> str:
        """Hex digest of the recordings."""

    def replay(self, number: int) -> Replay:
        """What episode `number` plays."""
        ...


class OneEnv:
    """A GoalEnv with the batch axis of a vector environment, N = 1."""

    num_envs = 1

    def __init__(self, env: Any) -> None:
        self.env, self.single_action_space = env, env.action_space

    def reset(self, *, seed: int, options: dict[str, Any] | None) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        return self._batched(*self.env.reset(seed=seed, options=options))

    def step(self, actions: NDArray) -> tuple[dict[str, NDArray], Any, NDArray, NDArray, dict[str, NDArray]]:
        observation, reward, terminated, truncated, info = self.env.step(actions[0])
        observation, info = self._batched(observation, info)
        return observation, reward, np.array([terminated]), np.array([truncated]), info

    def close(self) -> None:
        """Nothing: whoever made the environment closes it."""

    @staticmethod
    def _batched(observation: Any, info: Any) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        return {key: value[None] for key, value in observation.items()}, {"goal_state": info["goal_state"][None]}


class ChunkRecorder:
    """Records the chunks of a collection: episodes of an environment's own vector form side by side, others alone.

    Attributes:
      single: the environment, to be asked about itself.
      chunk_size: episodes of a chunk; a function of the configuration only.
    """

    def __init__(self, config: EnvConfig, expert: Expert) -> None:
        self._config, self._expert = config.collection, expert
        self.single = make_env(config)
        if isinstance(expert, ReplayExpert):
            self._try(expert)
        if self.single.spec.vector_entry_point is None or isinstance(expert, ReplayExpert):
            self.chunk_size = 1
            self._env: Any = OneEnv(self.single)
        else:
            episode_bytes = (config.collection.max_steps + 1) * 3 * config.frame_size**2
            fitting = max(CHUNK_BYTES // episode_bytes, 1)
            self.chunk_size = min(NUM_ENVS, fitting, config.collection.num_episodes)
            self._env = make_vector_env(config, self.chunk_size)

    def _try(self, expert: ReplayExpert) -> None:
        """InputError: the recordings that the expert plays again are not of this environment."""
        replay, rng = expert.replay(0), np.random.default_rng(0)
        try:
            state = self.single.reset(seed=0, options={"state": replay.start})[0]["state"][None]
            nothing = np.zeros((1, *self.single.action_space.shape), np.float32)
            self.single.step(replay.begin(self.single, rng)(state, state, nothing, rng)[0])
        except ValueError as error:
            self.single.close()
            raise InputError(f"env.collection.expert plays recordings of another environment again: {error}") from error

    def close(self) -> None:
        """Gives back what a simulator holds."""
        self._env.close()
        self.single.close()

    @property
    def num_chunks(self) -> int:
        return -(-self._config.num_episodes // self.chunk_size)

    def chunk(self, number: int) -> Iterator[Episode]:
        """Episodes number * chunk_size and following; they depend on the seed and the number only."""
        start = number * self.chunk_size
        episodes = record(self._env, self._expert, self._config.max_steps, (self._config.seed, start))
        return islice(episodes, self._config.num_episodes - start)


def record(env: Any, expert: Expert, max_steps: int, seed: tuple[int, int]) -> Iterator[Episode]:
    """Plays one episode in each environment of `env`, to its end or max_steps, and yields them in order.

    An episode depends on `seed` and on the number of environments only.

    Args:
      env: a vector environment that resets nothing by itself, or OneEnv.
      expert: expert that acts.
      max_steps: most actions of an episode.
      seed: seed of everything random, and the number of the first episode.
    """
    rng = np.random.default_rng(seed)
    replay = expert.replay(seed[1]) if isinstance(expert, ReplayExpert) else None
    if replay:
        max_steps = min(max_steps, replay.num_steps)
    options = {"state": replay.start} if replay else None
    observation, info = env.reset(seed=int(rng.integers(2**31)), options=options)
    if isinstance(env, OneEnv):
        expert = (replay or expert).begin(env.env, rng)
    elif isinstance(expert, BatchExpert):
        expert = expert.begin_batch(env.num_envs, rng)
    pixels, states, actions = [observation["pixels"]], [observation["state"]], []
    previous = np.zeros((env.num_envs, *env.single_action_space.shape), np.float32)
    lengths = np.full(env.num_envs, max_steps)
    for step in range(max_steps):
        previous = expert(states[-1], info["goal_state"], previous, rng)
        observation, _, terminated, truncated, info = env.step(previous)
        pixels.append(observation["pixels"])
        states.append(observation["state"])
        actions.append(previous)
        lengths = np.where((terminated | truncated) & (lengths == max_steps), step + 1, lengths)
        if (lengths <= step + 1).all():
            break
    for i, length in enumerate(lengths):
        yield Episode(
            np.stack([frames[i] for frames in pixels[: length + 1]]),
            np.stack([state[i] for state in states[: length + 1]], dtype=np.float64),
            np.stack([action[i] for action in actions[:length]], dtype=np.float32),
        )
