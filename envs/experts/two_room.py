"""Walks to the goal by way of the door, drunk on purpose: the noise is what makes the data cover the rooms."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from envs.experts.expert import Expert
from envs.goal_env import State
from envs.two_room_dynamics import DEFAULT, WALL_THICKNESS, Layout


@dataclass(frozen=True)
class TwoRoomExpert(Expert):
    """Heads for the door if the goal is in the other room, else for the goal.

    Attributes:
      noise_std: standard deviation of the Gaussian noise on each action, before clipping to [-1, 1] (LeWM: 2.0).
      repeat_probability: chance that a step repeats the action before it (LeWM: 0.05).
      layout: where the door is.
    """

    noise_std: float = 2.0
    repeat_probability: float = 0.05
    layout: Layout = field(default=DEFAULT, repr=False)

    def begin(self, env: Any, rng: np.random.Generator) -> Self:
        layout = env.unwrapped.layout
        return self if layout == self.layout else replace(self, layout=layout)

    def __call__(
        self, state: State, goal_state: State, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """(N, 2) positions, (N, 2) goals, (N, 2) previous actions -> (N, 2) actions in [-1, 1]."""
        direction = self._target(state, goal_state) - state
        direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1)
        action = np.clip(direction + self.noise_std * rng.standard_normal(direction.shape), -1, 1)
        repeat = rng.random(len(state)) < self.repeat_probability
        return np.where(repeat[:, None], previous_action, action).astype(np.float32)

    def _target(self, state: State, goal_state: State) -> State:
        wall, door, radius = self.layout.wall_x, self.layout.door_y, self.layout.radius
        side, goal_side = np.sign(state[:, 0] - wall), np.sign(goal_state[:, 0] - wall)
        reach = WALL_THICKNESS / 2 + radius + 1  # from the middle of the wall to where the disc is clear of it
        aligned = np.abs(state[:, 1] - door) < self.layout.door_width / 2 - radius
        in_front, behind = wall + side * reach, wall + goal_side * reach
        doorway = np.stack([np.where(aligned, behind, in_front), np.full(len(state), door)], 1)
        return np.where((side == goal_side)[:, None], goal_state, doorway)
