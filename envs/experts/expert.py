"""Scripted policies, which act from states."""

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from envs.errors import check_number
from envs.goal_env import State


class Expert(ABC):
    """Acts in N episodes at once, from states, not from pixels.

    A subclass is a frozen dataclass whose fields are its parameters; noise_std and repeat_probability are checked here.
    """

    def __post_init__(self) -> None:
        """ArgumentError: a parameter is out of its range."""
        for name, high in (("noise_std", float("inf")), ("repeat_probability", 1.0)):
            if hasattr(self, name):
                check_number(name, getattr(self, name), 0, high)

    def begin(self, env: Any, rng: np.random.Generator) -> Self:
        """The policy for one new episode of `env`, which has just been reset; for experts that plan or remember.

        Such an expert returns another object than itself and is called with N = 1. Not called where N environments are
        one vector environment: there an expert acts from states alone.
        """
        return self

    @abstractmethod
    def __call__(
        self, state: State, goal_state: State, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """(N, S) states, (N, S) goals, (N, a) previous actions, 0 at the start -> (N, a) actions."""
