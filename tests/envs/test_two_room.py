"""The dynamics, the picture and the rules of Two-Room."""

import gymnasium as gym
import numpy as np
import pytest

from envs.experts.two_room import TwoRoomExpert
from envs.two_room import SUCCESS_DISTANCE, TwoRoom
from envs.two_room_drawing import draw
from envs.two_room_dynamics import ARENA, DEFAULT, MAX_SPEED, is_free, move, sample_free
from tests.envs.walls import clearance, nearest_wall, random_directions, slow_move

WALL, DOOR, RADIUS = DEFAULT.wall, DEFAULT.door, DEFAULT.radius
LOW, HIGH = DEFAULT.low, DEFAULT.high


def starts_near_the_door(num, rng):
    position = rng.uniform((WALL[0] - 16, DOOR[0] - 16), (WALL[1] + 16, DOOR[1] + 16), (num, 2))
    return position[is_free(position)]


def starts_that_touch(num, rng):
    """Centres exactly RADIUS from the wall's faces, from the sides of the door and from its corners."""
    rows, columns = rng.uniform(LOW, HIGH, num), rng.uniform(*WALL, num)
    angle = rng.uniform(0, 2 * np.pi, num)
    corners = np.array([[x, y] for x in WALL for y in DOOR])[rng.integers(4, size=num)]
    position = np.concatenate(
        [
            *(np.stack([np.full(num, x), rows], 1) for x in (WALL[0] - RADIUS, WALL[1] + RADIUS)),
            *(np.stack([columns, np.full(num, y)], 1) for y in (DOOR[0] + RADIUS, DOOR[1] - RADIUS)),
            corners + RADIUS * np.stack([np.cos(angle), np.sin(angle)], 1),
            np.array([[x, y] for x in (LOW, WALL[0] - RADIUS, WALL[1] + RADIUS, HIGH) for y in (LOW, HIGH)]),
        ]
    )
    return position[is_free(position)]


@pytest.fixture(scope="module", params=["anywhere", "near the door", "touching a wall"])
def trajectory(request):
    """(steps + 1, N, 2) positions of discs that run about in directions they hold for a while."""
    rng = np.random.default_rng(0)
    starts = {"anywhere": sample_free, "near the door": starts_near_the_door, "touching a wall": starts_that_touch}
    positions = [starts[request.param](1000, rng)]
    for step in range(60):
        if step % 6 == 0:
            action = random_directions(len(positions[0]), rng) * rng.uniform(0.2, 1.4, (len(positions[0]), 1))
        positions.append(move(positions[-1], action))
    return np.stack(positions)


def test_discs_keep_their_radius_from_every_wall(trajectory):
    for position in trajectory:
        assert clearance(position).min() >= -1e-5


def test_rooms_are_changed_through_the_door_only(trajectory):
    middle = sum(WALL) / 2
    before, after = trajectory[:-1], trajectory[1:]
    crossed = np.sign(before[..., 0] - middle) != np.sign(after[..., 0] - middle)
    rows = np.concatenate([before[crossed][:, 1], after[crossed][:, 1]])
    assert len(rows) > 0
    assert rows.min() >= DOOR[0] + RADIUS - 1e-5
    assert rows.max() <= DOOR[1] - RADIUS + 1e-5


def test_a_step_leads_no_further_than_the_greatest_speed(trajectory):
    assert np.linalg.norm(np.diff(trajectory, axis=0), axis=2).max() <= MAX_SPEED + 1e-9


@pytest.mark.parametrize("starts", [starts_near_the_door, starts_that_touch])
def test_stops_and_slides_are_those_of_a_simulation_in_small_steps(starts):
    rng = np.random.default_rng(1)
    position = starts(600, rng)
    action = random_directions(len(position), rng) * rng.uniform(0.2, 1.4, (len(position), 1))
    # A substep is 5 / 2000 long, and each of two or three contacts is off by about one of them.
    np.testing.assert_allclose(move(position, action), slow_move(position, action, num_substeps=2000), atol=0.01)


def test_free_discs_move_by_the_action_times_the_greatest_speed():
    start = np.array([[50.0, 60.0]])
    np.testing.assert_allclose(move(start, [[0.3, -0.4]]), [[51.5, 58.0]], rtol=0, atol=1e-12)


def test_long_actions_are_shortened_to_length_one():
    start = np.array([[50.0, 60.0]])
    for action in ([[1, 1]], [[7, 1e9]], [[np.inf, np.inf]]):
        np.testing.assert_allclose(move(start, action), start + MAX_SPEED / np.sqrt(2), rtol=0, atol=1e-9)


def test_a_disc_slides_along_a_wall_that_it_is_pushed_into():
    position = np.array([[WALL[0] - RADIUS, 50.0]])
    moved = move(position, [[0.6, 0.8]])
    np.testing.assert_allclose(moved, [[WALL[0] - RADIUS, 50 + 0.8 * MAX_SPEED]], atol=1e-5)


def test_a_disc_that_meets_a_corner_head_on_stays_there():
    direction = np.array([0.6, -0.8])  # from the left room, up to the corner over the door
    corner = np.array([WALL[0], DOOR[0]])
    position = (corner - (RADIUS + 2) * direction)[None]
    np.testing.assert_allclose(move(position, direction[None]), (corner - RADIUS * direction)[None], atol=1e-4)


def test_pushing_into_a_wall_for_long_does_not_pass_it():
    rng = np.random.default_rng(0)
    start = starts_that_touch(200, rng)
    normal = nearest_wall(start)[1]
    position = start
    for _ in range(300):
        position = move(position, -normal)
    assert clearance(position).min() >= -1e-5


def test_discs_do_not_influence_one_another():
    rng = np.random.default_rng(0)
    position, action = starts_near_the_door(100, rng), None
    action = random_directions(len(position), rng)
    together = move(position, action)
    alone = np.concatenate([move(position[i : i + 1], action[i : i + 1]) for i in range(len(position))])
    np.testing.assert_array_equal(together, alone)


def test_moving_does_not_write_into_its_arguments():
    position, action = np.array([[99.0, 50.0]]), np.array([[3.0, 0.5]])
    move(position, action)
    assert position.tolist() == [[99.0, 50.0]]
    assert action.tolist() == [[3.0, 0.5]]


def test_a_disc_may_be_where_it_keeps_its_radius_and_nowhere_else():
    position = np.random.default_rng(0).uniform(0, ARENA, (20_000, 2))
    np.testing.assert_array_equal(is_free(position), clearance(position) >= 0)


def test_random_positions_fill_both_rooms_and_the_door():
    position = sample_free(5000, np.random.default_rng(0))
    assert is_free(position).all()
    left, right = (position[:, 0] < WALL[0] - RADIUS).mean(), (position[:, 0] > WALL[1] + RADIUS).mean()
    assert 0.4 < left < 0.55 and 0.4 < right < 0.55
    assert np.any((position[:, 0] > WALL[0]) & (position[:, 0] < WALL[1]))


@pytest.mark.parametrize("state", [(112.0, 50.0), (101.0, 60.0), (106.0, 95.0), (5.0, 50.0), (50.0, 400.0)])
def test_a_state_inside_a_wall_is_refused(state):
    env = TwoRoom()
    with pytest.raises(ValueError, match="inside a wall"):
        env.set_state(np.array(state))


def test_success_is_less_than_the_distance_of_the_task():
    env = TwoRoom()
    goal = np.array([50.0, 50.0])
    for direction in random_directions(20, np.random.default_rng(0)):
        assert env.is_success(goal + (SUCCESS_DISTANCE - 1e-3) * direction, goal)
        assert not env.is_success(goal + (SUCCESS_DISTANCE + 1e-3) * direction, goal)


def test_an_episode_terminates_with_a_reward_when_the_goal_is_reached():
    env = TwoRoom()
    _, info = env.reset(seed=0)
    env.set_state(info["goal_state"])
    _, reward, terminated, truncated, _ = env.step(np.zeros(2, np.float32))
    assert (reward, terminated, truncated) == (1.0, True, False)


@pytest.mark.parametrize("frame_size", [48, 64, 224])
def test_the_disc_is_drawn_where_it_is_to_a_fraction_of_a_pixel(frame_size):
    unit = ARENA / frame_size
    position = np.random.default_rng(0).uniform((30, 30), (80, 190), (50, 2))  # away from the edges of the walls
    redness = draw(position, frame_size).astype(np.float64)
    redness = np.abs(redness - draw(np.array([[180.0, 112.0]]), frame_size).astype(np.float64)).sum(3)
    redness[:, :, frame_size // 2 :] = 0
    centres = (np.arange(frame_size) + 0.5) * unit
    found = np.stack([redness.sum(1) @ centres, redness.sum(2) @ centres], 1) / redness.sum((1, 2))[:, None]
    assert np.abs(found - position).max() < 0.1 * unit


def test_motion_of_a_twentieth_of_a_pixel_changes_the_picture():
    unit = ARENA / 64
    position = np.random.default_rng(0).uniform((30, 30), (80, 190), (50, 2))
    for direction in ((1, 0), (0, 1), (-0.7, 0.7)):
        changed = draw(position, 64) != draw(position + 0.05 * unit * np.array(direction), 64)
        assert np.any(changed, axis=(1, 2, 3)).all()


def test_the_x_axis_points_right_and_the_y_axis_down():
    frame, empty = draw(np.array([[40.0, 180.0], [180.0, 40.0]]), 64).astype(int)
    rows, columns = np.nonzero(np.abs(frame - empty).sum(2)[:, :32])
    assert rows.mean() == pytest.approx(180 / ARENA * 64 - 0.5, abs=0.5)
    assert columns.mean() == pytest.approx(40 / ARENA * 64 - 0.5, abs=0.5)


def test_discs_at_every_edge_are_drawn_whole():
    inside = np.array([[x, y] for x in (LOW, HIGH) for y in (LOW, HIGH)])
    frames = draw(inside, 64).astype(int)
    empty = draw(np.array([[60.0, 112.0]]), 64).astype(int)
    area = [
        np.abs(frame - empty).sum(2)[edge].astype(bool).sum() for frame in frames for edge in (np.s_[:20], np.s_[44:])
    ]
    assert sorted(np.reshape(area, (4, 2)).max(1)) == pytest.approx([np.max(area)] * 4, rel=0.35)


@pytest.mark.parametrize("frame_size", [0, 47, 513])
def test_frames_of_a_size_it_cannot_draw_are_refused(frame_size):
    with pytest.raises(ValueError, match=str(frame_size)):
        TwoRoom(frame_size=frame_size)


def test_nothing_resets_by_itself_in_the_vector_environment():
    env = gym.make_vec("lewm/TwoRoom-v0", 16, frame_size=48)
    observation, info = env.reset(seed=0)
    expert = TwoRoomExpert(noise_std=0.0, repeat_probability=0.0)
    position, goal, ended = observation["state"], info["goal_state"], np.zeros(16, bool)
    for _ in range(120):
        action = expert(position, goal, np.zeros((16, 2), np.float32), np.random.default_rng(0))
        observation, _, terminated, truncated, info = env.step(action)
        np.testing.assert_array_equal(info["goal_state"], goal)
        assert np.linalg.norm(observation["state"] - position, axis=1).max() <= MAX_SPEED + 1e-9
        assert not truncated.any()
        position, ended = observation["state"], ended | terminated
    assert ended.all()


def test_the_expert_without_noise_takes_the_shortest_way():
    rng = np.random.default_rng(0)
    expert = TwoRoomExpert(noise_std=0.0, repeat_probability=0.0)
    start, goal = sample_free(500, rng), sample_free(500, rng)
    door = np.array([sum(WALL) / 2, sum(DOOR) / 2])
    same_room = np.sign(start[:, 0] - door[0]) == np.sign(goal[:, 0] - door[0])
    by_the_door = np.linalg.norm(start - door, axis=1) + np.linalg.norm(door - goal, axis=1)
    budget = np.where(same_room, np.linalg.norm(start - goal, axis=1), by_the_door) / MAX_SPEED
    position, steps = start, np.zeros(500)
    for _ in range(100):
        away = np.linalg.norm(position - goal, axis=1) >= SUCCESS_DISTANCE
        steps += away
        position = np.where(away[:, None], move(position, expert(position, goal, np.zeros((500, 2)), rng)), position)
    assert not np.any(np.linalg.norm(position - goal, axis=1) >= SUCCESS_DISTANCE)
    assert (steps <= 1.2 * budget + 5).mean() > 0.95


def test_the_expert_repeats_its_previous_action_as_often_as_it_says():
    rng = np.random.default_rng(0)
    state, goal = sample_free(20_000, rng), sample_free(20_000, rng)
    previous = np.full((20_000, 2), 0.123, np.float32)
    action = TwoRoomExpert(noise_std=2.0, repeat_probability=0.05)(state, goal, previous, rng)
    # The standard deviation of the share is 0.0015.
    assert (action == previous).all(1).mean() == pytest.approx(0.05, abs=0.006)
