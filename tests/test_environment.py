"""Environments as evaluation and collection make them."""

import gymnasium as gym
import pytest

from lewm.environment import make_env
from tests.registries import ENVS


@pytest.mark.parametrize("name", ["two_room", "push_t"])
def test_an_environment_is_made_without_the_wrappers_that_could_end_an_episode_unseen(name):
    assert gym.spec(ENVS[name].id.removeprefix("envs:")).max_episode_steps
    env = make_env(ENVS[name])
    assert env is env.unwrapped
