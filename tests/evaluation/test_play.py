"""Playing pairs in Two-Room: what is executed, what is recorded, what counts."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from envs.two_room import TwoRoom, draw
from lewm.evaluation.baselines import Replay, make_baseline
from lewm.evaluation.env_pool import EnvPool
from lewm.evaluation.manifest import Manifest
from lewm.evaluation.pairs import Pairs, read_pairs
from lewm.evaluation.play import play
from tests.evaluation.falling import CLIFF
from tests.evaluation.scenes import Steady, make_pairs
from tests.registries import ENVS

FRAME_SIZE, OFFSET, NUM_PAIRS = 48, 12, 6


@pytest.fixture(scope="module")
def pairs(two_room_data):
    return read_pairs(Manifest.draw(two_room_data, np.arange(12), OFFSET, NUM_PAIRS, seed=0), two_room_data)


def make_arena():
    return EnvPool(replace(ENVS["two_room"], frame_size=FRAME_SIZE))


def play_alone(policy, pairs, budget):
    return play(make_arena(), policy, pairs, budget, lambda num_steps: None)


def straight_line():
    """From (30, 50) to the right with a goal 30 units on, and the same with the goal at the start."""
    return make_pairs([[30.0, 50.0]] * 2, [[60.0, 50.0], [30.0, 50.0]], np.tile([1.0, 0.0], (2, 14, 1)))


def test_replaying_the_recorded_actions_reaches_the_recorded_goal_exactly(pairs):
    outcome = play_alone(Replay(pairs.recorded_actions), pairs, budget=OFFSET)
    np.testing.assert_array_equal(outcome.states[:, -1], pairs.goal_states)
    assert outcome.reached.all() and outcome.at_end.all()


@pytest.mark.parametrize("budget", [1, 5, OFFSET, OFFSET + 7])
def test_states_are_the_start_and_one_for_each_step_of_the_budget(pairs, budget):
    outcome = play_alone(Replay(pairs.recorded_actions), pairs, budget)
    assert outcome.states.shape == (NUM_PAIRS, budget + 1, 2)
    np.testing.assert_array_equal(outcome.states[:, 0], pairs.start_states)
    np.testing.assert_array_equal(outcome.goal_states, pairs.goal_states)


def test_a_replay_stands_still_when_its_actions_are_over(pairs):
    outcome = play_alone(Replay(pairs.recorded_actions), pairs, OFFSET + 7)
    np.testing.assert_array_equal(outcome.states[:, OFFSET:], np.repeat(pairs.goal_states[:, None], 8, 1))


def test_a_replay_can_be_played_again(pairs):
    policy = Replay(pairs.recorded_actions)
    first, again = (play_alone(policy, pairs, OFFSET) for _ in range(2))
    np.testing.assert_array_equal(first.states, again.states)


def test_passing_the_goal_counts_as_reached_and_not_as_at_the_end():
    outcome = play_alone(Replay(straight_line().recorded_actions), straight_line(), budget=14)
    assert outcome.reached.tolist() == [True, True]
    assert outcome.at_end.tolist() == [False, False]


def test_pairs_that_are_solved_at_the_start_are_counted():
    # One step of 5 to the right: the first goal, 18 ahead, comes within 16, and the second, 12 behind, falls back.
    pairs = straight_line()._replace(goal_states=np.array([[48.0, 50.0], [18.0, 50.0]]))
    outcome = play_alone(Replay(pairs.recorded_actions), pairs, budget=1)
    assert outcome.solved_at_start.tolist() == [False, True]
    assert outcome.at_end.tolist() == [True, False]
    assert outcome.reached.tolist() == [True, True]


def test_a_goal_that_is_not_come_near_is_not_reached():
    outcome = play_alone(Replay(np.zeros((2, 1, 2), np.float32)), straight_line(), budget=3)
    assert outcome.reached.tolist() == [False, True]


def test_a_policy_sees_the_start_the_goal_and_the_frame_after_each_block():
    pairs, watcher = straight_line(), Steady([0.5, 0.5], block=3)
    outcome = play_alone(watcher, pairs, budget=10)
    np.testing.assert_array_equal(watcher.first, draw(pairs.start_states, FRAME_SIZE))
    np.testing.assert_array_equal(watcher.goal, draw(pairs.goal_states, FRAME_SIZE))
    assert len(watcher.seen) == 3  # after steps 3, 6 and 9; step 10 is the last
    for step, (pixels, actions) in zip((3, 6, 9), watcher.seen, strict=True):
        np.testing.assert_array_equal(pixels, draw(outcome.states[:, step], FRAME_SIZE))
        assert actions.shape == (2, 3, 2)


def test_every_step_is_announced(pairs):
    steps = []
    play(make_arena(), Replay(pairs.recorded_actions), pairs, 14, steps.append)
    assert steps == [OFFSET, 1, 1]


def test_playing_goes_on_after_a_success():
    outcome = play_alone(Replay(straight_line().recorded_actions), straight_line(), budget=14)
    np.testing.assert_allclose(outcome.states[0, :, 0], 30 + 5 * np.arange(15))


def test_an_episode_does_not_depend_on_the_others(pairs):
    together = play_alone(Replay(pairs.recorded_actions), pairs, OFFSET)
    alone = play_alone(Replay(pairs.recorded_actions), Pairs(*(field[2:3] for field in pairs)), OFFSET)
    np.testing.assert_array_equal(alone.states[0], together.states[2])


def test_the_first_success_is_the_step_at_which_the_goal_is_first_reached():
    outcome = play_alone(Replay(straight_line().recorded_actions), straight_line(), budget=14)
    assert outcome.first_success.tolist() == [3, 0]  # 15 units on the first is 15 away, the second starts there
    assert play_alone(Replay(np.zeros((2, 1, 2), np.float32)), straight_line(), 3).first_success.tolist() == [-1, 0]


def test_distances_are_those_of_the_environment_at_every_step():
    outcome = play_alone(Replay(straight_line().recorded_actions), straight_line(), budget=2)
    np.testing.assert_allclose(outcome.distances, np.array([[30, 25, 20], [0, 5, 10]]) / 16)


def test_an_arena_draws_the_states_it_is_given_and_leaves_the_episodes_alone():
    states, pool = np.array([[50.0, 60.0], [150.0, 70.0]]), make_arena()
    expected = []
    for state in states:
        env = TwoRoom(FRAME_SIZE)
        env.set_state(state)
        expected.append(env.render())
    pool.begin(states)
    np.testing.assert_array_equal(pool.draw(states[::-1]), np.stack(expected[::-1]))
    np.testing.assert_array_equal(pool.render(), np.stack(expected))


def test_frames_before_the_start_and_the_actions_after_them_are_those_of_the_recording(two_room_data):
    manifest = Manifest.draw(two_room_data, np.arange(12), OFFSET, 40, seed=0)
    numbers = np.flatnonzero(np.array(manifest.steps) >= 10)
    pairs, watcher = read_pairs(manifest, two_room_data, numbers, num_past=2, frameskip=5), Steady([0.0, 0.0])
    play_alone(watcher, pairs, budget=1)
    frames, actions = watcher.past
    for row, number in enumerate(numbers):
        frame = two_room_data.index.frame_offsets[manifest.episodes[number]] + manifest.steps[number]
        step = two_room_data.index.action_offsets[manifest.episodes[number]] + manifest.steps[number]
        np.testing.assert_array_equal(frames[row], two_room_data.pixels[[frame - 10, frame - 5]])
        np.testing.assert_array_equal(actions[row].reshape(10, 2), two_room_data.actions[step - 10 : step])


def test_floors_are_random_no_and_recorded_actions(pairs):
    bounds = np.array([-1.0, -1.0]), np.array([1.0, 1.0])
    random, no_op, replay = (
        play_alone(make_baseline(name, pairs, 20, *bounds, seed=0), pairs, 20) for name in ("random", "no_op", "replay")
    )
    assert replay.reached.all()
    np.testing.assert_array_equal(no_op.states, np.repeat(pairs.start_states[:, None], 21, 1))
    assert (no_op.reached == no_op.solved_at_start).all()
    assert np.linalg.norm(np.diff(random.states, axis=1), axis=2).mean() > 1


def test_random_actions_of_a_pair_do_not_depend_on_the_other_pairs(pairs):
    bounds = np.array([-1.0, -1.0]), np.array([1.0, 1.0])
    fewer = Pairs(*(field[2:4] for field in pairs))
    of_all, of_fewer = (make_baseline("random", each, 7, *bounds, seed=3).actions for each in (pairs, fewer))
    np.testing.assert_array_equal(of_all[2:4], of_fewer)


def test_an_episode_lasts_as_long_as_the_budget_whatever_limit_the_environment_is_registered_with(pairs):
    assert gym.spec("lewm/TwoRoom-v0").max_episode_steps < 230
    bounds = np.array([-1.0, -1.0]), np.array([1.0, 1.0])
    outcome = play_alone(make_baseline("no_op", pairs, 230, *bounds, seed=0), pairs, 230)
    assert outcome.num_steps.tolist() == [230] * NUM_PAIRS
    np.testing.assert_array_equal(outcome.states, np.repeat(pairs.start_states[:, None], 231, 1))


def test_pairs_of_which_a_part_of_the_state_is_recorded_are_played_as_the_environment_completes_them():
    start, goal = [100.0, 100.0, 256.0, 256.0, 1.0, 3.0, -2.0], [300.0, 100.0, 256.0, 300.0, 1.5, 0.0, 0.0]
    part = make_pairs([start] * 2, [goal] * 2, np.tile([0.5, 0.5], (2, 12, 1)))
    whole = part._replace(start_states=np.pad(part.start_states, ((0, 0), (0, 3))))
    pool = EnvPool(replace(ENVS["push_t"], frame_size=FRAME_SIZE))
    outcome, expected = (
        play(pool, Replay(part.recorded_actions), each, 12, lambda num: None) for each in (part, whole)
    )
    assert outcome.states.shape == (2, 13, 10)
    np.testing.assert_array_equal(outcome.states, expected.states)
    np.testing.assert_array_equal(pool.complete(part.start_states), whole.start_states)


class Unused(EnvPool):
    """A pool that cannot draw."""

    def render(self):
        raise AssertionError("a frame was drawn")

    draw = render


@pytest.mark.parametrize("name", ["random", "no_op", "replay"])
def test_no_frame_is_drawn_for_a_floor(pairs, name):
    pool = Unused(replace(ENVS["two_room"], frame_size=FRAME_SIZE))
    baseline = make_baseline(name, pairs, 20, np.array([-1.0, -1.0]), np.array([1.0, 1.0]), seed=0)
    assert play(pool, baseline, pairs, 20, lambda num_steps: None).states.shape == (NUM_PAIRS, 21, 2)


def cliff_pairs():
    """Three episodes that go right by 0.1 a step: from 0.65 over the cliff after 3, from 0.05 and 0.1 not at all."""
    return make_pairs([[0.05, 0.5], [0.65, 0.5], [0.1, 0.5]], [[1.0, 1.0]] * 3, np.tile([0.5, 0.0], (3, 8, 1)))


@pytest.mark.parametrize("block", [1, 2, 3, 8])
def test_an_episode_that_the_environment_ends_keeps_its_last_state(block):
    outcome = play(EnvPool(CLIFF), Steady([0.5, 0.0], block), cliff_pairs(), 8, lambda num_steps: None)
    np.testing.assert_allclose(outcome.states[1, :, 0], [0.65, 0.75, 0.85, *[0.95] * 6])
    np.testing.assert_allclose(outcome.states[0, :, 0], 0.05 + 0.1 * np.arange(9))
    assert outcome.num_steps.tolist() == [8, 3, 8]


def test_a_policy_is_told_to_forget_an_episode_that_the_environment_ended():
    policy = Steady([0.5, 0.0], block=2)
    play(EnvPool(CLIFF), policy, cliff_pairs(), 8, lambda num_steps: None)
    assert policy.kept == [[0, 2]]
    assert [len(frames) for frames, _ in policy.seen] == [3, 2, 2]
    assert [len(actions) for _, actions in policy.seen] == [3, 2, 2]


def test_nothing_is_played_and_no_step_is_missing_when_all_episodes_are_over():
    policy, steps = Steady([0.5, 0.0], block=3), []
    pairs = cliff_pairs()
    over = Pairs(*(field[1:2] for field in pairs))
    outcome = play(EnvPool(CLIFF), policy, over, 20, steps.append)
    assert outcome.states.shape == (1, 21, 2)
    assert policy.seen == []
    assert sum(steps) == 20
