"""What every registered environment promises."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.experts import EXPERTS
from lewm.config import build
from lewm.environment import make_env
from tests.registries import ENV_IDS, ENVS

NUM_STEPS = 25


@pytest.fixture(params=ENVS)
def config(request):
    return ENVS[request.param]


def make(config):
    return make_env(config)


def random_actions(env, num_steps, seed):
    rng = np.random.default_rng(seed)
    space = env.action_space
    return rng.uniform(space.low, space.high, (num_steps, *space.shape)).astype(np.float32)


def step_all(env, actions):
    """(frames, states) after each action."""
    observations = [env.step(action)[0] for action in actions]
    return tuple(np.stack([each[key] for each in observations]) for key in ("pixels", "state"))


def test_every_registered_environment_has_a_configuration():
    assert {config.id.removeprefix("envs:") for config in ENVS.values()} == set(ENV_IDS)


def test_gymnasium_accepts_it(config):
    check_env(make(config))


def test_frames_are_square_of_the_size_asked_for(config):
    env = make(config)
    observation, _ = env.reset(seed=0)
    assert observation["pixels"].shape == (config.frame_size, config.frame_size, 3)
    assert observation["pixels"].dtype == np.uint8


def test_the_observation_is_the_rendered_state(config):
    env = make(config)
    env.reset(seed=0)
    observation = env.step(random_actions(env, 1, seed=0)[0])[0]
    np.testing.assert_array_equal(observation["pixels"], env.render())
    np.testing.assert_array_equal(observation["state"], env.state)


def test_every_number_of_the_state_has_a_name(config):
    env = make(config)
    env.reset(seed=0)
    assert env.state.shape == (len(set(env.state_names)),)
    assert env.state.dtype == np.float64


def test_same_seed_and_actions_give_the_same_frames_and_states(config):
    histories = []
    for _ in range(2):
        env = make(config)
        start, info = env.reset(seed=3)
        histories.append((start["pixels"], info["goal_state"], *step_all(env, random_actions(env, NUM_STEPS, seed=1))))
    for first, second in zip(*histories, strict=True):
        np.testing.assert_array_equal(first, second)


def test_setting_the_state_it_has_changes_nothing(config):
    env = make(config)
    env.reset(seed=0)
    step_all(env, random_actions(env, NUM_STEPS, seed=0))
    state, frame = env.state, env.render()
    env.set_state(state)
    np.testing.assert_array_equal(env.state, state)
    np.testing.assert_array_equal(env.render(), frame)


@pytest.mark.parametrize("seed", range(3))
def test_a_state_reproduces_its_future_exactly(config, seed):
    env, other = make(config), make(config)
    env.reset(seed=seed)
    other.reset(seed=seed + 100)
    step_all(other, random_actions(other, 7, seed))
    step_all(env, random_actions(env, NUM_STEPS, seed))
    other.set_state(env.state)
    future = random_actions(env, NUM_STEPS, seed + 1)
    for first, second in zip(step_all(env, future), step_all(other, future), strict=True):
        np.testing.assert_array_equal(first, second)


def test_rendering_is_a_function_of_the_state(config):
    fresh, used = make(config), make(config)
    fresh.reset(seed=0)
    used.reset(seed=1)
    step_all(used, random_actions(used, NUM_STEPS, seed=1))
    for seed in range(5):
        state = fresh.reset(seed=seed)[0]["state"]
        used.set_state(state)
        np.testing.assert_array_equal(used.render(), fresh.render())
        np.testing.assert_array_equal(used.render(), used.render())


def test_rendering_changes_nothing(config):
    watched, unwatched = make(config), make(config)
    for env in (watched, unwatched):
        env.reset(seed=0)
    for action in random_actions(watched, NUM_STEPS, seed=0):
        watched.render()
        np.testing.assert_array_equal(watched.step(action)[0]["state"], unwatched.step(action)[0]["state"])


def test_different_states_look_different(config):
    env = make(config)
    frames = [env.reset(seed=seed)[0]["pixels"] for seed in range(10)]
    assert len({frame.tobytes() for frame in frames}) == 10


def test_starts_and_goals_are_random(config):
    env = make(config)
    env.reset(seed=0)
    resets = [env.reset() for _ in range(10)]
    starts = {observation["state"].tobytes() for observation, _ in resets}
    goals = {info["goal_state"].tobytes() for _, info in resets}
    assert len(starts) == len(goals) == 10
    assert not starts & goals


def test_observations_share_nothing_with_one_another(config):
    env = make(config)
    observation, info = env.reset(seed=0)
    seen = [(observation, info)]
    for action in random_actions(env, 5, seed=0):
        observation, *_, info = env.step(action)
        seen.append((observation, info))
    arrays = [array for observation, info in seen for array in (*observation.values(), info["goal_state"])]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


def test_writing_into_what_it_returned_does_not_touch_the_environment(config):
    spoiled, clean = make(config), make(config)
    observation, info = spoiled.reset(seed=0)
    clean.reset(seed=0)
    for array in (*observation.values(), info["goal_state"], spoiled.state, spoiled.render()):
        array[...] = 0
    np.testing.assert_array_equal(spoiled.state, clean.state)
    np.testing.assert_array_equal(spoiled.render(), clean.render())
    action = random_actions(clean, 1, seed=0)[0]
    (observation, *_, info), (expected, *_, expected_info) = spoiled.step(action), clean.step(action)
    np.testing.assert_array_equal(observation["pixels"], expected["pixels"])
    np.testing.assert_array_equal(info["goal_state"], expected_info["goal_state"])


def test_writing_into_the_state_it_was_given_does_not_touch_the_environment(config):
    env = make(config)
    env.reset(seed=0)
    given, state = env.state, env.state
    env.set_state(given)
    given[...] = 0
    np.testing.assert_array_equal(env.state, state)


def test_a_step_does_not_write_into_its_action(config):
    env = make(config)
    env.reset(seed=0)
    action = 2 * env.action_space.high
    env.step(action)
    np.testing.assert_array_equal(action, 2 * env.action_space.high)


def test_every_state_is_a_success_at_itself(config):
    env = make(config)
    for seed in range(20):
        state = env.reset(seed=seed)[0]["state"]
        assert env.is_success(state, state.copy()) is True


def test_most_random_goals_are_not_reached_at_the_start(config):
    env = make(config)
    resets = [env.reset(seed=seed) for seed in range(100)]
    solved = [env.is_success(observation["state"], info["goal_state"]) for observation, info in resets]
    assert 2 * sum(solved) < len(solved)


def test_success_does_not_depend_on_where_the_environment_is(config):
    env = make(config)
    resets = [env.reset(seed=seed) for seed in range(10)]
    pairs = [(observation["state"], info["goal_state"]) for observation, info in resets]
    before = [env.is_success(*pair) for pair in pairs]
    env.set_state(pairs[0][0])
    assert [env.is_success(*pair) for pair in pairs] == before


def test_the_expert_reaches_its_goals(config):
    num_envs = 32
    env = gym.make_vec(config.id, num_envs, frame_size=config.frame_size)
    expert = build(EXPERTS, config.collection.expert, "expert")
    rng = np.random.default_rng(0)
    observation, info = env.reset(seed=0)
    action, reached = np.zeros(env.action_space.shape, np.float32), np.zeros(num_envs, bool)
    for _ in range(config.collection.max_steps):
        action = expert(observation["state"], info["goal_state"], action, rng)
        assert action.dtype == np.float32
        assert env.action_space.contains(action)
        observation, _, terminated, _, info = env.step(action)
        reached |= terminated
        if reached.all():
            break
    assert reached.mean() >= 0.9


def test_the_vector_environment_is_the_single_one_bit_for_bit(config):
    num_envs = 5
    vector = gym.make_vec(config.id, num_envs, frame_size=config.frame_size)
    singles = [make(config) for _ in range(num_envs)]
    observation, _ = vector.reset(seed=0)
    for single, state in zip(singles, observation["state"], strict=True):
        single.reset(seed=0)
        single.set_state(state)
    alive = np.ones(num_envs, bool)
    for step in range(NUM_STEPS):
        actions = random_actions(vector, 1, seed=step)[0]
        observation, _, terminated, truncated, _ = vector.step(actions)
        for i in np.flatnonzero(alive):
            expected = singles[i].step(actions[i])[0]
            np.testing.assert_array_equal(observation["pixels"][i], expected["pixels"])
            np.testing.assert_array_equal(observation["state"][i], expected["state"])
        alive &= ~(terminated | truncated)
    assert alive.any()
