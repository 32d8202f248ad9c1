"""The dynamics, the picture and the rules of Cube."""

import numpy as np
import pytest

from envs.cube import CUBE_POSITION, SUCCESS_DISTANCE, Cube
from envs.experts.cube import CubeExpert
from envs.mujoco_gl import why_unavailable

MISSING = why_unavailable() or ""
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def random_actions(num_steps, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (num_steps, 5)).astype(np.float32)


def advance(env, actions):
    """(n, 41) states after each action."""
    states = []
    for action in actions:
        env.advance(action)
        states.append(env.state)
    return np.stack(states)


def states_of(env, expert, seed, num_steps, options=None):
    """States of an episode after the start, to its end; draws no frames."""
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed, options=options)
    policy = expert.begin(env, rng)
    action, states = np.zeros((1, 5), np.float32), []
    for _ in range(num_steps):
        action = policy(env.state[None], info["goal_state"][None], action, rng)
        assert action.dtype == np.float32 and env.action_space.contains(action[0])
        env.advance(action[0])
        states.append(env.state)
        if env.is_success(env.state, info["goal_state"]):
            break
    return np.stack(states)


@pytest.fixture(scope="module")
def holding():
    """A state in which the gripper carries the cube."""
    env = Cube(frame_size=48)
    states = states_of(env, CubeExpert(noise_std=0.0), seed=0, num_steps=100)
    height = states[:, CUBE_POSITION][:, 2]
    return states[height.argmax()]


def test_a_state_is_complete_while_the_gripper_holds_the_cube(holding):
    assert holding[CUBE_POSITION][2] > 0.1
    first, second = Cube(frame_size=48), Cube(frame_size=48)
    first.reset(seed=0)
    first.set_state(holding)
    advance(first, 0.3 * random_actions(3))
    middle, future = first.state, 0.3 * random_actions(10, seed=1)
    expected = advance(first, future)
    second.reset(seed=1)
    advance(second, random_actions(2))
    second.set_state(middle)
    np.testing.assert_array_equal(advance(second, future), expected)
    np.testing.assert_array_equal(second.render(), first.render())


def test_the_gripper_keeps_holding_the_cube_after_the_state_is_set(holding):
    env = Cube(frame_size=48)
    env.reset(seed=1)
    env.set_state(holding)
    for _ in range(20):
        env.advance(np.array([0, 0, 0, 0, 1.0]))
    assert env.state[CUBE_POSITION][2] > 0.1
    for _ in range(20):
        env.advance(np.array([0, 0, 0, 0, -1.0]))
    assert env.state[CUBE_POSITION][2] < 0.05


def test_a_step_is_that_of_ogbench(holding):
    from ogbench.manipspace.envs.cube_env import CubeEnv

    theirs, ours = CubeEnv("single", mode="data_collection"), Cube(frame_size=48)
    theirs.reset(seed=0)
    ours.reset(seed=0)
    for start in (ours.state, holding):
        theirs.reset(seed=0)
        theirs.set_state(start[:21], start[21:])
        ours.set_state(start)
        action = random_actions(1)[0]
        theirs.step(action)
        ours.advance(action)
        np.testing.assert_allclose(ours.state[:21], theirs.data.qpos, rtol=0, atol=1e-7)


def test_success_is_the_distance_of_the_cube(holding):
    env = Cube(frame_size=48)
    for axis in range(3):
        away = np.zeros(41)
        away[CUBE_POSITION][axis] = 1
        assert env.is_success(holding + (SUCCESS_DISTANCE - 1e-6) * away, holding)
        assert not env.is_success(holding + (SUCCESS_DISTANCE + 1e-6) * away, holding)


def test_success_does_not_ask_for_the_arm_or_the_rotation(holding):
    other = np.random.default_rng(0).normal(size=41)
    other[CUBE_POSITION] = holding[CUBE_POSITION]
    assert Cube(frame_size=48).is_success(other, holding)


def test_numpys_global_generator_is_neither_used_nor_changed():
    histories = []
    for seed in (0, 1):
        np.random.seed(seed)  # noqa: NPY002
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        histories.append(states_of(Cube(frame_size=48), CubeExpert(), seed=3, num_steps=5))
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.testing.assert_array_equal(*histories)


def test_starts_lie_on_the_table_with_the_cube_at_rest():
    env = Cube(frame_size=48)
    for seed in range(5):
        env.reset(seed=seed)
        start = env.state
        assert not start[21:].any()
        for _ in range(5):
            env.advance(np.zeros(5))
        np.testing.assert_allclose(env.state[CUBE_POSITION], start[CUBE_POSITION], atol=1e-3)


@pytest.mark.parametrize("size", [0.03, 0.05])
def test_a_cube_of_another_size_lies_on_its_own_faces(size):
    env = Cube(frame_size=48)
    env.reset(seed=0, options={"variation": {"cube_size": size}})
    state = env.state
    assert state[CUBE_POSITION][2] == pytest.approx(size / 2)
    state[CUBE_POSITION][2] += 0.01
    env.set_state(state)  # dropped
    for _ in range(20):
        env.advance(np.zeros(5))
    assert env.state[CUBE_POSITION][2] == pytest.approx(size / 2, abs=5e-4)


def test_a_cube_of_another_size_is_what_mujocos_compiler_makes_of_it():
    from ogbench.manipspace.envs.cube_env import CubeEnv

    compiled, env = CubeEnv("single", mode="data_collection"), Cube(frame_size=48)
    compiled.reset(seed=0)
    compiled.mjcf_model.find("geom", "object_0").size = [0.025] * 3
    compiled.mark_dirty()
    compiled.reset(seed=0)
    env.reset(seed=0, options={"variation": {"cube_size": 0.05}})
    for field in (
        *("body_mass", "body_subtreemass", "body_inertia", "body_invweight0", "dof_invweight0"),
        *("geom_size", "geom_rbound", "geom_aabb", "bvh_aabb"),
    ):
        ours, theirs = getattr(env.simulator.model, field), getattr(compiled.model, field)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9, err_msg=field)


@pytest.mark.parametrize("size", [0.03, 0.05])
def test_the_expert_places_cubes_of_every_size(size):
    env = Cube(frame_size=48)
    options = {"variation": {"cube_size": size}}
    assert len(states_of(env, CubeExpert(noise_std=0.0), 0, 150, options)) < 150


def test_quality_changes_the_frames_only():
    fast, full = Cube(frame_size=48), Cube(frame_size=48, quality="full")
    for env in (fast, full):
        env.reset(seed=0)
    action = random_actions(1)[0]
    first, second = fast.step(action)[0], full.step(action)[0]
    np.testing.assert_array_equal(first["state"], second["state"])
    assert np.any(first["pixels"] != second["pixels"])


@pytest.mark.parametrize(
    ("factor", "value"),
    [
        ("cube_color", (0, 255, 0)),
        ("cube_size", 0.05),
        ("floor_color", (180, 180, 180)),
        ("camera_offset", (0.03, 0.05, -0.02)),
        ("light_direction", (1.0, 0.0)),
        ("brightness", 0.4),
    ],
)
def test_each_factor_changes_the_look_and_the_default_brings_it_back(factor, value):
    env = Cube(frame_size=48)
    state = env.reset(seed=0)[0]["state"]
    frames = []
    for variation in ({}, {factor: value}, {}):
        frames.append(env.reset(seed=0, options={"state": state, "variation": variation})[0]["pixels"])
    assert np.any(frames[0] != frames[1])
    np.testing.assert_array_equal(frames[0], frames[2])


def test_environments_of_different_looks_do_not_influence_one_another():
    plain, green = Cube(frame_size=48), Cube(frame_size=48)
    state = plain.reset(seed=0)[0]["state"]
    frame = plain.render()
    green.reset(seed=0, options={"state": state, "variation": {"cube_color": (0, 255, 0), "cube_size": 0.05}})
    np.testing.assert_array_equal(plain.render(), frame)
    np.testing.assert_array_equal(plain.state, state)


def test_drawing_a_state_does_not_change_the_look():
    env = Cube(frame_size=48)
    env.reset(seed=0, options={"variation": {"cube_color": (0, 255, 0)}})
    frame = env.render()
    env.sample_state()
    np.testing.assert_array_equal(env.render(), frame)


@pytest.mark.parametrize("noise_std", [0.0, 0.4])
def test_the_expert_places_the_cube(noise_std):
    env = Cube(frame_size=48)
    lengths = [len(states_of(env, CubeExpert(noise_std=noise_std), seed, num_steps=200)) for seed in range(8)]
    assert max(lengths) < 200


def test_the_expert_lets_go_of_the_cube_at_the_goal():
    env, expert, rng = Cube(frame_size=48), CubeExpert(noise_std=0.0), np.random.default_rng(0)
    goal = env.reset(seed=0)[1]["goal_state"]
    policy, action = expert.begin(env, rng), np.zeros((1, 5), np.float32)
    for _ in range(120):  # success is reached while the cube is in the gripper
        action = policy(env.state[None], goal[None], action, rng)
        env.advance(action[0])
    np.testing.assert_allclose(env.state[CUBE_POSITION], goal[CUBE_POSITION], atol=0.03)
    assert env.state[CUBE_POSITION][2] == pytest.approx(0.02, abs=1e-3)
    assert env.state[env.state_names.index("right_driver")] < 0.1  # open


def test_the_expert_without_an_episode_says_what_to_call():
    with pytest.raises(TypeError, match="begin"):
        CubeExpert()(np.zeros((1, 41)), np.zeros((1, 41)), np.zeros((1, 5)), np.random.default_rng(0))
