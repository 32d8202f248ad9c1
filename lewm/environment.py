"""The one place where an environment is made of its configuration."""

from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

from lewm.config import EnvConfig
from lewm.errors import InputError


def make_env(config: EnvConfig) -> Any:
    """The GoalEnv itself, without Gymnasium's wrappers: nothing ends an episode unseen."""
    return _make(config, lambda **kwargs: gym.make(config.id, disable_env_checker=True, **kwargs).unwrapped)


def make_vector_env(config: EnvConfig, num_envs: int) -> VectorEnv:
    """Many at once in this process, by the environment's own vector form."""
    return _make(config, lambda **kwargs: gym.make_vec(config.id, num_envs, **kwargs))


def _make(config: EnvConfig, make: Any) -> Any:
    try:
        return make(frame_size=config.frame_size, **config.kwargs)
    except (gym.error.Error, ImportError, TypeError, ValueError) as error:
        raise InputError(
            f"cannot make env.id={config.id} with env.frame_size={config.frame_size} and env.kwargs={config.kwargs}:"
            f" {error}"
        ) from error
