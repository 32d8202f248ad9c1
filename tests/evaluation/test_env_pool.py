"""Many copies of an environment side by side."""

import numpy as np

from lewm.evaluation.env_pool import EnvPool
from tests.walk_env import walk_config


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
