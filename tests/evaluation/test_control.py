"""Playing pairs in Two-Room: what is executed, what is recorded, what counts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from envs.two_room import TwoRoom, draw
from lewm.data.normalize import ActionNormalizer, pack_actions
from lewm.evaluation.control import Arena, MPCPolicy, Replay, floors, play
from lewm.evaluation.protocol import Manifest, Pairs, read_pairs
from lewm.planning.protocols import Plan
from tests.registries import ENVS

FRAME_SIZE, OFFSET, NUM_PAIRS = 48, 12, 6


@pytest.fixture(scope="module")
def pairs(two_room_data):
    return read_pairs(Manifest.draw(two_room_data, np.arange(12), OFFSET, NUM_PAIRS, seed=0), two_room_data)


def arena_of(num_envs):
    return Arena(replace(ENVS["two_room"], frame_size=FRAME_SIZE), num_envs)


def play_alone(policy, pairs, budget):
    return play(arena_of(len(pairs.start_states)), policy, pairs, budget, lambda: None)


def straight_line():
    """From (30, 50) to the right with a goal 30 units on, and the same with the goal at the start."""
    start = np.array([[30.0, 50.0], [30.0, 50.0]])
    actions = np.zeros((2, 14, 2), np.float32)
    actions[..., 0] = 1
    return Pairs(start, np.array([[60.0, 50.0], [30.0, 50.0]]), actions)


class Watcher:
    """Stands still in blocks of n steps and remembers what it is shown."""

    def __init__(self, block):
        self.block, self.seen = block, []

    def start(self, pixels, goal_pixels):
        self.num_episodes, self.first, self.goal = len(pixels), pixels, goal_pixels

    def act(self):
        return np.full((self.num_episodes, self.block, 2), 0.5, np.float32)

    def observe(self, pixels, actions):
        self.seen.append((pixels, actions))


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
    pairs, watcher = straight_line(), Watcher(block=3)
    outcome = play_alone(watcher, pairs, budget=10)
    np.testing.assert_array_equal(watcher.first, draw(pairs.start_states, FRAME_SIZE))
    np.testing.assert_array_equal(watcher.goal, draw(pairs.goal_states, FRAME_SIZE))
    assert len(watcher.seen) == 3  # after steps 3, 6 and 9; step 10 is the last
    for step, (pixels, actions) in zip((3, 6, 9), watcher.seen, strict=True):
        np.testing.assert_array_equal(pixels, draw(outcome.states[:, step], FRAME_SIZE))
        assert actions.shape == (2, 3, 2)


def test_every_step_is_announced(pairs):
    steps = []
    play(arena_of(NUM_PAIRS), Replay(pairs.recorded_actions), pairs, 9, lambda: steps.append(1))
    assert len(steps) == 9


def test_playing_goes_on_after_a_success():
    outcome = play_alone(Replay(straight_line().recorded_actions), straight_line(), budget=14)
    np.testing.assert_allclose(outcome.states[0, :, 0], 30 + 5 * np.arange(15))


def test_an_episode_does_not_depend_on_the_others(pairs):
    together = play_alone(Replay(pairs.recorded_actions), pairs, OFFSET)
    one = Pairs(*(field[2:3] for field in pairs))
    alone = play_alone(Replay(one.recorded_actions), one, OFFSET)
    np.testing.assert_array_equal(alone.states[0], together.states[2])


def test_an_arena_shows_the_states_it_is_given():
    states = np.array([[50.0, 60.0], [150.0, 70.0]])
    expected = []
    for state in states:
        env = TwoRoom(FRAME_SIZE)
        env.set_state(state)
        expected.append(env.render())
    np.testing.assert_array_equal(arena_of(2).show(states), np.stack(expected))


def test_floors_are_random_no_and_recorded_actions(pairs):
    outcomes = floors(arena_of(NUM_PAIRS), pairs, 20, np.array([-1.0, -1.0]), np.array([1.0, 1.0]), seed=0)
    assert list(outcomes) == ["random", "no_op", "replay"]
    assert outcomes["replay"].reached.all()
    np.testing.assert_array_equal(outcomes["no_op"].states, np.repeat(pairs.start_states[:, None], 21, 1))
    assert (outcomes["no_op"].reached == outcomes["no_op"].solved_at_start).all()
    assert np.linalg.norm(np.diff(outcomes["random"].states, axis=1), axis=2).mean() > 1


class ScriptedMPC:
    """Plans given (P, H, A) blocks, counted up by the number of the plan, and remembers what it observes."""

    def __init__(self, blocks):
        self.blocks, self.num_plans, self.observed = blocks, 0, []

    def start(self, pixels, goal_pixels, episodes, action_dim):
        self.started = (pixels, goal_pixels, episodes, action_dim)
        return "state"

    def plan(self, state):
        self.num_plans += 1
        return Plan(self.blocks + self.num_plans - 1, torch.zeros(len(self.blocks))), state

    def observe(self, state, pixels, actions):
        self.observed.append((pixels, actions))
        return state


@pytest.fixture
def scripted():
    """Two episodes, plans of three blocks of two raw actions, and a normalizer."""
    raw = torch.arange(2 * 3 * 2 * 2).reshape(2, 6, 2) / 100
    normalizer = ActionNormalizer(mean=(0.5, -0.25), std=(2.0, 0.5))
    return raw, normalizer, ScriptedMPC(pack_actions(normalizer.normalize(raw), 2))


@pytest.mark.parametrize(("num_executed", "num_plans"), [(1, 3), (2, 2), (3, 1)])
def test_num_executed_blocks_of_each_plan_are_executed(scripted, num_executed, num_plans):
    _, normalizer, mpc = scripted
    policy = MPCPolicy(mpc, normalizer, 2, 2, num_executed, "cpu")
    play_alone(policy, straight_line(), budget=6)
    assert mpc.num_plans == len(policy.plan_seconds) == num_plans


def test_blocks_are_executed_as_raw_actions_in_time_order(scripted):
    raw, normalizer, mpc = scripted
    policy = MPCPolicy(mpc, normalizer, 2, 2, num_executed=3, device="cpu")
    outcome = play_alone(policy, straight_line(), budget=6)
    np.testing.assert_allclose(np.diff(outcome.states, axis=1), 5 * raw.numpy(), atol=1e-5)


def test_control_is_given_back_the_frames_and_the_normalized_blocks_that_were_executed(scripted):
    _, normalizer, mpc = scripted
    policy = MPCPolicy(mpc, normalizer, 2, 2, num_executed=3, device="cpu")
    outcome = play_alone(policy, straight_line(), budget=6)
    pixels, goal_pixels, episodes, action_dim = mpc.started
    assert pixels.shape == goal_pixels.shape == (2, 3, FRAME_SIZE, FRAME_SIZE)
    assert (episodes, action_dim) == ((0, 1), 4)
    assert len(mpc.observed) == 2
    for block, (pixels, actions) in enumerate(mpc.observed):
        torch.testing.assert_close(actions, mpc.blocks[:, block])
        expected = draw(outcome.states[:, 2 * (block + 1)], FRAME_SIZE)
        np.testing.assert_array_equal(pixels.movedim(1, -1).numpy(), expected)


@pytest.mark.parametrize("budget", [1, 3, 5])
def test_a_budget_may_end_within_a_block(scripted, budget):
    raw, normalizer, mpc = scripted
    policy = MPCPolicy(mpc, normalizer, 2, 2, num_executed=3, device="cpu")
    outcome = play_alone(policy, straight_line(), budget)
    np.testing.assert_allclose(np.diff(outcome.states, axis=1), 5 * raw[:, :budget].numpy(), atol=1e-5)
