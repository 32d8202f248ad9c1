"""The pictures of Push-T."""

import numpy as np
import pytest

from envs.push_t import PushT
from envs.push_t_blocks import BLOCKS, to_world
from envs.push_t_drawing import Renderer

BLOCK_COLOR, AGENT_COLOR = (0, 200, 0), (200, 0, 0)
COLORS = {"block_color": BLOCK_COLOR, "agent_color": AGENT_COLOR, "background_color": (0, 0, 0), "agent_radius": 15.0}
AREAS = {"T": 6300, "L": 4950, "I": 3600, "Z": 3600, "plus": 4500, "square": 3600}


def renderer(name, frame_size, **variation):
    return Renderer(frame_size, 512.0, (7.0, 504.0), BLOCKS[name].rectangles, COLORS | variation)


def shares(frame, color):
    """(h, w) covered share of each pixel, from the one channel that only this color has."""
    channel = int(np.argmax(color))
    inner = frame.shape[1] * 8 // 512 + 1
    share = frame[..., channel] / 200
    share[:inner], share[-inner:], share[:, :inner], share[:, -inner:] = 0, 0, 0, 0  # the walls are grey
    return share


def centroid(share):
    """(2,) x, y in units of the pool."""
    centres = (np.arange(len(share)) + 0.5) * 512 / len(share)
    return np.array([share.sum(0) @ centres, share.sum(1) @ centres]) / share.sum()


def centre_of_area(name):
    axis = np.arange(-130.0, 130) + 0.5
    points = np.stack(np.meshgrid(axis, axis), -1)
    return points[BLOCKS[name].distance(points) == 0].mean(0)


@pytest.mark.parametrize("frame_size", [48, 64, 224, 512])
@pytest.mark.parametrize("name", BLOCKS)
def test_the_covered_area_is_the_area_of_the_block(name, frame_size):
    draw = renderer(name, frame_size)
    unit = 512 / frame_size
    for angle in np.linspace(0, 2 * np.pi, 13):
        frame = draw(np.array([60.0, 60.0]), np.array([261.3, 249.7]), angle)
        area = shares(frame, BLOCK_COLOR).sum() * unit**2
        assert area == pytest.approx(AREAS[name], rel=0.03 if frame_size < 100 else 0.01)


@pytest.mark.parametrize("frame_size", [48, 64, 224, 512])
def test_the_disc_covers_its_area(frame_size):
    draw = renderer("T", frame_size)
    for x in np.linspace(60, 75, 7):
        frame = draw(np.array([x, 64.3]), np.array([300.0, 300.0]), 0.3)
        area = shares(frame, AGENT_COLOR).sum() * (512 / frame_size) ** 2
        assert area == pytest.approx(np.pi * 15**2, rel=0.03)


@pytest.mark.parametrize("frame_size", [48, 64, 224, 512])
@pytest.mark.parametrize("name", BLOCKS)
def test_block_and_disc_are_drawn_where_they_are_to_a_fraction_of_a_pixel(name, frame_size):
    draw, centre = renderer(name, frame_size), centre_of_area(name)
    rng = np.random.default_rng(0)
    for _ in range(10):
        agent, position, angle = rng.uniform(40, 90, 2), rng.uniform(240, 300, 2), rng.uniform(0, 2 * np.pi)
        frame = draw(agent, position, angle)
        unit = 512 / frame_size
        assert np.abs(centroid(shares(frame, AGENT_COLOR)) - agent).max() < 0.1 * unit + 0.2
        wanted = to_world(centre, position, angle)
        assert np.abs(centroid(shares(frame, BLOCK_COLOR)) - wanted).max() < 0.1 * unit + 0.3


def test_a_small_frame_is_the_mean_of_a_large_one():
    state = PushT(64).reset(seed=2)[0]["state"]
    pixels = [PushT(size).reset(seed=2)[0]["pixels"].astype(float) for size in (64, 512)]
    assert state[0] > 0
    shrunk = pixels[1].reshape(64, 8, 64, 8, 3).mean((1, 3))
    assert np.abs(shrunk - pixels[0]).max() < 45  # at corners; a pixel's footprint is turned with the block
    assert np.abs(shrunk - pixels[0]).mean() < 0.5


def test_nothing_shows_between_the_rectangles_of_a_block():
    for name, block in BLOCKS.items():
        frame = renderer(name, 512)(np.array([60.0, 60.0]), np.array([256.0, 256.0]), 0.5)
        grid = np.stack(np.meshgrid(np.arange(-90, 125, 1.0), np.arange(-90, 125, 1.0)), -1).reshape(-1, 2)
        edges = np.array([[x, y] for x in (-3, 0, 3) for y in (-3, 0, 3)])
        deep = grid[(block.distance(grid[:, None] + edges) == 0).all(1)]
        columns, rows = np.floor(to_world(deep, np.array([256.0, 256.0]), 0.5)).astype(int).T
        assert np.all(frame[rows, columns] == BLOCK_COLOR)


def test_motion_of_a_twentieth_of_a_pixel_changes_the_picture():
    draw = renderer("T", 64)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        agent, position, angle = rng.uniform(40, 90, 2), rng.uniform(240, 300, 2), rng.uniform(0, 2 * np.pi)
        frame = draw(agent, position, angle)
        assert np.any(draw(agent + 0.3, position, angle) != frame)
        assert np.any(draw(agent, position + 0.3, angle) != frame)
        assert np.any(draw(agent, position, angle + 0.02) != frame)


def test_the_x_axis_points_right_and_the_y_axis_down():
    frame = renderer("T", 64)(np.array([100.0, 400.0]), np.array([300.0, 100.0]), 0.0)
    x, y = centroid(shares(frame, AGENT_COLOR))
    assert x == pytest.approx(100, abs=1)
    assert y == pytest.approx(400, abs=1)
    # At angle 0 the stem of the T points down.
    assert centroid(shares(frame, BLOCK_COLOR))[1] > 130


def test_angles_turn_x_towards_y():
    frame = renderer("T", 64)(np.array([60.0, 60.0]), np.array([300.0, 300.0]), np.pi / 2)
    assert centroid(shares(frame, BLOCK_COLOR))[0] < 270  # the stem, down before, now points left


@pytest.mark.parametrize("frame_size", [48, 100, 512])
def test_what_reaches_over_the_edge_of_the_picture_is_cut_off(frame_size):
    env = PushT(frame_size)
    for x, y in ((0, 0), (512, 512), (0, 512), (-60, 300), (300, 570)):
        env.set_state(np.array([np.clip(x, 0, 512), np.clip(y, 0, 512), x, y, 1.0, 0, 0]))
        assert env.render().shape == (frame_size, frame_size, 3)


def test_the_walls_frame_the_picture():
    env = PushT(512)
    frame = env.reset(seed=0)[0]["pixels"]
    for side in (frame[:7], frame[504:], frame[:, :7], frame[:, 504:]):
        assert np.all(side == (60, 66, 82))
    for edge in (frame[7, 7:504], frame[503, 7:504], frame[7:504, 7], frame[7:504, 503]):
        assert np.all(edge == (244, 243, 238))


def test_the_disc_is_drawn_over_the_block():
    frame = renderer("T", 224)(np.array([256.0, 270.0]), np.array([256.0, 256.0]), 0.0)
    assert shares(frame, AGENT_COLOR).sum() * (512 / 224) ** 2 == pytest.approx(np.pi * 15**2, rel=0.03)


@pytest.mark.parametrize("factor", ["agent_color", "block_color", "background_color"])
def test_each_color_is_that_of_its_own_part(factor):
    env = PushT(224)
    plain = env.reset(seed=0)[0]["pixels"].astype(int)
    changed = env.reset(seed=0, options={"variation": {factor: (1, 255, 2)}})[0]["pixels"].astype(int)
    before = tuple(PushT.default_variation[factor])
    full = (plain == before).all(2)
    assert full.any()
    assert np.abs(changed[full] - (1, 255, 2)).max() <= 1
    others = {"agent_color", "block_color", "background_color"} - {factor}
    for other in others:
        same = (plain == tuple(PushT.default_variation[other])).all(2)
        assert np.abs(plain[same] - changed[same]).max() <= 1  # what a neighbour covers by less than a level


def test_radius_and_scale_show_in_the_picture():
    wide = renderer("T", 224, agent_radius=20.0)(np.array([60.0, 60.0]), np.array([300.0, 300.0]), 0.3)
    assert shares(wide, AGENT_COLOR).sum() * (512 / 224) ** 2 == pytest.approx(np.pi * 20**2, rel=0.03)
    env, colors = PushT(224), {"block_color": (0, 200, 0), "background_color": (0, 0, 0)}
    state = np.array([60.0, 60.0, 256.0, 256.0, 0.4, 0, 0, 0, 0, 0])
    areas = []
    for scale in (0.75, 1.25):
        frame = env.reset(options={"variation": colors | {"block_scale": scale}, "state": state})[0]["pixels"]
        areas.append(shares(frame[50:], BLOCK_COLOR).sum())
    assert areas[1] / areas[0] == pytest.approx((1.25 / 0.75) ** 2, rel=0.02)
