"""Pushes the block to its goal pose as a person with a mouse does: smoothly, with pauses."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.errors import check_number
from envs.experts.expert import Expert
from envs.experts.push_t_pushing import STRIDE, PushingExpert, response
from envs.goal_env import State
from envs.push_t_dynamics import ACTION_SCALE

_LEAD = (1 - 10 * response(1.0, 0.0)) / response(0.0, 1.0)
"""How far the target is ahead of a disc that goes on at a steady speed, in steps of the disc; 10 steps are a second."""


@dataclass(frozen=True)
class PushTExpert(PushingExpert):
    """Leads the disc on its way, faster where it pushes nothing, with a hand that drifts and rests.

    Acts after begin(), in one episode.

    Its defaults are such that disc, target and block move as in the demonstrations of Diffusion Policy: see
    docs/studies/push_t.md.

    Attributes:
      speed: speed of the disc when it pushes, a share in (0, 1] of the greatest.
      walk_speed: the same when it goes around the block.
      noise_std: standard deviation of the hand's drift, in actions: 0.1 is 10 units of the target.
      noise_correlation: correlation of the drift with that of the step before, in [0, 1); 0 is white noise.
      pause_probability: chance that a step begins a pause, in which the target stays where it is.
      pause_steps: mean length of a pause in steps.
    """

    speed: float = 0.225
    walk_speed: float = 0.8
    noise_std: float = 0.08
    noise_correlation: float = 0.93
    pause_probability: float = 0.009
    pause_steps: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("walk_speed", self.walk_speed, 0.01, 1)
        check_number("noise_correlation", self.noise_correlation, 0, 1)
        check_number("pause_probability", self.pause_probability, 0, 1)
        check_number("pause_steps", self.pause_steps, 1)

    def begin(self, env: object, rng: np.random.Generator) -> Expert:  # type: ignore[override]  # another expert
        return _Hand(super().begin(env, rng), rng)

    def __call__(
        self, state: State, goal_state: State, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        raise TypeError("PushTExpert acts in one episode at a time: call the policy that begin(env, rng) returns")


class _Hand(Expert):
    """The hand that leads the disc in one episode."""

    def __init__(self, expert: PushTExpert, rng: np.random.Generator) -> None:
        self._expert, self._pusher = expert, expert.pusher
        self._drift = expert.noise_std * rng.standard_normal(2)
        self._walk_stride, self._pause_steps = expert.walk_speed * STRIDE, 0
        self._target: State | None = None

    def __call__(
        self, state: State, goal_state: State, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """(1, 10) state, (1, 10) goal, (1, 2) previous action -> (1, 2) action in [-1, 1]."""
        expert, place = self._expert, state[0, :2]
        fresh = expert.noise_std * rng.standard_normal(2)
        self._drift = expert.noise_correlation * self._drift + np.sqrt(1 - expert.noise_correlation**2) * fresh
        if self._pause_steps == 0 and rng.random() < expert.pause_probability:
            self._pause_steps = int(rng.geometric(1 / expert.pause_steps))
        if self._pause_steps > 0:
            self._pause_steps -= 1
            self._target = place if self._target is None else self._target
        else:
            step = self._pusher(state[0], goal_state[0]) - place
            step /= max(1.0, float(np.linalg.norm(step)) / self._walk_stride)
            self._target = place + _LEAD * step + ACTION_SCALE * self._drift
        return np.clip((self._target - place) / ACTION_SCALE, -1, 1).astype(np.float32)[None]
