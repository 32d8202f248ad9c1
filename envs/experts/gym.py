"""Experts for the environments behind GymGoalEnv: one that knows nothing, and two that swing."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from envs.errors import check_number
from envs.experts.expert import Expert
from envs.goal_env import State


@dataclass(frozen=True)
class UniformExpert(Expert):
    """Uniform random actions, whatever the goal, for any environment.

    Attributes:
      repeat_probability: chance that a step repeats the action before it: actions that last lead further.
      low, high: (a,) bounds of the actions; those of the environment from begin() on.
    """

    repeat_probability: float = 0.0
    low: tuple[float, ...] = (-1.0,)
    high: tuple[float, ...] = (1.0,)

    def begin(self, env: Any, rng: np.random.Generator) -> Self:
        space = env.action_space
        return replace(self, low=tuple(space.low.tolist()), high=tuple(space.high.tolist()))

    def __call__(
        self, state: State, goal_state: State, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        drawn = rng.uniform(self.low, self.high, previous_action.shape).astype(np.float32)
        # The action before the first is 0, which is none to repeat.
        repeat = (rng.random(len(state)) < self.repeat_probability) & previous_action.any(1)
        return np.where(repeat[:, None], previous_action, drawn).astype(np.float32)


@dataclass(frozen=True)
class SwingExpert(Expert):
    """Pushes along the motion until the energy is that of the goal, against it if there is more; then comes past it.

    Attributes:
      noise_std: standard deviation of the Gaussian noise on each action, as a share of the strongest.
      repeat_probability: chance that a step repeats the action before it.
      surplus: energy beyond what the goal needs, as a share of the highest barrier.
    """

    noise_std: float = 0.5
    repeat_probability: float = 0.1
    surplus: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("surplus", self.surplus, 0)

    @property
    @abstractmethod
    def strongest(self) -> float:
        """The largest action."""

    @abstractmethod
    def potential(self, position: State) -> State:
        """(N,) positions or angles -> (N,) potential energy per mass, as a share of the highest barrier."""

    @property
    @abstractmethod
    def inertia(self) -> float:
        """Kinetic energy in the same unit is inertia x velocity squared / 2."""

    def __call__(
        self, state: State, goal_state: State, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """(N, 2) positions and velocities, (N, 2) goals, (N, 1) previous actions -> (N, 1) actions."""
        (position, velocity), goal = state.T, goal_state[:, 0]
        energy = self.potential(position) + self.inertia * velocity**2 / 2
        missing = self.potential(goal) + self.surplus - energy
        push = np.clip(20 * missing, -1, 1) * np.where(velocity < 0, -1, 1)
        noisy = np.clip(push + self.noise_std * rng.standard_normal(len(push)), -1, 1)
        repeat = rng.random(len(push)) < self.repeat_probability
        return np.where(repeat[:, None], previous_action, self.strongest * noisy[:, None]).astype(np.float32)


@dataclass(frozen=True)
class PendulumExpert(SwingExpert):
    """For Pendulum-v1: angle'' = 15 sin(angle) + 3 torque, upright at 0."""

    strongest = 2.0
    inertia = 1 / 15

    def potential(self, position: State) -> State:
        return np.cos(position)


@dataclass(frozen=True)
class MountainCarExpert(SwingExpert):
    """For MountainCarContinuous-v0: position'' = 0.0015 action - 0.0025 cos(3 position)."""

    strongest = 1.0
    inertia = 3 / 0.0025

    def potential(self, position: State) -> State:
        return np.sin(3 * position)
