"""What every registered environment promises: its spaces, its randomness, its state and its pictures."""

import json
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from lewm.environment import make_env
from tests.registries import ENV_IDS, ENVS, why_no_env

NUM_STEPS = 25


@pytest.fixture(params=ENVS)
def config(request):
    if reason := why_no_env(request.param):
        pytest.skip(reason)
    return ENVS[request.param]


def make(config):
    return make_env(config)


def random_actions(env, num_steps, seed):
    rng = np.random.default_rng(seed)
    space = env.action_space
    return rng.uniform(space.low, space.high, (num_steps, *space.shape)).astype(np.float32)


def play(env, actions):
    """(n, S) states after each action. Draws no frames: some environments draw fifty a second."""
    states = []
    for action in actions:
        env.advance(action.astype(np.float64))
        states.append(env.state)
    return np.stack(states)


def test_every_registered_environment_has_a_configuration():
    assert {config.id.removeprefix("envs:") for config in ENVS.values()} == set(ENV_IDS)


@pytest.mark.filterwarnings("ignore:.*infinity")  # speeds have no bounds
@pytest.mark.filterwarnings("ignore:.*symmetric and normalized")  # actions are those of the original environments
def test_gymnasium_accepts_it(config):
    check_env(make(config))


def test_gymnasium_makes_it_in_a_fresh_process(config):
    program = f"""
import gymnasium as gym, numpy as np
env = gym.make({config.id!r}, frame_size=48, **{config.kwargs!r})
observation, info = env.reset(seed=0)
again, _ = env.reset(options={{"state": observation["state"], "goal_state": info["goal_state"]}})
assert np.array_equal(again["pixels"], observation["pixels"])
env.step(env.action_space.sample())
"""
    result = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_frames_are_square_of_the_size_asked_for(config):
    for size in (48, 100):
        env = gym.make(config.id, frame_size=size, **config.kwargs)
        pixels = env.reset(seed=0)[0]["pixels"]
        assert (pixels.shape, pixels.dtype) == ((size, size, 3), np.uint8)


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
    assert set(env.angles) <= set(env.state_names)
    assert set(env.velocities) <= set(env.state_names) - set(env.angles)


def test_a_state_at_rest_differs_in_its_velocities_alone(config):
    env = make(config)
    env.reset(seed=0)
    play(env, random_actions(env, NUM_STEPS, seed=0))
    moving = [name in env.velocities for name in env.state_names]
    still = env.at_rest(env.state)
    np.testing.assert_array_equal(still[moving], 0)
    np.testing.assert_array_equal(still[np.logical_not(moving)], env.state[np.logical_not(moving)])
    if env.velocities:
        assert np.abs(env.state[moving]).max() > 0


def test_a_number_of_the_state_is_moved_by_the_amount_and_the_given_state_stays(config):
    env = make(config)
    env.reset(seed=0)
    for index, name in enumerate(env.state_names):
        given = env.state
        assert env.moved(given, name, 0.25)[index] == pytest.approx(given[index] + 0.25)
        np.testing.assert_array_equal(given, env.state)


def test_states_stay_in_their_space(config):
    env = make(config)
    for seed in range(3):
        env.reset(seed=seed)
        for state in play(env, random_actions(env, NUM_STEPS, seed)):
            assert env.observation_space["state"].contains(state)


def test_same_seed_and_actions_give_the_same_frames_and_states(config):
    histories = []
    for _ in range(2):
        env = make(config)
        start, info = env.reset(seed=3)
        states = play(env, random_actions(env, NUM_STEPS, seed=1))
        histories.append((start["pixels"], info["goal_state"], states, env.render()))
    for first, second in zip(*histories, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_step_is_the_dynamics_and_a_frame(config):
    stepped, advanced = make(config), make(config)
    for env in (stepped, advanced):
        env.reset(seed=0)
    for action in random_actions(stepped, 3, seed=0):
        observation = stepped.step(action)[0]
        np.testing.assert_array_equal(observation["state"], play(advanced, [action])[0])
        np.testing.assert_array_equal(observation["pixels"], advanced.render())


def test_setting_the_state_it_has_changes_nothing(config):
    env = make(config)
    env.reset(seed=0)
    play(env, random_actions(env, NUM_STEPS, seed=0))
    state, frame = env.state, env.render()
    env.set_state(state)
    np.testing.assert_array_equal(env.state, state)
    np.testing.assert_array_equal(env.render(), frame)


@pytest.mark.parametrize("seed", range(3))
def test_a_state_reproduces_its_future_exactly(config, seed):
    env, other = make(config), make(config)
    env.reset(seed=seed)
    other.reset(seed=seed + 100)
    play(other, random_actions(other, 7, seed))
    play(env, random_actions(env, NUM_STEPS, seed))
    other.set_state(env.state)
    future = random_actions(env, NUM_STEPS, seed + 1)
    np.testing.assert_array_equal(play(env, future), play(other, future))
    np.testing.assert_array_equal(env.render(), other.render())


def test_rendering_is_a_function_of_the_state(config):
    fresh, used = make(config), make(config)
    fresh.reset(seed=0)
    used.reset(seed=1)
    for seed in range(3):
        frame, state = (fresh.reset(seed=seed)[0][key] for key in ("pixels", "state"))
        play(used, random_actions(used, 5, seed))
        used.set_state(state)
        np.testing.assert_array_equal(used.render(), frame)
        np.testing.assert_array_equal(used.render(), frame)


def test_rendering_changes_nothing(config):
    watched, unwatched = make(config), make(config)
    for env in (watched, unwatched):
        env.reset(seed=0)
    for action in random_actions(watched, 5, seed=0):
        watched.render()
        np.testing.assert_array_equal(play(watched, [action]), play(unwatched, [action]))


def test_environments_do_not_touch_one_another(config):
    alone, first, second = make(config), make(config), make(config)
    for env, seed in ((alone, 0), (first, 0), (second, 1)):
        env.reset(seed=seed)
    actions = random_actions(alone, 5, seed=0)
    for action in actions:
        play(first, [action])
        play(second, [-action])
        second.render()
    np.testing.assert_array_equal(play(alone, actions)[-1], first.state)
    np.testing.assert_array_equal(alone.render(), first.render())


def test_different_states_look_different(config):
    env = make(config)
    resets = [env.reset(seed=seed) for seed in range(5)]
    for observation, info in resets:
        env.set_state(info["goal_state"])
        reached = env.is_success(observation["state"], info["goal_state"])
        assert reached or not np.array_equal(env.render(), observation["pixels"])


def test_starts_and_goals_are_random(config):
    env = make(config)
    env.reset(seed=0)
    resets = [env.reset() for _ in range(5)]
    starts = {observation["state"].tobytes() for observation, _ in resets}
    goals = {info["goal_state"].tobytes() for _, info in resets}
    assert len(starts) == len(goals) == 5
    assert not starts & goals


def test_random_actions_of_one_environment_do_not_depend_on_another(config):
    alone, first, second = make(config), make(config), make(config)
    for env, seed in ((alone, 0), (first, 0), (second, 1)):
        env.action_space.seed(seed)
    expected = [alone.action_space.sample() for _ in range(3)]
    np.testing.assert_array_equal([first.action_space.sample() for _ in range(3)], expected)


def test_observations_share_nothing_with_one_another(config):
    env = make(config)
    observation, info = env.reset(seed=0)
    seen = [(observation, info)]
    for action in random_actions(env, 3, seed=0):
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


def test_actions_are_clipped_to_their_space(config):
    states = []
    for factor in (1, 3):
        env = make(config)
        env.reset(seed=0)
        states.append(env.step(factor * env.action_space.high)[0]["state"])
    np.testing.assert_array_equal(*states)


def test_what_is_no_state_is_refused(config):
    env = make(config)
    env.reset(seed=0)
    state = env.state
    for wrong in (
        np.zeros(1),
        np.zeros(99),
        np.full_like(state, np.nan),
        np.where(np.arange(len(state)), state, np.inf),
    ):
        with pytest.raises(ValueError, match=f"a state of {type(env).__name__} is {len(state)} finite numbers"):
            env.set_state(wrong)
        np.testing.assert_array_equal(env.state, state)


def test_what_its_frames_depend_on_can_be_written_down(config):
    provenance = make(config).provenance()
    assert json.loads(json.dumps(provenance)) == provenance


def has_vector_form(config):
    return gym.spec(config.id.removeprefix("envs:")).vector_entry_point is not None


@pytest.mark.parametrize("name", [name for name, config in ENVS.items() if has_vector_form(config)])
def test_the_vector_environment_is_the_single_one_bit_for_bit(name):
    config, num_envs = ENVS[name], 5
    vector = gym.make_vec(config.id, num_envs, frame_size=config.frame_size, **config.kwargs)
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


def max_steps_of(config):
    """The limit of the registration; of lewm/Gym-v0, that of the environment inside."""
    inside = config.kwargs.get("env_id", config.id.removeprefix("envs:"))
    return gym.spec(inside).max_episode_steps


@pytest.mark.parametrize("vectorized", [False, True])
def test_episodes_are_truncated_after_as_many_steps_as_the_registration_says(config, vectorized, monkeypatch):
    kwargs = {"frame_size": config.frame_size, **config.kwargs}
    env = gym.make_vec(config.id, 2, **kwargs) if vectorized else gym.make(config.id, **kwargs)
    if not has_vector_form(config) or not vectorized:  # nobody looks at the pictures, and a success would end it sooner
        single = env.envs[0].unwrapped if vectorized else env.unwrapped
        monkeypatch.setattr(
            type(single), "render", lambda env: np.zeros(env.observation_space["pixels"].shape, np.uint8)
        )
        monkeypatch.setattr(type(single), "is_success", lambda env, state, goal_state: False)
    env.reset(seed=0)
    action, steps, truncated = np.zeros(env.action_space.shape, np.float32), 0, False
    while not np.all(truncated) and steps <= max_steps_of(config):
        truncated = env.step(action)[3]
        steps += 1
    assert steps == max_steps_of(config)
