"""The expert of InvertedPendulum foresees what happens, and comes to its goals."""

import numpy as np
import pytest

from envs.experts.inverted_pendulum import InvertedPendulumExpert, foresee
from lewm.environment import make_env
from tests.registries import ENVS, why_no_env


@pytest.fixture(scope="module")
def env():
    if reason := why_no_env("inverted_pendulum"):
        pytest.skip(reason)
    return make_env(ENVS["inverted_pendulum"])


def steps_to_goal(env, expert, seed):
    """Steps of an episode, None if 40 are not enough."""
    rng = np.random.default_rng(seed)
    goal = env.reset(seed=seed)[1]["goal_state"]
    action = np.zeros((1, 1), np.float32)
    for step in range(40):
        action = expert(env.state[None], goal[None], action, rng)
        env.advance(action[0].astype(np.float64))
        if env.is_success(env.state, goal):
            return step + 1
    return None


def batch(num):
    """Different states, goals and previous actions."""
    rng = np.random.default_rng(0)
    state, goal = 0.5 * rng.normal(size=(2, num, 4))
    return state, goal, rng.uniform(-3, 3, (num, 1)).astype(np.float32)


def test_what_it_foresees_is_what_the_simulator_does(env):
    rng = np.random.default_rng(0)
    for _ in range(50):
        state = rng.uniform(-1, 1, 4) * [0.3, 0.7, 1, 2]  # far from where the joints stop
        action = rng.uniform(-3, 3)
        path = foresee(state, np.array(action), 3)
        env.set_state(state)
        for foreseen in path:
            env.advance(np.array([action]))
            np.testing.assert_allclose(foreseen[:2], env.state[:2], rtol=0, atol=0.02)
            np.testing.assert_allclose(foreseen[2:], env.state[2:], rtol=0, atol=0.15)


def test_without_noise_it_always_arrives(env):
    expert = InvertedPendulumExpert(noise_std=0.0, repeat_probability=0.0)
    steps = [steps_to_goal(env, expert, seed) for seed in range(60)]
    assert None not in steps
    assert np.mean(steps) < 8


def test_many_episodes_at_once_are_those_alone():
    state, goal, previous = batch(20)
    expert = InvertedPendulumExpert(noise_std=0.0, repeat_probability=0.0)
    together = expert(state, goal, previous, np.random.default_rng(0))
    for i in range(20):
        rows = slice(i, i + 1)
        np.testing.assert_array_equal(
            expert(state[rows], goal[rows], previous[rows], np.random.default_rng(0)), together[rows]
        )
    assert len(np.unique(together)) > 5


def test_its_previous_action_is_repeated_as_often_as_it_says():
    state, goal, previous = (each.repeat(250, 0) for each in batch(20))
    actions = InvertedPendulumExpert(0.5, 0.3)(state, goal, previous, np.random.default_rng(0))
    # The standard deviation of the share is 0.0065.
    assert (actions == previous).mean() == pytest.approx(0.3, abs=0.026)
