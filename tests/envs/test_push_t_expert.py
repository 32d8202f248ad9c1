"""The expert of Push-T: it reaches its goals, and by ways around the block."""

import numpy as np
import pytest

from envs.experts.push_t import Pusher, PushTExpert
from envs.experts.push_t_routes import Routes
from envs.push_t import PushT
from envs.push_t_blocks import BLOCKS, to_world
from envs.push_t_dynamics import Simulator

RADIUS = 15.0
SIMULATOR = Simulator(BLOCKS["T"], RADIUS)


def state_of(agent, block, angle=0.0):
    return np.array([*agent, *block, angle, 0, 0, 0, 0, 0], np.float64)


@pytest.mark.parametrize(("name", "variation"), [("T", {}), ("L", {}), ("T", {"block_scale": 0.8, "agent_radius": 19})])
def test_the_expert_reaches_its_goals_without_noise(name, variation):
    env, reached = PushT(48, name), 0
    for seed in range(8):
        observation, info = env.reset(seed=seed, options={"variation": variation})
        rng = np.random.default_rng(seed)
        expert = PushTExpert(noise_std=0.0, repeat_probability=0.0, speed=1.0).begin(env, rng)
        state, goal, action = observation["state"], info["goal_state"], np.zeros((1, 2), np.float32)
        for _ in range(300):
            action = expert(state[None], goal[None], action, rng)
            env.advance(action[0].astype(np.float64))
            state = env.state
            if env.is_success(state, goal):
                reached += 1
                break
    assert reached >= 7


def test_a_slower_expert_moves_less_in_a_step():
    start, goal = state_of((60, 60), (350, 350)), state_of((60, 60), (150, 150), angle=2.0)
    moved = []
    for speed in (0.25, 0.5, 1.0):
        expert = PushTExpert(noise_std=0.0, repeat_probability=0.0, speed=speed)
        action = expert(start[None], goal[None], np.zeros((1, 2), np.float32), np.random.default_rng(0))
        moved.append(np.linalg.norm(SIMULATOR(start, action[0].astype(np.float64))[:2] - start[:2]))
    assert moved[1] == pytest.approx(2 * moved[0], rel=1e-6)
    assert moved[2] == pytest.approx(2 * moved[1], rel=1e-6)


def test_the_expert_repeats_its_previous_action_as_often_as_it_says():
    state = np.tile(state_of((60, 60), (350, 350)), (2000, 1))
    previous = np.full((2000, 2), 0.123, np.float32)
    action = PushTExpert(repeat_probability=0.2)(state, state, previous, np.random.default_rng(0))
    # The standard deviation of the share is 0.009.
    assert (action == previous).all(1).mean() == pytest.approx(0.2, abs=0.036)


@pytest.mark.parametrize("name", BLOCKS)
def test_the_disc_fits_in_at_every_contact_and_touches_the_block_there(name):
    contacts = Routes(BLOCKS[name], RADIUS).contacts
    assert len(contacts.points) > 10
    np.testing.assert_allclose(BLOCKS[name].distance(contacts.points - RADIUS * contacts.normals), RADIUS, atol=1e-6)
    np.testing.assert_allclose(BLOCKS[name].distance(contacts.points), 0, atol=1e-9)


@pytest.mark.parametrize("name", BLOCKS)
def test_ways_keep_off_the_block_and_are_not_shorter_than_straight_ones(name):
    block, rng = BLOCKS[name], np.random.default_rng(0)
    routes = Routes(block, RADIUS)
    usable = np.ones(len(routes.nodes), bool)
    for start in rng.uniform(-150, 150, (30, 2)):
        if block.distance(start) < RADIUS:
            continue
        lengths, firsts = routes.to_contacts(start, usable)
        assert np.isfinite(lengths).all()
        assert np.all(lengths >= np.linalg.norm(routes.contacts.discs - start, axis=1) - 1e-9)
        shares = np.linspace(0, 1, 50)[:, None, None]
        # The ways may cut into the disc's distance by 2 units, where it slides along the block.
        assert block.distance((1 - shares) * start + shares * firsts).min() > RADIUS - 2.1


def test_following_the_way_from_turn_to_turn_leads_behind_the_block():
    routes = Routes(BLOCKS["T"], RADIUS)
    usable = np.ones(len(routes.nodes), bool)
    position, goal, length = np.array([0.0, -40.0]), np.array([0.0, 160.0]), 0.0
    for _ in range(10):
        turn = routes.to_point(position, goal, usable)
        length += np.linalg.norm(turn - position)
        position = turn
    np.testing.assert_array_equal(position, goal)
    assert 250 < length < 400


def test_a_way_avoids_the_nodes_that_are_not_usable():
    routes = Routes(BLOCKS["T"], RADIUS)
    right_only = routes.nodes[:, 0] > 0
    turn = routes.to_point(np.array([-10.0, -40.0]), np.array([-60.0, 160.0]), right_only)
    assert turn[0] > 0


@pytest.mark.parametrize("contact", range(0, 40, 5))
def test_the_arc_that_the_expert_foresees_is_the_way_that_the_block_takes(contact):
    pusher = Pusher(BLOCKS["T"], RADIUS, speed=1.0)
    contacts = pusher.routes.contacts
    normal, point = contacts.normals[contact], contacts.points[contact]
    state = state_of((0, 0), (256, 256), angle=0.4)
    state[:2] = to_world(point - RADIUS * normal, state[2:4], state[4])
    after = state
    direction = to_world(normal, np.zeros(2), state[4])
    for _ in range(4):  # slowly straight on: the disc slides along the edge while the block turns
        after = SIMULATOR(after, 0.05 * direction)
    moved = to_world(pusher.centre, after[2:4], after[4]) - to_world(pusher.centre, state[2:4], state[4])
    turned = (after[4] - state[4] + np.pi) % (2 * np.pi) - np.pi
    assert moved @ direction == pytest.approx(np.linalg.norm(moved), rel=0.02)
    assert turned == pytest.approx(pusher.curvatures[contact] * np.linalg.norm(moved), abs=0.015)


@pytest.mark.parametrize("speed", [0.0, 1.5, float("nan")])
def test_a_speed_that_a_disc_cannot_have_is_refused(speed):
    with pytest.raises(ValueError, match="speed="):
        PushTExpert(speed=speed)
