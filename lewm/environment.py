"""Environments from their configuration: the one place where they are made."""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import VectorEnv

from lewm.config import EnvConfig
from lewm.config.components import check_arguments
from lewm.errors import InputError


def make_env(config: EnvConfig) -> Any:
    """The GoalEnv itself, without Gymnasium's wrappers: nothing ends an episode unseen.

    Raises:
      InputError: there is no such environment, it lacks a package, or it does not take one of the arguments.
    """
    return _make(
        config, "entry_point", lambda **kwargs: gym.make(config.id, disable_env_checker=True, **kwargs).unwrapped
    )


def make_vector_env(config: EnvConfig, num_envs: int) -> VectorEnv:
    """Many environments in this process, by the vector form that the environment itself has; errors as `make_env`."""
    return _make(config, "vector_entry_point", lambda **kwargs: gym.make_vec(config.id, num_envs, **kwargs))


def _make(config: EnvConfig, entry: str, make: Callable[..., Any]) -> Any:
    asked = f"cannot make env.id={config.id} with env.frame_size={config.frame_size} and env.kwargs={config.kwargs}"
    try:
        _check_module(config.id)
        _check_arguments(config, entry)
        return make(frame_size=config.frame_size, **config.kwargs)
    except (gym.error.Error, InputError) as error:  # what an environment refuses is one of Gymnasium's errors
        raise InputError(f"{asked}: {error}") from error


def _check_module(env_id: str) -> None:
    """InputError: the module in front of the colon of an id is not installed. Gymnasium imports it."""
    module, colon, _ = env_id.partition(":")
    try:
        found = not colon or importlib.util.find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):  # its parent is not there, or the name is none
        found = False
    if not found:
        raise InputError(f"there is no Python module {module!r} to import: install it, or add its folder to PYTHONPATH")


def _check_arguments(config: EnvConfig, entry: str) -> None:
    """InputError: the constructor of an environment has no such argument. Gymnasium would raise a TypeError."""
    module, colon, name = config.id.rpartition(":")
    if colon:
        importlib.import_module(module)
    spec = gym.registry.get(name)
    constructor = getattr(spec, entry, None)
    if isinstance(constructor, str):
        constructor = load_env_creator(constructor)
    if spec is not None and constructor is not None:  # else Gymnasium says what it knows instead
        own = {"frame_size": config.frame_size, **config.kwargs}
        check_arguments(constructor, own, given={"num_envs", "render_mode", *spec.kwargs} - own.keys())
