"""Two-Room with its walls moved and its disc grown or shrunk: the same dynamics, and a picture that tells."""

import gymnasium as gym
import numpy as np
import pytest

from envs.experts.two_room import TwoRoomExpert
from envs.two_room import TwoRoom
from envs.two_room_drawing import Colors, draw
from envs.two_room_dynamics import ARENA, BORDER, DEFAULT, Layout, is_free, move, sample_free
from tests.envs.walls import clearance, random_directions, slow_move

LAYOUTS = {
    "wall to the left": Layout(wall_x=62),
    "door up and narrow": Layout(door_y=44, door_width=24, radius=9),
    "door down and wide": Layout(door_y=180, door_width=48, radius=4),
    "everything": Layout(wall_x=150.3, door_y=77.7, door_width=25.1, radius=8.2),
}


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return LAYOUTS[request.param]


def near_the_door(layout, num, rng):
    middle = np.array([layout.wall_x, layout.door_y])
    reach = np.array([20, layout.door_width / 2 + 16])
    position = np.clip(rng.uniform(middle - reach, middle + reach, (num, 2)), layout.low, layout.high)
    return position[is_free(position, layout)]


def test_discs_keep_their_radius_from_every_wall(layout):
    rng = np.random.default_rng(0)
    position = np.concatenate([sample_free(500, rng, layout), near_the_door(layout, 500, rng)])
    for step in range(40):
        if step % 6 == 0:
            action = random_directions(len(position), rng)
        position = move(position, action, layout)
        assert clearance(position, layout).min() >= -1e-5


def test_stops_and_slides_are_those_of_a_simulation_in_small_steps(layout):
    rng = np.random.default_rng(1)
    position = near_the_door(layout, 300, rng)
    action = random_directions(len(position), rng) * rng.uniform(0.2, 1.4, (len(position), 1))
    # A substep is 5 / 2000 long, and each of two or three contacts is off by about one of them.
    expected = slow_move(position, action, 2000, layout)
    np.testing.assert_allclose(move(position, action, layout), expected, atol=0.01)


def test_a_disc_may_be_where_it_keeps_its_radius_and_nowhere_else(layout):
    position = np.random.default_rng(0).uniform(0, ARENA, (20_000, 2))
    np.testing.assert_array_equal(is_free(position, layout), clearance(position, layout) >= 0)


def test_walls_and_disc_are_drawn_where_they_are(layout):
    colors = Colors(agent=(255, 0, 0), background=(0, 255, 0), wall=(0, 0, 255))
    position = np.array([[30.0, 60.0]])
    red, green, blue = (draw(position, 448, layout, colors)[0][..., i].sum() / 255 / 4 for i in range(3))
    (left, right), (top, bottom) = layout.wall, layout.door
    inside = (ARENA - 2 * BORDER) ** 2
    wall = (right - left) * (ARENA - 2 * BORDER - (bottom - top))
    assert red == pytest.approx(np.pi * layout.radius**2, rel=0.01)
    assert green == pytest.approx(inside - wall - red, rel=0.001)
    assert blue == pytest.approx(ARENA**2 - inside + wall, rel=0.001)


def test_the_expert_without_noise_finds_the_door_where_it_is(layout):
    rng = np.random.default_rng(0)
    names = {"wall_x": layout.wall_x, "door_y": layout.door_y, "door_width": layout.door_width}
    env = TwoRoom(frame_size=48)
    env.reset(seed=0, options={"variation": {**names, "agent_radius": layout.radius}})
    expert = TwoRoomExpert(noise_std=0.0, repeat_probability=0.0).begin(env, rng)
    position, goal = sample_free(300, rng, layout), sample_free(300, rng, layout)
    for _ in range(120):
        position = move(position, expert(position, goal, np.zeros((300, 2)), rng), layout)
    assert np.linalg.norm(position - goal, axis=1).max() < 5


def test_the_expert_of_an_episode_without_variation_is_itself():
    """Only then can it play many episodes at once."""
    env, expert = TwoRoom(), TwoRoomExpert()
    env.reset(seed=0)
    assert expert.begin(env, np.random.default_rng(0)) is expert
    env.reset(seed=0, options={"variation": ["door_y"]})
    assert expert.begin(env, np.random.default_rng(0)) is not expert


def test_a_step_meets_the_walls_where_they_are():
    env = TwoRoom()
    env.reset(options={"state": (50, 50), "variation": {"wall_x": 70, "agent_radius": 9}})
    for _ in range(5):
        env.advance(np.array([1.0, 0.0]))
    np.testing.assert_allclose(env.state, (70 - 5 - 9, 50), atol=1e-5)


def test_a_start_inside_the_wall_of_the_variation_is_refused():
    env = TwoRoom()
    with pytest.raises(ValueError, match="inside a wall"):
        env.reset(options={"state": (70, 50), "variation": {"wall_x": 70}})
    with pytest.raises(ValueError, match="inside a wall"):
        env.reset(options={"goal_state": (70, 50), "variation": {"wall_x": 70}})


def test_colors_are_those_asked_for():
    env = TwoRoom()
    asked = {"agent_color": (1, 2, 3), "background_color": (9, 8, 7), "wall_color": (4, 5, 6)}
    frame = env.reset(options={"state": (56, 56), "variation": asked})[0]["pixels"]
    assert frame[16, 16].tolist() == [1, 2, 3]
    assert frame[40, 16].tolist() == [9, 8, 7]
    assert frame[0, 0].tolist() == frame[5, 32].tolist() == [4, 5, 6]


def test_many_discs_at_once_refuse_what_they_would_not_do():
    env = gym.make_vec("lewm/TwoRoom-v0", 2)
    with pytest.raises(ValueError, match="'variation'"):
        env.reset(options={"variation": "all"})


def test_the_default_layout_is_that_of_the_paper():
    assert (DEFAULT.wall, DEFAULT.door, DEFAULT.radius) == ((107.0, 117.0), (96.0, 128.0), 7.0)


def test_many_discs_at_once_refuse_an_argument_that_they_do_not_have():
    with pytest.raises(TypeError, match="taste"):
        gym.make_vec("lewm/TwoRoom-v0", 2, taste=1)
