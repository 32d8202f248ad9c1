"""An environment and a policy that are fast, fail and dawdle on demand, and import no torch: worker processes use them.

`tests.walk_env:tests/Walk-v0` is played one by one, `tests/WalkVector-v0` has a vector form of its own.
"""

import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs.experts.expert import Expert
from envs.goal_env import GoalEnv
from lewm.config import CollectionConfig, EnvConfig
from tests import LAST_NET_S

WALK_UNTIL = "TESTS_WALK_UNTIL"
"""Environment variable: after so many steps, a process stands still until it is killed, interrupted, or an orphan."""
_steps = itertools.count(1)


def stand_still():
    parent = os.getppid()
    for _ in range(100 * LAST_NET_S):
        if os.getppid() != parent:
            return
        time.sleep(0.01)


class Walk(GoalEnv):
    """A point in the unit square that an action moves; the frame shows where it is."""

    state_names = ("x", "y")
    angles = velocities = ()

    def __init__(self, frame_size=48, render_mode="rgb_array", step_s=0.0):
        state_space = gym.spaces.Box(0, 1, (2,), np.float64)
        super().__init__(frame_size, state_space, gym.spaces.Box(-1, 1, (2,), np.float32), render_mode)
        self._position, self._step_s = np.zeros(2), step_s

    @property
    def state(self):
        return self._position.copy()

    def set_state(self, state):
        self._position = np.array(state, np.float64)

    def is_success(self, state, goal_state):
        return bool(np.abs(state - goal_state).max() < 0.2)

    def sample_state(self):
        return self.np_random.random(2)

    def advance(self, action):
        time.sleep(self._step_s)
        if WALK_UNTIL in os.environ and next(_steps) > int(os.environ[WALK_UNTIL]):
            stand_still()
        self._position = np.clip(self._position + 0.2 * action, 0, 1)

    def render(self):
        frame = np.zeros((self.frame_size, self.frame_size, 3), np.uint8)
        frame[..., :2] = np.rint(255 * self._position)
        return frame

    def provenance(self):
        return {"simulator": "walk 1.0", "renderer": "numpy"}


class WalkVector(VectorEnv):
    """num_envs of them."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(self, num_envs=1, **kwargs):
        self.num_envs = num_envs
        self._envs = [Walk(**kwargs) for _ in range(num_envs)]
        self.single_action_space = self._envs[0].action_space
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed=None, options=None):
        results = [env.reset(seed=seed + i) for i, env in enumerate(self._envs)]
        return self._stack([result[0] for result in results]), self._stack([result[1] for result in results])

    def step(self, actions):
        results = [env.step(action) for env, action in zip(self._envs, actions, strict=True)]
        observations, rewards, terminated, truncated, infos = zip(*results, strict=True)
        return self._stack(observations), *map(np.array, (rewards, terminated, truncated)), self._stack(infos)

    @staticmethod
    def _stack(dicts):
        return {key: np.stack([each[key] for each in dicts]) for key in dicts[0]}


gym.register("tests/Walk-v0", "tests.walk_env:Walk")
gym.register("tests/WalkVector-v0", "tests.walk_env:Walk", vector_entry_point="tests.walk_env:WalkVector")


@dataclass(frozen=True)
class Walker(Expert):
    """Walks at random until a file named `stop` appears; then it does what the file says."""

    scale: float = 1.0
    stop: Path | None = None

    def __call__(self, state, goal_state, previous_action, rng):
        if self.stop and self.stop.exists():
            if self.stop.read_text() == "die":
                os._exit(7)
            raise RuntimeError("the walker is tired")
        return (self.scale * rng.uniform(-1, 1, state.shape)).astype(np.float32)


def walk_config(num_episodes=12, max_steps=10, seed=0, env="Walk", **kwargs):
    collection = CollectionConfig({"name": "walker"}, num_episodes, max_steps, seed, num_test_episodes=6)
    return EnvConfig("walk", f"tests.walk_env:tests/{env}-v0", 48, frameskip=1, kwargs=kwargs, collection=collection)
