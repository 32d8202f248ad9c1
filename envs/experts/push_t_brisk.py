"""Pushes the block to its goal pose as fast as its speed allows, with a trembling hand."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.experts.push_t_pushing import Array, PushingExpert, response
from envs.goal_env import State
from envs.push_t_dynamics import ACTION_SCALE

_PER_OFFSET, _PER_VELOCITY = response(0.0, 1.0), response(1.0, 0.0)


@dataclass(frozen=True)
class BriskPushTExpert(PushingExpert):
    """Ends each step where the disc is to be, or as far on the way there as it gets.

    Attributes:
      noise_std: standard deviation of the Gaussian noise on each action, before clipping to [-1, 1].
      repeat_probability: chance that a step repeats the action before it.
      speed: speed of the disc, a share in (0, 1] of the greatest.
    """

    speed: float = 0.5
    noise_std: float = 0.2
    repeat_probability: float = 0.05

    def __call__(
        self, state: State, goal_state: State, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """(N, 10) states, (N, 10) goals, (N, 2) previous actions -> (N, 2) actions in [-1, 1]."""
        pusher = self.pusher
        action = np.stack([self._towards(s, pusher(s, goal)) for s, goal in zip(state, goal_state, strict=True)])
        action = np.clip(action + self.noise_std * rng.standard_normal(action.shape), -1, 1)
        repeat = rng.random(len(state)) < self.repeat_probability
        return np.where(repeat[:, None], previous_action, action).astype(np.float32)

    def _towards(self, state: State, aim: Array) -> Array:
        """(10,) state, (2,) place -> (2,) the action that ends this step there, or as far on the way as it gets."""
        action = (aim - state[:2] - _PER_VELOCITY * state[5:7]) / (_PER_OFFSET * ACTION_SCALE)
        return action / max(1.0, float(np.abs(action).max()) / self.speed)
