"""What every registered environment promises of goals, of success, and of the expert that its configuration names."""

import numpy as np
import pytest

from envs.experts import EXPERTS
from lewm.config import build
from lewm.environment import make_env
from tests.registries import ENVS, why_no_env


@pytest.fixture(params=ENVS)
def config(request):
    if reason := why_no_env(request.param):
        pytest.skip(reason)
    return ENVS[request.param]


def test_every_state_is_a_success_at_itself(config):
    env = make_env(config)
    for seed in range(5):
        state = env.reset(seed=seed)[0]["state"]
        assert env.is_success(state, state.copy()) is True


def test_most_random_goals_are_not_reached_at_the_start(config):
    env = make_env(config)
    resets = [env.reset(seed=seed) for seed in range(20)]
    solved = [env.is_success(observation["state"], info["goal_state"]) for observation, info in resets]
    assert 2 * sum(solved) < len(solved)


def test_success_does_not_depend_on_where_the_environment_is(config):
    env = make_env(config)
    resets = [env.reset(seed=seed) for seed in range(5)]
    pairs = [(observation["state"], info["goal_state"]) for observation, info in resets]
    before = [env.is_success(*pair) for pair in pairs]
    env.set_state(pairs[0][0])
    assert [env.is_success(*pair) for pair in pairs] == before


def test_an_episode_ends_with_a_reward_where_its_goal_is(config):
    env = make_env(config)
    env.reset(seed=0)
    still = np.zeros(env.action_space.shape, np.float32)
    goal = env.step(still)[0]["state"]
    start = env.reset(seed=0)[0]["state"]
    env.reset(options={"state": start, "goal_state": goal})
    _, reward, terminated, truncated, info = env.step(still)
    assert (reward, terminated, truncated) == (1.0, True, False)
    np.testing.assert_array_equal(info["goal_state"], goal)


def test_a_reset_takes_the_start_and_the_goal_that_it_is_given(config):
    env = make_env(config)
    first, first_info = env.reset(seed=0)
    second, _ = env.reset(seed=1)
    again, info = env.reset(options={"state": first["state"], "goal_state": second["state"]})
    np.testing.assert_array_equal(again["state"], first["state"])
    np.testing.assert_array_equal(again["pixels"], first["pixels"])
    np.testing.assert_array_equal(info["goal_state"], second["state"])
    assert not np.array_equal(env.reset(seed=0)[1]["goal_state"], second["state"])
    np.testing.assert_array_equal(env.reset(seed=0)[1]["goal_state"], first_info["goal_state"])


def test_a_reset_refuses_an_option_that_it_does_not_know(config):
    with pytest.raises(ValueError, match="'start'"):
        make_env(config).reset(options={"start": None})


def test_a_full_turn_more_is_the_same_place(config):
    env = make_env(config)
    if not env.angles:
        pytest.skip("has no angles")
    observation, _ = env.reset(seed=0)
    state, frame = observation["state"], observation["pixels"]
    for turns in (2 * np.pi, -2 * np.pi):
        for name in env.angles:
            turned = state.copy()
            turned[env.state_names.index(name)] += turns
            assert env.is_success(turned, state) is True
            env.set_state(turned)
            np.testing.assert_array_equal(env.render(), frame)


def directed(expert):
    """Those in the component `expert`, itself or a part of it, that head for a goal."""
    if expert["name"] == "mixture":
        return [each for part in expert["parts"] for each in directed(part["expert"])]
    return [] if expert["name"] == "uniform" else [expert]


def test_experts_are_deterministic_and_act_within_the_action_space(config):
    env = make_env(config)
    histories = []
    for _ in range(2):
        rng = np.random.default_rng(0)
        _, info = env.reset(seed=0)
        expert = build(EXPERTS, config.collection.expert, "expert").begin(env, rng)
        action = np.zeros((1, *env.action_space.shape), np.float32)
        for _ in range(15):
            action = expert(env.state[None], info["goal_state"][None], action, rng)
            assert action.dtype == np.float32
            assert env.action_space.contains(action[0])
            env.advance(action[0].astype(np.float64))
        histories.append(env.state)
    np.testing.assert_array_equal(*histories)


def test_the_expert_reaches_most_of_its_goals(config):
    experts = directed(config.collection.expert)
    if not experts:
        pytest.skip("random actions head for no goal")
    env = make_env(config)
    for component in experts:
        reached = [reaches(env, build(EXPERTS, component, "expert"), config, seed) for seed in range(8)]
        assert sum(reached) > len(reached) / 2, component


def reaches(env, expert, config, seed):
    """Whether an episode of the expert comes to its goal, without drawing frames of it."""
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    expert, goal = expert.begin(env, rng), info["goal_state"]
    action = np.zeros((1, *env.action_space.shape), np.float32)
    for _ in range(config.collection.max_steps):
        action = expert(env.state[None], goal[None], action, rng)
        env.advance(action[0].astype(np.float64))
        if env.is_success(env.state, goal):
            return True
    return False
