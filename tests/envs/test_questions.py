"""What evaluation asks the environments beside their dynamics: distance, rest, end."""

import numpy as np
import pytest

from lewm.environment import make_env
from tests.registries import ENVS, why_no_env

NAMES = [
    pytest.param(name, marks=pytest.mark.skipif(why_no_env(name) is not None, reason=str(why_no_env(name))))
    for name in ENVS
]


@pytest.fixture(scope="module")
def played():
    """An environment by its name, with states of an episode of random actions and of ten other ones."""
    made = {}

    def play(name):
        if name not in made:
            env = make_env(ENVS[name])
            env.reset(seed=0)
            rng, states = np.random.default_rng(0), [env.state]
            for _ in range(60):
                env.advance(rng.uniform(env.action_space.low, env.action_space.high))
                states.append(env.state)
            made[name] = env, np.stack([*states, *(env.sample_state() for _ in range(10))])
        return made[name]

    return play


@pytest.mark.parametrize("name", NAMES)
def test_a_state_is_a_success_where_its_distance_is_below_1(played, name):
    env, states = played(name)
    pairs = [(first, second) for first in states[::6] for second in states]
    distances = np.array([env.distance(*pair) for pair in pairs])
    assert [env.is_success(*pair) for pair in pairs] == (distances < 1).tolist()
    assert 0 < (distances < 1).mean() < 1
    assert all(env.distance(state, state) == 0 for state in states)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_at_rest_looks_the_same_and_has_no_velocity(played, name):
    env, states = played(name)
    moving = np.array(["velocity" in number for number in env.state_names])
    for state in states[::20]:
        still = env.at_rest(state)
        np.testing.assert_array_equal(still[~moving], state[~moving])
        assert (still[moving] == 0).all()
        env.set_state(state)
        frame = env.render()
        env.set_state(still)
        np.testing.assert_array_equal(env.render(), frame)


@pytest.mark.parametrize("name", NAMES)
def test_no_episode_is_over_by_itself(played, name):
    env, states = played(name)
    for state in states:
        env.set_state(state)
        assert not env.is_over()
