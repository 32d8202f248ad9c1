"""What the property tests run over: every YAML of a group in configs/. What is registered without one fails a test."""

from typing import Any

import gymnasium as gym
from omegaconf import OmegaConf

import envs  # noqa: F401 (registers the environments)
from lewm.config import CONFIGS, EnvConfig, ModelConfig, from_dict


def read_group(group: str) -> dict[str, Any]:
    """The node `group` of each configs/<group>/<name>.yaml, by name."""
    paths = sorted((CONFIGS / group).glob("*.yaml"))
    return {path.stem: OmegaConf.to_container(OmegaConf.load(path))[group] for path in paths}


ENVS: dict[str, EnvConfig] = {name: from_dict(values, EnvConfig) for name, values in read_group("env").items()}
ENV_IDS = sorted(env_id for env_id in gym.registry if env_id.startswith("lewm/"))
MODEL_CONFIGS: dict[str, ModelConfig] = {
    name: from_dict(values, ModelConfig) for name, values in read_group("model").items()
}
REGULARIZER_CONFIGS = {
    name: {key: value for key, value in config.items() if key != "weight"}
    for name, config in read_group("regularizer").items()
}
PLANNER_CONFIGS = read_group("planner")
