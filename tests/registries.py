"""What the property tests run over: every YAML of a group in configs/. What is registered without one fails a test."""

import importlib.util
from typing import Any, cast

import gymnasium as gym
import hydra
from omegaconf import OmegaConf

import envs  # noqa: F401 (registers the environments)
from envs.mujoco_gl import why_unavailable
from lewm.config import CONFIGS, EnvConfig, ModelConfig, from_dict


def read_group(group: str) -> dict[str, Any]:
    """The node `group` of each configs/<group>/<name>.yaml, by name."""
    paths = sorted((CONFIGS / group).glob("*.yaml"))
    return {path.stem: OmegaConf.to_container(OmegaConf.load(path))[group] for path in paths}


def read_model(*words: str) -> ModelConfig:
    """The model of these words of train.py's command line."""
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = hydra.compose("train", list(words))
    values: Any = OmegaConf.to_container(composed, resolve=True)
    return cast(ModelConfig, from_dict(values["model"], ModelConfig))


ENV_CONFIGS: dict[str, EnvConfig] = {
    name: from_dict(values, EnvConfig) for name, values in read_group("env").items() if name != "recorded"
}
_OTHER_DATA = {"push_t_brisk", "push_t_demonstrations"}
"""Configurations that collect other data of an environment that is there already."""
ENVS = {name: config for name, config in ENV_CONFIGS.items() if name not in _OTHER_DATA}
ENV_IDS = sorted(env_id for env_id in gym.registry if env_id.startswith("lewm/"))
MODEL_CONFIGS: dict[str, ModelConfig] = {name: read_model(f"model={name}") for name in sorted(read_group("model"))}
REGULARIZER_CONFIGS = {
    name: {key: value for key, value in config.items() if key != "weight"}
    for name, config in read_group("regularizer").items()
}
PLANNER_CONFIGS = {name: config for name, config in read_group("planner").items() if config["name"] != "actor"}
"""Those that search; planner=actor does not."""

_MUJOCO = {"cube", "inverted_pendulum", "reacher"}
_PYGAME = {"mountain_car", "pendulum"}


def why_no_env(name: str) -> str | None:
    """Why configs/env/<name>.yaml cannot be tried on this machine, or None if it can."""
    if name in _PYGAME and importlib.util.find_spec("pygame") is None:
        return "needs the package pygame"
    return why_unavailable() if name in _MUJOCO else None
