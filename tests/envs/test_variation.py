"""What every registered environment promises of its factors of variation."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import load_env_creator

from lewm.environment import make_env
from tests.registries import ENVS, why_no_env


def has_factors(config):
    spec = gym.spec(config.id.removeprefix("envs:"))
    return bool(load_env_creator(spec.entry_point).variation_space.spaces)


@pytest.fixture(params=[name for name, config in ENVS.items() if has_factors(config)])
def env(request):
    if reason := why_no_env(request.param):
        pytest.skip(reason)
    return make_env(ENVS[request.param])


def reset(env, state, **options):
    """The frame of `state`, which is the goal, too."""
    return env.reset(options={"state": state, "goal_state": state, **options})[0]["pixels"]


def state_and_draw(env, factor):
    """A state that is one by default and with a value of the factor, too; and that value."""
    refusals = []
    for seed in range(50):
        state = env.reset(seed=seed)[0]["state"]
        env.reset(seed=seed, options={"variation": [factor]})
        drawn = {factor: env.variation[factor]}
        try:
            reset(env, state, variation=drawn)
        except ValueError as error:  # inside a wall, say, that has moved
            refusals.append(str(error))
        else:
            return state, drawn
    raise AssertionError(f"no state fits both the default and another {factor}: {refusals}")


def after_some_steps(env):
    rng = np.random.default_rng(0)
    for _ in range(10):
        env.advance(rng.uniform(env.action_space.low, env.action_space.high))
    return env.state


def test_each_factor_changes_the_frame_or_the_dynamics(env):
    for factor in env.variation_space:
        state, drawn = state_and_draw(env, factor)
        plain, plain_future = reset(env, state), after_some_steps(env)
        varied, varied_future = reset(env, state, variation=drawn), after_some_steps(env)
        assert not (np.array_equal(plain, varied) and np.array_equal(plain_future, varied_future)), factor


def test_the_next_reset_undoes_it(env):
    state, drawn = state_and_draw(env, next(iter(env.variation_space)))
    first = env.reset(seed=0)[0]["pixels"]
    plain, future = reset(env, state), after_some_steps(env)
    reset(env, state, variation=drawn)
    np.testing.assert_array_equal(env.reset(seed=0)[0]["pixels"], first)
    reset(env, state, variation=drawn)
    np.testing.assert_array_equal(reset(env, state), plain)
    np.testing.assert_array_equal(after_some_steps(env), future)
    for name, value in env.default_variation.items():
        np.testing.assert_array_equal(env.variation[name], value)


def test_all_draws_every_factor_and_none_is_undone_by_another_environment(env, request):
    defaults = env.default_variation
    frame = env.reset(seed=0, options={"variation": "all"})[0]["pixels"]
    for name in env.variation_space:
        assert not np.array_equal(env.variation[name], defaults[name]), name
        assert env.variation_space[name].contains(env.variation[name]), name
    other = make_env(ENVS[request.node.callspec.params["env"]])
    other.reset(seed=0)
    np.testing.assert_array_equal(env.render(), frame)


def test_a_seed_draws_the_same_values_again(env):
    frames = [env.reset(seed=seed, options={"variation": "all"})[0]["pixels"] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


def test_a_state_is_complete_for_a_given_variation(env):
    env.reset(seed=0, options={"variation": "all"})
    after_some_steps(env)
    state, frame = env.state, env.render()
    future = after_some_steps(env)
    np.testing.assert_array_equal(reset(env, state, variation=env.variation), frame)
    np.testing.assert_array_equal(env.state, state)
    np.testing.assert_array_equal(after_some_steps(env), future)


def test_every_factor_has_a_default_that_may_be_asked_for(env):
    assert env.default_variation.keys() == env.variation_space.keys()
    plain = env.reset(seed=0)[0]["pixels"]
    asked = env.reset(seed=0, options={"variation": dict(env.default_variation)})[0]["pixels"]
    np.testing.assert_array_equal(asked, plain)


def test_a_factor_that_it_does_not_have_is_refused(env):
    for asked in ({"taste": 1}, ["taste"], "taste"):
        with pytest.raises(ValueError, match=r"no factor 'taste'; it has .*color"):
            env.reset(options={"variation": asked})


def test_a_value_outside_the_factor_is_refused(env):
    for name, space in env.variation_space.items():
        for wrong in (np.full(space.shape, 1e6), np.full(space.shape, np.nan), np.zeros(7)):
            with pytest.raises(ValueError, match=name):
                env.reset(options={"variation": {name: wrong}})


@pytest.mark.parametrize("color", [(0.5, 0, 0), (-1, 0, 0), (300, 0, 0), "red"])
def test_what_is_no_color_is_refused_and_not_rounded(env, color):
    name = next(name for name in env.variation_space if name.endswith("color"))
    with pytest.raises(ValueError, match=name):
        env.reset(options={"variation": {name: color}})
