"""Many copies of an environment side by side."""

from dataclasses import replace

import gymnasium as gym
import numpy as np

from lewm.evaluation.env_pool import EnvPool
from tests.walk_env import Walk, walk_config


class Counted(Walk):
    """A walk that counts how many of them are made."""

    num_made = 0

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        Counted.num_made += 1


gym.register("tests/Counted-v0", Counted)


def test_actions_are_clipped_to_the_action_space():
    pool = EnvPool(walk_config())  # whose step is 0.2 x action, within -1 to 1, and does not clip
    pool.begin(np.array([[0.1, 0.9], [0.5, 0.5]]))
    states = pool.step(np.array([[[3.0, -2.0]], [[0.5, -0.5]]], np.float32)).states
    np.testing.assert_allclose(states[:, 0], [[0.3, 0.7], [0.6, 0.4]], atol=1e-6)


def test_questions_about_states_leave_the_episodes_where_they_are():
    pool = EnvPool(walk_config())
    begun = pool.begin(np.array([[0.1, 0.9]]))
    pool.draw(np.array([[0.5, 0.5]]))
    pool.complete(np.array([[0.4, 0.4]]))
    np.testing.assert_array_equal(pool.step(np.zeros((1, 1, 2), np.float32)).states[:, 0], begun)


def test_environments_are_made_when_they_are_needed_and_used_again():
    pool = EnvPool(replace(walk_config(), id="tests/Counted-v0"))
    made = []
    for num_episodes in (1, 3, 2, 3):
        pool.begin(np.full((num_episodes, 2), 0.5))
        made.append(Counted.num_made)
    assert made == [2, 4, 4, 4]  # one more answers questions about states
