"""OGBench's scripted policy: grasps the cube, carries it to where the goal has it, lets go."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.cube import Cube
from envs.errors import check_number
from envs.experts.expert import Expert
from envs.goal_env import State


@dataclass(frozen=True)
class CubeExpert(Expert):
    """OGBench's Markovian oracle with noise on its actions. Acts after begin(), in one episode.

    Attributes:
      min_norm: the oracle's motions are at least this long, in metres before its gain of 5 (OGBench: 0.4).
      noise_std: standard deviation of the Gaussian noise on each action, before clipping to [-1, 1].
    """

    min_norm: float = 0.4
    noise_std: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("min_norm", self.min_norm, 0)

    def begin(self, env: Any, rng: np.random.Generator) -> Expert:  # type: ignore[override]  # another expert
        return _Episode(env.unwrapped, self, rng)

    def __call__(
        self, state: State, goal_state: State, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        raise TypeError("CubeExpert acts in one episode at a time: call the policy that begin(env, rng) returns")


class _Episode(Expert):
    """The oracle in one episode of `env`."""

    def __init__(self, env: Cube, expert: CubeExpert, rng: np.random.Generator) -> None:
        from ogbench.manipspace.oracles.markov.cube_markov import CubeMarkovOracle

        self._env, self._noise_std = env, expert.noise_std
        self._oracle = env.oracle(CubeMarkovOracle, min_norm=expert.min_norm)
        # It draws where to retreat to from numpy's global generator.
        before = np.random.get_state()  # noqa: NPY002
        np.random.seed(int(rng.integers(2**32)))  # noqa: NPY002
        self._oracle.reset(None, None)
        np.random.set_state(before)  # noqa: NPY002

    def __call__(
        self, state: State, goal_state: State, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """(1, 41) state, (1, 41) goal, (1, 5) previous action -> (1, 5) action."""
        info = self._env.oracle_info(state[0], goal_state[0], previous_action[0])
        action = self._oracle.select_action(None, info) + self._noise_std * rng.standard_normal(5)
        return np.clip(action, -1, 1).astype(np.float32)[None]
