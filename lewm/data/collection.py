"""Records episodes of a scripted policy in a Gymnasium vector environment."""

import platform
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from lewm.config import EnvConfig
from lewm.data.episodes import EpisodeWriter, Metadata
from lewm.environment import make_env, make_vector_env
from lewm.errors import InputError

NUM_ENVS = 64
"""Episodes recorded side by side; part of what makes a dataset reproducible, so not an option."""


class Policy(Protocol):
    """A scripted policy over N environments: states (N, S), goals (N, S), previous actions (N, a) -> actions (N, a)."""

    def __call__(
        self, state: NDArray, goal_state: NDArray, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]: ...


class Episode(NamedTuple):
    """(L+1, h, w, C) frames, (L+1, S) states, (L, a) raw actions."""

    pixels: NDArray[np.uint8]
    states: NDArray[np.float64]
    actions: NDArray[np.float32]


def record(env: gym.vector.VectorEnv, policy: Policy, max_steps: int, seed: tuple[int, int]) -> Iterator[Episode]:
    """Plays one episode in each environment of `env`, to its end or max_steps, and yields them in order.

    An episode depends on `seed` and on the number of environments only.
    """
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=int(rng.integers(2**31)))
    pixels, states, actions = [observation["pixels"]], [observation["state"]], []
    previous = np.zeros(env.action_space.shape or (), np.float32)
    lengths = np.full(env.num_envs, max_steps)
    for step in range(max_steps):
        previous = policy(states[-1], info["goal_state"], previous, rng)
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
            np.stack([state[i] for state in states[: length + 1]]),
            np.stack([action[i] for action in actions[:length]]),
        )


def collect(path: str | Path, env_config: EnvConfig, policy: Policy, progress: Progress) -> None:
    """Writes the dataset that `env_config` describes to `path`."""
    config = env_config.collection
    if config.num_episodes < 2 or config.max_steps < 1:
        raise InputError(
            f"env.collection.num_episodes={config.num_episodes} must be at least 2, a training and a held-out episode,"
            f" and env.collection.max_steps={config.max_steps} at least 1"
        )
    env = make_vector_env(env_config, min(NUM_ENVS, config.num_episodes))
    single = make_env(env_config)
    metadata = Metadata(
        env_id=env_config.id,
        frame_size=env_config.frame_size,
        state_names=list(single.state_names),
        action_low=single.action_space.low.tolist(),
        action_high=single.action_space.high.tolist(),
        collection={
            "policy": repr(policy),
            "seed": config.seed,
            "max_steps": config.max_steps,
            "versions": {"python": platform.python_version(), "numpy": np.__version__, "gymnasium": gym.__version__},
        },
    )
    bar = progress.add_task("collecting", total=config.num_episodes, unit="episodes")
    begin, num_frames = time.perf_counter(), 0

    def write(episodes: list[Episode]) -> None:
        for episode in episodes:
            writer.append(*episode)
            progress.advance(bar)

    # Hashing and writing release the interpreter lock: a thread does them while the next chunk is simulated.
    with EpisodeWriter(path, metadata) as writer, ThreadPoolExecutor(1) as thread:
        pending: Future[None] | None = None
        for start in range(0, config.num_episodes, env.num_envs):
            episodes = record(env, policy, config.max_steps, (config.seed, start))
            chunk = list(islice(episodes, config.num_episodes - start))
            num_frames += sum(len(episode.pixels) for episode in chunk)
            if pending:
                pending.result()
            pending = thread.submit(write, chunk)
        if pending:
            pending.result()
    rate = num_frames / (time.perf_counter() - begin)
    progress.console.print(f"collected {num_frames:,} frames at {rate:,.0f} frames/s: {path}")
