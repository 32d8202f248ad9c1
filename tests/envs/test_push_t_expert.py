"""The experts of Push-T: they reach their goals by ways around the block, and one moves as a person does."""

import numpy as np
import pytest

from envs.experts import EXPERTS
from envs.experts.push_t import PushTExpert
from envs.experts.push_t_brisk import BriskPushTExpert
from envs.experts.push_t_disc import PushTDiscExpert
from envs.experts.push_t_pushing import Pusher
from envs.experts.push_t_routes import Routes
from envs.push_t import PushT
from envs.push_t_blocks import BLOCKS, to_world
from envs.push_t_dynamics import ACTION_SCALE, Simulator
from lewm.config import build
from tests.registries import ENVS

RADIUS = 15.0
SIMULATOR = Simulator(BLOCKS["T"], RADIUS)


def state_of(agent, block, angle=0.0):
    return np.array([*agent, *block, angle, 0, 0, 0, 0, 0], np.float64)


STEADY = PushTExpert(noise_std=0.0, pause_probability=0.0, speed=0.8)
STEADY_AND_SLOW = PushTExpert(noise_std=0.0, pause_probability=0.0, speed=0.2, walk_speed=0.8)
BRISK = BriskPushTExpert(noise_std=0.0, repeat_probability=0.0, speed=1.0)


@pytest.mark.parametrize("chosen", [STEADY, BRISK], ids=["steady", "brisk"])
@pytest.mark.parametrize(("name", "variation"), [("T", {}), ("L", {}), ("T", {"block_scale": 0.8, "agent_radius": 19})])
def test_the_expert_reaches_its_goals_without_noise(chosen, name, variation):
    env, reached = PushT(48, name), 0
    for seed in range(8):
        observation, info = env.reset(seed=seed, options={"variation": variation})
        rng = np.random.default_rng(seed)
        expert = chosen.begin(env, rng)
        state, goal, action = observation["state"], info["goal_state"], np.zeros((1, 2), np.float32)
        for _ in range(300):
            action = expert(state[None], goal[None], action, rng)
            env.advance(action[0].astype(np.float64))
            state = env.state
            if env.is_success(state, goal):
                reached += 1
                break
    assert reached >= 7


def steps_of_the_disc(start, goal, num_steps=30):
    """States from `start` on, under the policy that sees the disc alone."""
    env, states, action = PushT(48), [start], np.zeros((1, 2), np.float32)
    env.set_state(start)
    for _ in range(num_steps):
        action = PushTDiscExpert()(env.state[None], goal[None], action, np.random.default_rng(0))
        env.advance(action[0].astype(np.float64))
        states.append(env.state)
    return np.array(states)


def test_the_disc_alone_goes_to_its_place_and_leaves_a_distant_block_where_it_is():
    start, goal = state_of((60, 60), (330, 330), 0.5), state_of((110, 200), (300, 300), 2.0)
    end = steps_of_the_disc(start, goal)[-1]
    np.testing.assert_allclose(end[:2], goal[:2], atol=0.5)
    np.testing.assert_array_equal(end[2:5], start[2:5])


def test_the_disc_alone_does_not_look_at_the_block_of_the_goal():
    start = state_of((60, 250), (256, 256), 0.5)
    first, second = (
        steps_of_the_disc(start, state_of((400, 250), *block)) for block in (((300, 256),), ((100, 90), 2.0))
    )
    np.testing.assert_array_equal(first, second)
    assert np.linalg.norm(first[-1, 2:4] - start[2:4]) > 20  # it pushes what is in its way


def test_a_slower_brisk_expert_moves_less_in_a_step():
    start, goal = state_of((60, 60), (350, 350)), state_of((60, 60), (150, 150), angle=2.0)
    moved = []
    for speed in (0.25, 0.5, 1.0):
        expert = BriskPushTExpert(noise_std=0.0, repeat_probability=0.0, speed=speed)
        action = expert(start[None], goal[None], np.zeros((1, 2), np.float32), np.random.default_rng(0))
        moved.append(np.linalg.norm(SIMULATOR(start, action[0].astype(np.float64))[:2] - start[:2]))
    assert moved[1] == pytest.approx(2 * moved[0], rel=1e-6)
    assert moved[2] == pytest.approx(2 * moved[1], rel=1e-6)


def test_the_expert_repeats_its_previous_action_as_often_as_it_says():
    state = np.tile(state_of((60, 60), (350, 350)), (2000, 1))
    previous = np.full((2000, 2), 0.123, np.float32)
    action = BriskPushTExpert(repeat_probability=0.2)(state, state, previous, np.random.default_rng(0))
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


def walk(expert, num_steps, seed=0):
    """(num_steps + 1, 10) states and (num_steps, 2) targets of a disc that has the whole arena before it."""
    env, rng = PushT(48), np.random.default_rng(seed)
    env.reset(seed=0, options={"state": state_of((40, 40), (256, 300)), "goal_state": state_of((470, 40), (256, 300))})
    policy, states, targets = expert.begin(env, rng), [env.state], []
    action, goal = np.zeros((1, 2), np.float32), state_of((470, 40), (256, 300))
    for _ in range(num_steps):
        action = policy(states[-1][None], goal[None], action, rng)
        targets.append(states[-1][:2] + ACTION_SCALE * action[0])
        env.advance(action[0].astype(np.float64))
        states.append(env.state)
    return np.stack(states), np.stack(targets)


@pytest.mark.parametrize("speed", [0.2, 0.4, 0.8])
def test_a_disc_that_is_led_comes_to_the_speed_that_is_asked_for(speed):
    states, targets = walk(PushTExpert(walk_speed=speed, noise_std=0.0, pause_probability=0.0), 12)
    assert np.linalg.norm(np.diff(states[-4:, :2], axis=0), axis=1) == pytest.approx(speed * 22, rel=0.05)
    assert np.linalg.norm(np.diff(targets[-4:], axis=0), axis=1) == pytest.approx(speed * 22, rel=0.1)


def test_the_drift_of_the_hand_is_correlated_from_step_to_step():
    still = state_of((40, 40), (256, 300))
    env, rng = PushT(48), np.random.default_rng(0)
    env.reset(seed=0, options={"state": still, "goal_state": still})
    policy = PushTExpert(noise_std=0.05, noise_correlation=0.9, pause_probability=0.0).begin(env, rng)
    drift = np.concatenate([policy(still[None], still[None], np.zeros((1, 2)), rng) for _ in range(4000)])
    assert drift.std() == pytest.approx(0.05, rel=0.15)
    assert (drift[1:] * drift[:-1]).mean() / (drift**2).mean() == pytest.approx(0.9, abs=0.02)


def test_the_target_stays_where_it_is_in_a_pause():
    expert = PushTExpert(noise_std=0.0, pause_probability=0.1, pause_steps=5.0)
    paused = []
    for seed in range(40):
        _, targets = walk(expert, 40, seed)
        stays = np.linalg.norm(np.diff(targets, axis=0), axis=1) < 1e-4
        paused.append(stays.mean())
    assert np.mean(paused) == pytest.approx(0.5 / 1.5, abs=0.1)  # pauses of 5 steps, 10 steps apart


HUMAN = {"disc": 7.9, "target": 8.1, "moved": 28.6, "turned": 13.0, "moving": 0.71, "staying": 0.061}
"""Of the 206 demonstrations of Diffusion Policy: see statistics()."""


def statistics(episodes):
    """Medians and shares of episodes of (L+1, 10) states and (L, 2) targets.

    Returns:
      disc, target: units a step; moved, turned: units and degrees of the block in 25 steps; moving: share of windows of
      25 steps in which it moves by more than 20 units or turns by more than 20 degrees; staying: share in which it does
      neither by 1.
    """
    pairs = [(states[25:], states[:-25]) for states, _ in episodes if len(states) > 25]
    after, before = (np.concatenate(each) for each in zip(*pairs, strict=True))
    moved = np.linalg.norm(after[:, 2:4] - before[:, 2:4], axis=1)
    turned = np.degrees(np.abs((after[:, 4] - before[:, 4] + np.pi) % (2 * np.pi) - np.pi))
    steps = [
        np.concatenate([np.linalg.norm(np.diff(x[:, :2], axis=0), axis=1) for x in each])
        for each in zip(*episodes, strict=True)
    ]
    return {
        "disc": np.median(steps[0]),
        "target": np.median(steps[1]),
        "moved": np.median(moved),
        "turned": np.median(turned),
        "moving": ((moved > 20) | (turned > 20)).mean(),
        "staying": ((moved < 1) & (turned < 1)).mean(),
    }


def play(env, expert, max_steps, seed):
    """(L+1, 10) states and (L, 2) targets of an episode, and whether its goal is reached."""
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    policy, goal = expert.begin(env, rng), info["goal_state"]
    states, targets, action = [observation["state"]], [], np.zeros((1, 2), np.float32)
    while len(targets) < max_steps and not env.is_success(states[-1], goal):
        action = policy(states[-1][None], goal[None], action, rng)
        targets.append(states[-1][:2] + ACTION_SCALE * action[0])
        env.advance(action[0].astype(np.float64))
        states.append(env.state)
    return (np.stack(states), np.stack(targets)), env.is_success(states[-1], goal)


def test_a_disc_that_is_led_pushes_at_its_own_speed():
    states = np.concatenate([play(PushT(48), STEADY_AND_SLOW, 200, seed)[0][0] for seed in range(4)])
    disc, block = (np.abs(np.diff(states[:, columns], axis=0)) for columns in ([0, 1], [2, 3, 4]))
    pushes, walks = block.max(1) > 0.5, block.max(1) == 0
    pushing, walking = (np.median(np.linalg.norm(disc[chosen], axis=1)) for chosen in (pushes, walks))
    assert pushing == pytest.approx(0.2 * 22, rel=0.25)
    assert walking > 2 * pushing


@pytest.mark.slow
def test_the_default_expert_moves_like_a_person_and_reaches_its_goals():
    collection, env = ENVS["push_t"].collection, PushT(48)
    expert = build(EXPERTS, collection.expert, "expert")
    played = [play(env, expert, collection.max_steps, seed) for seed in range(300)]
    found = statistics([episode for episode, _ in played])
    for name, value in HUMAN.items():
        assert found[name] == pytest.approx(value, rel=0.2), (name, found)
    assert np.mean([reached for _, reached in played]) >= 0.7
