"""All that the evaluation knows of an environment: a settable state, a picture of it, and a success test."""

from abc import abstractmethod
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
State = NDArray[np.float64]
Observation = dict[str, NDArray[Any]]


class GoalEnv(gym.Env[Observation, NDArray[np.float32]]):
    """A Gymnasium environment that can be put into any state and told whether a state reaches a goal.

    Observations are {"pixels": (h, w, 3) uint8, "state": (S,) float64}. reset() draws a start and a goal; `info`
    holds the goal's state under "goal_state", for experts. A planner sees pixels only.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (Gymnasium's own spelling)
    state_names: tuple[str, ...]
    """S names, one for each number of `state`."""

    @property
    @abstractmethod
    def state(self) -> State:
        """(S,) a copy of the complete simulator state: set_state(state) reproduces the future exactly."""

    @abstractmethod
    def set_state(self, state: State) -> None:
        """Puts the simulator into `state` (S,). Start and goal frames are rendered through it."""

    @abstractmethod
    def is_success(self, state: State, goal_state: State) -> bool:
        """Whether `state` (S,) counts as having reached `goal_state` (S,). Never seen by a planner."""
