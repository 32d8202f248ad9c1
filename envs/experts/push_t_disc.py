"""Moves the disc of Push-T to its place in the goal and leaves the block to chance: a floor, not a source of data."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.experts.expert import Expert
from envs.goal_env import State
from envs.push_t_dynamics import ACTION_SCALE


@dataclass(frozen=True)
class PushTDiscExpert(Expert):
    """Heads straight for the place of the disc in the goal, whatever is in the way.

    Near goals are recorded as the disc passes, so a disc that goes where it went pushes the block along: what a policy
    adds by seeing the block is what it reaches beyond this.
    """

    def __call__(
        self, state: State, goal_state: State, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """(N, 10) states, (N, 10) goals, (N, 2) previous actions, ignored -> (N, 2) actions in [-1, 1]."""
        return np.clip((goal_state[:, :2] - state[:, :2]) / ACTION_SCALE, -1, 1).astype(np.float32)
