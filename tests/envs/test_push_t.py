"""The physics and the rules of Push-T."""

import os
from pathlib import Path

import numpy as np
import pytest

from envs.errors import ArgumentError
from envs.experts.demonstrations import read_demonstrations
from envs.push_t import PushT
from envs.push_t_blocks import BLOCKS, to_block, to_world
from envs.push_t_dynamics import ARENA, FAR_FACE, NEAR_FACE, Simulator, drive
from envs.two_room import TwoRoom

T = BLOCKS["T"]
SIMULATOR = Simulator(T, radius=15.0)
MIDDLE = ARENA / 2


def state_of(agent, block, angle=0.0):
    return np.array([*agent, *block, angle, 0, 0, 0, 0, 0], np.float64)


def centre_of_mass(state, block=T):
    return to_world(np.array(block.centre), state[2:4], state[4])


def towards_the_block(state, block=T):
    """The strongest action to the block's centre of mass."""
    offset = centre_of_mass(state, block) - state[:2]
    return offset / np.abs(offset).max()


def inside_walls(state, block=T):
    """How far the block's corners stay from the faces of the walls; negative inside them."""
    corners = to_world(block.corners(), state[2:4], state[4])
    return min(corners.min() - NEAR_FACE, FAR_FACE - corners.max())


def overlap(state, block=T, radius=15.0):
    """How far the disc is inside the block."""
    return radius - block.distance(to_block(state[:2], state[2:4], state[4]))


def play(simulator, state, actions):
    states = [state]
    for action in actions:
        states.append(simulator(states[-1], np.asarray(action)))
    return np.stack(states)


@pytest.mark.parametrize("action", [(0.5, -0.2), (-1.0, 1.0), (0.0, 0.0)])
def test_the_disc_comes_to_rest_at_its_target_without_overshooting(action):
    start, goal = 0.0, 100 * action[0]
    p, v, path = start, 0.0, []
    for _ in range(200):
        p, v = drive(p, v, goal)
        path.append(p)
    assert p == pytest.approx(goal, abs=1e-3)
    assert v == pytest.approx(0, abs=1e-2)
    assert np.abs(path).max() <= abs(goal) + 1e-9


def test_ten_substeps_of_the_pd_law_are_one_action():
    state = state_of((100, 100), (MIDDLE, MIDDLE))
    velocity, position = np.zeros(2), state[:2].copy()
    action = np.array([0.3, -0.6])
    target = position + 100 * action
    for _ in range(10):
        velocity = velocity + (100 * (target - position) - 20 * velocity) * 0.01
        position = position + velocity * 0.01
    after = SIMULATOR(state, action)
    np.testing.assert_allclose(after[[0, 1, 5, 6]], [*position, *velocity], rtol=1e-12)


def test_a_block_that_nothing_touches_stays_where_it_is_bit_for_bit():
    state = state_of((60, 60), (MIDDLE, MIDDLE), angle=0.7)
    states = play(SIMULATOR, state, [(0.2, 0.1)] * 3)
    np.testing.assert_array_equal(states[:, 2:5], np.tile(state[2:5], (4, 1)))


def test_a_disc_far_from_the_block_moves_as_in_the_full_simulation():
    state, target = state_of((60, 60), (300, 300), angle=0.7), (110.0, 80.0)
    simulated = SIMULATOR._simulate(state, target, near_wall=True)
    np.testing.assert_allclose(SIMULATOR(state, (np.array(target) - 60) / 100), simulated, rtol=0, atol=1e-9)


def test_a_push_through_the_centre_of_mass_moves_the_block_straight():
    state = state_of((MIDDLE, 150), (MIDDLE, 170))
    after = play(SIMULATOR, state, [(0.0, 0.5)] * 5)[-1]
    assert after[3] > state[3] + 30
    assert abs(after[2] - state[2]) < 1e-6
    assert min(after[4], 2 * np.pi - after[4]) < 1e-6


@pytest.mark.parametrize("side", [-1, 1])
def test_a_push_beside_the_centre_of_mass_turns_the_block_as_its_moment_says(side):
    arm = 40.0
    state = state_of((MIDDLE + side * arm, MIDDLE - 15), (MIDDLE, MIDDLE))
    after = play(SIMULATOR, state, [(0.0, 0.05)] * 2)[-1]
    turned = (after[4] + np.pi) % (2 * np.pi) - np.pi
    moved = centre_of_mass(after) - centre_of_mass(state)
    assert moved[1] > 0.5
    assert turned == pytest.approx(side * arm * moved[1] / T.moment, rel=0.05)


def test_a_block_that_is_no_longer_pushed_stands_still():
    pushed = play(SIMULATOR, state_of((MIDDLE, 150), (MIDDLE, 170)), [(0.0, 1.0)] * 3)[-1]
    assert pushed[8] > 100
    away = play(SIMULATOR, pushed, [(0.0, -1.0)] * 3)
    np.testing.assert_array_equal(away[2:, 7:], 0)
    np.testing.assert_array_equal(away[2, 2:5], away[3, 2:5])


def test_the_disc_goes_through_the_walls_to_the_edge_of_the_arena():
    for action in ((1, 1), (-1, -1), (1, -1), (-0.3, 1)):
        states = play(SIMULATOR, state_of((100, 400), (MIDDLE, 200)), [action] * 25)
        assert states[:, :2].min() >= 0
        assert states[:, :2].max() <= ARENA
        np.testing.assert_allclose(states[-1, :2], np.where(np.array(action) > 0, ARENA, 0), atol=0.01)


def test_a_disc_in_a_wall_pushes_a_block_away_from_it():
    state = state_of((MIDDLE, 5), (MIDDLE, 22))  # the block lies 15 units from the face of the wall, the disc behind it
    after = play(SIMULATOR, state, [(0.0, 0.1)] * 10)[-1]
    assert after[3] > state[3] + 30


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_that_is_pushed_at_a_wall_stops_there(name):
    block = BLOCKS[name]
    simulator = Simulator(block, radius=15.0)
    for direction in ((1, 0), (0, 1), (-1, 0), (0, -1)):
        centre = np.array([MIDDLE, MIDDLE]) + 130 * np.array(direction) - block.centre
        start = np.array([MIDDLE, MIDDLE]) + (130 - block.extent() - 20) * np.array(direction)
        states = play(simulator, state_of(start, centre), [np.array(direction)] * 40)
        # A substep at full speed is 3.8 units long, and a block that meets the wall is noticed one later. The disc does
        # not slow down in front of the wall, so that a block may turn by a little more.
        assert inside_walls(states[-1], block) > -4.5
        assert overlap(states[-1], block) - inside_walls(states[-1], block) < 8


def test_pressing_with_all_force_never_drives_the_block_out_of_the_arena():
    rng = np.random.default_rng(0)
    for seed in range(15):
        env = PushT(48)
        state = env.reset(seed=seed)[0]["state"]
        for step in range(60):
            action = towards_the_block(state) + 0.5 * (seed % 2) * rng.standard_normal(2)
            state = SIMULATOR(state, np.clip(-action if step % 20 > 15 else action, -1, 1))
            assert inside_walls(state) > -15
            assert env.observation_space["state"].contains(state)


@pytest.mark.parametrize("name", BLOCKS)
def test_each_step_is_a_function_of_state_and_action_even_in_contact(name):
    block, rng = BLOCKS[name], np.random.default_rng(0)
    used, other = Simulator(block, 15.0), Simulator(block, 15.0)
    contacts = 0
    for seed in range(6):
        state = PushT(48, name).reset(seed=seed)[0]["state"]
        for _ in range(50):
            action = np.clip(towards_the_block(state, block) + 0.3 * rng.standard_normal(2), -1, 1)
            after = used(state, action)
            np.testing.assert_array_equal(other(state, action), after)
            used(after, rng.uniform(-1, 1, 2))  # what it did in between does not matter
            contacts += overlap(after, block) > -0.5
            state = after
    assert contacts > 100


@pytest.mark.parametrize("angle", [0.0, 1e-300, -1e-17, 2 * np.pi, np.nextafter(2 * np.pi, 0), -3.0, 100.0])
def test_the_angle_of_a_state_is_in_one_turn_and_stays_as_it_is(angle):
    env = PushT(48)
    env.set_state(state_of((60, 60), (MIDDLE, MIDDLE), angle))
    state = env.state
    assert 0 <= state[4] < 2 * np.pi
    assert np.cos(state[4] - angle) == pytest.approx(1)
    env.set_state(state)
    np.testing.assert_array_equal(env.state, state)


def test_a_block_that_turns_past_zero_keeps_its_angle_in_one_turn():
    state = state_of((MIDDLE - 50, MIDDLE - 15), (MIDDLE, MIDDLE), angle=0.02)
    states = play(SIMULATOR, state, [(0.0, 0.2)] * 6)
    assert states[0, 4] < 0.1 and states[-1, 4] > 5
    assert np.all((states[:, 4] >= 0) & (states[:, 4] < 2 * np.pi))


def test_a_block_whose_angle_is_moved_turns_about_its_centre_of_mass():
    env, state = PushT(48), state_of((100, 120), (250, 260), angle=0.7)
    turned = env.moved(state, "block_angle", 1.1)
    assert turned[4] == pytest.approx(1.8)
    assert centre_of_mass(turned) == pytest.approx(centre_of_mass(state))
    assert np.linalg.norm(turned[2:4] - state[2:4]) > 10  # the origin of the block is not its centre
    np.testing.assert_array_equal(np.delete(turned, [2, 3, 4]), np.delete(state, [2, 3, 4]))


def test_a_published_state_of_seven_numbers_is_one_with_a_block_at_rest():
    env = PushT(48)
    env.set_state(np.arange(7.0) + 30)
    np.testing.assert_array_equal(env.state[[0, 1, 2, 3, 5, 6]], [30, 31, 32, 33, 35, 36])
    np.testing.assert_array_equal(env.state[7:], 0)


def test_a_recorded_state_of_five_numbers_is_one_at_rest():
    env = PushT(48)
    env.set_state(np.arange(5.0) + 1)
    np.testing.assert_array_equal(env.state, [1, 2, 3, 4, 5, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("state", [np.zeros(6), np.full(10, np.nan), np.full(10, 1e9)])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(ValueError, match="state"):
        PushT(48).set_state(state)


def test_success_counts_both_positions_together_and_the_shorter_way_round():
    env, goal = PushT(48), state_of((100, 100), (300, 300), angle=0.1)
    for change, reached in (
        ((19.9, 0, 0, 0, 0), True),
        ((0, 0, 0, 20.1, 0), False),
        ((14, 0, 14, 0, 0), True),
        ((15, 0, 15, 0, 0), False),
        ((0, 0, 0, 0, np.pi / 9 - 1e-6), True),
        ((0, 0, 0, 0, -np.pi / 9 + 1e-6 + 2 * np.pi), True),
        ((0, 0, 0, 0, np.pi / 9 + 1e-6), False),
    ):
        assert env.is_success(goal + np.pad(change, (0, 5)), goal) is reached


def test_success_ignores_velocities():
    goal = state_of((100, 100), (300, 300))
    assert PushT(48).is_success(goal + np.repeat([0, 50], 5), goal)


@pytest.mark.parametrize("name", BLOCKS)
def test_sampled_poses_are_apart_and_leave_the_disc_room_behind_the_block(name):
    env = PushT(48, name)
    env.reset(seed=0)
    for _ in range(100):
        state = env.sample_state()
        assert overlap(state, BLOCKS[name]) < 0
        assert inside_walls(state, BLOCKS[name]) >= 30
        np.testing.assert_array_equal(state[5:], 0)


def test_sampled_angles_cover_the_turn():
    env = PushT(48)
    env.reset(seed=0)
    angles = np.array([env.sample_state()[4] for _ in range(400)])
    assert np.histogram(angles, 8, (0, 2 * np.pi))[0].min() > 25


def test_centre_and_moment_are_those_of_the_union_of_the_rectangles():
    rng = np.random.default_rng(0)
    for name in BLOCKS.keys() - {"T"}:  # whose published mass is not spread evenly
        block = BLOCKS[name]
        points = rng.uniform(-100, 100, (400_000, 2))
        points = points[block.distance(points) == 0]
        np.testing.assert_allclose(points.mean(0), block.centre, atol=0.5)
        assert ((points - block.centre) ** 2).sum(1).mean() == pytest.approx(block.moment, rel=0.02)


def test_an_unknown_block_is_named():
    with pytest.raises(ValueError, match="no block 'S'; there are T, L"):
        PushT(48, block="S")


def test_a_larger_block_is_heavier_to_turn_and_a_larger_disc_keeps_farther_away():
    variation = {"block_scale": 1.25, "agent_radius": 20.0}
    env = PushT(48)
    env.reset(seed=0, options={"variation": variation, "state": state_of((MIDDLE, 150), (MIDDLE, 172))})
    assert env.simulator.block.moment == pytest.approx(1.25**2 * T.moment)
    for _ in range(4):
        env.step((0.0, 0.3))
    state = env.state
    assert state[3] > 172
    assert overlap(state, T.scaled(1.25), 20.0) == pytest.approx(0, abs=1)
    assert overlap(state, T.scaled(1.25), 15.0) < -4


CONTACTS = [
    (
        (80.219513, 346.126587, 216.443085, 351.053650, 1.469058871, -29.189295, 67.776622),
        ((84, 370), (90, 379), (93, 385), (106, 436), (114, 477)),
        (101.989693, 425.672821, 222.390106, 349.972076, 1.459159017),
    ),
    (
        (228.185303, 203.689484, 301.841553, 180.051575, 0.699066341, 90.469721, 81.208544),
        ((250, 221), (254, 222), (254, 222), (254, 222), (246, 213), (227, 194)),
        (242.940659, 210.539413, 311.171509, 187.140457, 0.600112021),
    ),
    (
        (160.163208, 409.051941, 193.367599, 338.068909, 0.949283004, 48.627171, -116.106892),
        ((173, 382), (174, 378), (175, 375), (179, 371), (179, 370), (179, 377), (170, 424)),
        (175.805756, 389.182648, 192.212128, 321.447052, 0.865880966),
    ),
]
"""The three shortest contacts in the demonstrations of Diffusion Policy (MIT; Copyright (c) 2023 Columbia Artificial
Intelligence and Robotics Lab) that move the block by more than 5 units: disc, block, angle and velocity of the disc
before, the targets of the disc, and disc, block and angle behind. The velocity follows from the rows around."""


@pytest.mark.parametrize(("before", "targets", "behind"), CONTACTS)
def test_a_recorded_contact_moves_the_block_as_in_the_published_environment(before, targets, behind):
    env = PushT(48)
    env.set_state(np.array(before))
    for target in targets:
        env.advance(env.action_towards(env.state, np.array(target)))
    np.testing.assert_allclose(env.state[:4], behind[:4], atol=0.02)
    assert env.state[4] == pytest.approx(behind[4], abs=2e-4)
    assert np.linalg.norm(env.state[2:4] - before[2:4]) > 5


ROOT = Path(__file__).parents[2]
DEMONSTRATIONS = Path(os.environ.get("PUSH_T_DEMONSTRATIONS", ROOT / "data" / "pusht_cchi_v7_replay.zarr"))


@pytest.mark.skipif(not DEMONSTRATIONS.exists(), reason=f"there are no demonstrations in {DEMONSTRATIONS}")
def test_the_demonstrations_played_again_end_where_they_were_recorded():
    env, found = PushT(48), read_demonstrations(DEMONSTRATIONS)
    near = []
    for states, targets in found:
        env.set_state(states[0])
        for target in targets:
            env.advance(np.clip(env.action_towards(env.state, target), -1, 1))
        turned = (env.state[4] - states[-1, 4] + np.pi) % (2 * np.pi) - np.pi
        near.append(np.linalg.norm(env.state[2:4] - states[-1, 2:4]) < 20 and abs(turned) < np.pi / 9)
    assert len(near) == 206
    assert sum(near) >= 204


def test_an_environment_without_targets_says_so():
    with pytest.raises(ArgumentError, match="TwoRoom aims at no target"):
        TwoRoom(48).action_towards(np.zeros(2), np.zeros(2))
