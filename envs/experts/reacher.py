"""Moves the arm at random, as in LeWorldModel's data, or to the goal's pose."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.errors import ArgumentError
from envs.experts.expert import Expert
from envs.goal_env import State
from envs.reacher import angle_difference

_STIFFNESS, _DAMPING = np.array([8.0, 2.0]), np.array([0.5, 0.03])
"""Action per radian and per radian a second, of shoulder and wrist: fast, and hardly past the goal."""


@dataclass(frozen=True)
class ReacherExpert(Expert):
    """Torques in [-1, 1].

    Attributes:
      mode: "goal" turns each joint to the goal's angle; "uniform" draws every action anew, uniformly (LeWM).
      noise_std: standard deviation of the Gaussian noise on each action of mode goal, before clipping.
    """

    mode: str = "goal"
    noise_std: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode not in ("goal", "uniform"):
            raise ArgumentError(f"mode is {self.mode!r}; there are goal and uniform")

    def __call__(
        self, state: State, goal_state: State, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """(N, 4) states, (N, 4) goals, (N, 2) previous actions -> (N, 2) actions."""
        if self.mode == "uniform":
            return rng.uniform(-1, 1, (len(state), 2)).astype(np.float32)
        ahead = goal_state[:, :2] - state[:, :2]
        ahead[:, 0] = angle_difference(goal_state[:, 0], state[:, 0])  # the wrist has no way around
        action = _STIFFNESS * ahead - _DAMPING * state[:, 2:]
        action += self.noise_std * rng.standard_normal(action.shape)
        return np.clip(action, -1, 1).astype(np.float32)
