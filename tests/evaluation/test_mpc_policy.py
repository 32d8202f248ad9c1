"""Control between frames and raw actions on one side, embeddings and normalized blocks on the other."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from envs.two_room import draw
from lewm.agent import Agent
from lewm.data.normalize import ActionNormalizer, pack_actions
from lewm.evaluation.cloning_policy import CloningPolicy
from lewm.evaluation.env_pool import EnvPool
from lewm.evaluation.manifest import Manifest
from lewm.evaluation.mpc_policy import MPCPolicy
from lewm.evaluation.pairs import read_pairs
from lewm.evaluation.play import play
from lewm.planning.protocols import Iteration, Plan
from lewm.raw_units import RawUnits
from tests.evaluation.falling import CLIFF
from tests.evaluation.scenes import make_pairs
from tests.programs import compose
from tests.registries import ENVS
from tests.runs import spec_of

FRAME_SIZE = 48
NORMALIZER = ActionNormalizer(mean=(0.5, -0.25), std=(2.0, 0.5))


class State:
    """z and z_goal are numbers that count frames."""

    def __init__(self, episodes, num_frames):
        self.episodes, self.num_frames = episodes, num_frames
        self.z = torch.full((len(episodes), 1, 3), float(num_frames))
        self.z_goal = torch.zeros(len(episodes), 3)


class ScriptedMPC:
    """Plans given (P, H, A) blocks of each episode, counted up by the number of the plan; two iterations each."""

    def __init__(self, blocks, context=1):
        self.blocks, self.context, self.num_plans, self.observed = blocks, context, 0, []
        self.horizon = blocks.shape[1]

    def start(self, pixels, goal_pixels, episodes, action_dim):
        self.started = (pixels, goal_pixels, episodes, action_dim)
        return State(episodes, 1)

    def plan(self, state, rows, on_iteration):
        self.num_plans += 1
        for index in range(2):
            cost = torch.tensor([10.0 * self.num_plans + index] * len(state.episodes))
            on_iteration(Iteration(index, cost[:, None], None, None, cost))
        state.mean = self.blocks[list(state.episodes)] + self.num_plans - 1
        return Plan(state.mean, cost), state

    def observe(self, state, pixels, actions, rows):
        self.observed.append((pixels, actions))
        return State(state.episodes, state.num_frames + 1)

    def keep(self, state, rows):
        return State(tuple(state.episodes[row] for row in rows), state.num_frames)

    def imagine(self, state, actions):
        return 100 + actions


def straight_line():
    return make_pairs([[30.0, 50.0]] * 2, [[60.0, 50.0], [30.0, 50.0]], np.tile([1.0, 0.0], (2, 14, 1)))


@pytest.fixture
def scripted():
    """Two episodes, plans of three blocks of two raw actions."""
    raw = torch.arange(2 * 3 * 2 * 2).reshape(2, 6, 2) / 100
    return raw, ScriptedMPC(pack_actions(NORMALIZER.normalize(raw), 2))


def units(low, high, frame_size=FRAME_SIZE):
    """Model steps of two env steps, of two raw actions within these bounds."""
    config = replace(compose(), env=replace(ENVS["two_room"], frame_size=frame_size, frameskip=2))
    return RawUnits(spec_of(config, NORMALIZER, (low,) * 2, (high,) * 2), "cpu")


def run(mpc, pairs, budget, num_executed=3):
    policy = MPCPolicy(Agent(mpc, units(-10, 10), num_executed))
    pool = EnvPool(replace(ENVS["two_room"], frame_size=FRAME_SIZE))
    return play(pool, policy, pairs, budget, lambda num_steps: None), policy.trace()


@pytest.mark.parametrize(("num_executed", "num_plans"), [(1, 3), (2, 2), (3, 1)])
def test_num_executed_blocks_of_each_plan_are_executed(scripted, num_executed, num_plans):
    _, mpc = scripted
    _, trace = run(mpc, straight_line(), 6, num_executed)
    assert mpc.num_plans == len(trace.plan_seconds) == num_plans
    assert trace.num_planned.tolist() == [2] * num_plans


def test_blocks_are_executed_as_raw_actions_in_time_order(scripted):
    raw, mpc = scripted
    outcome, _ = run(mpc, straight_line(), budget=6)
    np.testing.assert_allclose(np.diff(outcome.states, axis=1), 5 * raw.numpy(), atol=1e-5)


def test_control_is_given_back_the_frames_and_the_normalized_blocks_that_were_executed(scripted):
    _, mpc = scripted
    outcome, _ = run(mpc, straight_line(), budget=6)
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
    raw, mpc = scripted
    outcome, _ = run(mpc, straight_line(), budget)
    np.testing.assert_allclose(np.diff(outcome.states, axis=1), 5 * raw[:, :budget].numpy(), atol=1e-5)


def test_a_trace_tells_costs_distances_and_the_first_plan(scripted):
    raw, mpc = scripted
    _, trace = run(mpc, straight_line(), budget=6, num_executed=2)
    assert trace.observed_steps.tolist() == [0, 2, 4]
    np.testing.assert_array_equal(trace.z_distance, [[3, 12, 27]] * 2)  # of 3 numbers that count the frames
    np.testing.assert_array_equal(trace.best_costs, [[[10, 11], [20, 21]]] * 2)
    np.testing.assert_allclose(trace.first_plan, raw, atol=1e-6)
    np.testing.assert_allclose(trace.imagined_z, 100 + mpc.blocks, atol=1e-4)
    assert trace.num_encoded.tolist() == [4, 4]  # the goal, the start, and two frames more


def test_control_is_told_of_the_frames_before_the_start(two_room_data):
    manifest = Manifest.draw(two_room_data, np.arange(12), 12, 40, seed=0)
    numbers = np.flatnonzero(np.array(manifest.steps) >= 4)[:5]
    pairs = read_pairs(manifest, two_room_data, numbers, num_past=2, frameskip=2)
    mpc = ScriptedMPC(torch.zeros(40, 3, 4), context=3)
    _, trace = run(mpc, pairs, budget=2)
    first = two_room_data.index.frame_offsets[manifest.episodes][numbers] + np.array(manifest.steps)[numbers] - 4
    shown = [mpc.started[0], *(pixels for pixels, _ in mpc.observed)]
    for t, pixels in enumerate(shown):
        np.testing.assert_array_equal(pixels.movedim(1, -1).numpy(), two_room_data.pixels[first + 2 * t])
    for t, (_, actions) in enumerate(mpc.observed):
        expected = pack_actions(NORMALIZER.normalize(pairs.past_actions[:, t]), 2)[:, 0]
        torch.testing.assert_close(actions, expected)
    assert mpc.started[2] == tuple(numbers.tolist())
    assert trace.num_encoded.tolist() == [4] * 5


def test_no_plan_is_made_for_an_episode_that_the_environment_ended():
    """The second of three goes over the cliff in its first block."""
    raw = torch.tensor([0.5, 0.0]).expand(3, 6, 2)
    mpc = ScriptedMPC(pack_actions(NORMALIZER.normalize(raw), 2))
    policy = MPCPolicy(Agent(mpc, units(-10, 10, frame_size=CLIFF.frame_size), 1))
    pairs = make_pairs([[0.0, 0.5], [0.75, 0.5], [0.1, 0.5]], [[1.0, 1.0]] * 3, np.zeros((3, 4, 2)))
    play(EnvPool(CLIFF), policy, pairs, 4, lambda num_steps: None)
    trace = policy.trace()
    assert trace.num_planned.tolist() == [3, 2]
    assert np.isnan(trace.z_distance[1]).tolist() == [False, True]
    assert np.isnan(trace.best_costs[:, 1, 0]).tolist() == [False, True, False]
    assert trace.num_encoded.tolist() == [3, 2, 3]


def test_a_clone_is_shown_frame_and_goal_and_its_blocks_are_executed_within_the_bounds():
    shown = []

    def clone(pixels, goal_pixels):
        shown.append((pixels, goal_pixels))
        raw = torch.tensor([[0.2, -0.4], [5.0, 0.0]]).expand(2, 2, 2)
        return pack_actions(NORMALIZER.normalize(raw), 2)[:, 0]

    policy = CloningPolicy(clone, units(-1, 1))
    pool = EnvPool(replace(ENVS["two_room"], frame_size=FRAME_SIZE))
    outcome = play(pool, policy, straight_line(), 3, lambda num_steps: None)
    np.testing.assert_allclose(np.diff(outcome.states, axis=1)[0], [[1.0, -2.0], [5.0, 0.0], [1.0, -2.0]], atol=1e-5)
    for (pixels, goal_pixels), step in zip(shown, (0, 2), strict=True):
        np.testing.assert_array_equal(pixels.movedim(1, -1), draw(outcome.states[:, step], FRAME_SIZE))
        np.testing.assert_array_equal(goal_pixels.movedim(1, -1), draw(outcome.goal_states, FRAME_SIZE))
    assert policy.trace().num_planned.tolist() == [2, 2]
