"""The dynamics, the picture and the rules of Reacher."""

import subprocess
import sys
from hashlib import sha256
from math import pi

import numpy as np
import pytest

from envs.experts.reacher import ReacherExpert
from envs.mujoco_gl import why_unavailable
from envs.reacher import SUCCESS_ANGLE, WRIST_LIMIT, Reacher
from tests import LAST_NET_S

MISSING = why_unavailable() or ""
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

POSE = np.array([0.7, -1.1, 0.0, 0.0])


def random_actions(num_steps, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (num_steps, 2)).astype(np.float32)


def draw(state, variation=None, **kwargs):
    env = Reacher(frame_size=48, **kwargs)
    return env.reset(seed=0, options={"state": state, "variation": variation or {}})[0]["pixels"].astype(int)


def episode(env, expert, seed):
    """Number of steps to the goal, or None in 200."""
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    action = np.zeros((1, 2), np.float32)
    for step in range(200):
        action = expert(observation["state"][None], info["goal_state"][None], action, rng)
        env.advance(action[0])
        observation = {"state": env.state}
        if env.is_success(env.state, info["goal_state"]):
            return step + 1
    return None


def test_a_step_is_that_of_dm_control():
    from dm_control.suite import reacher

    physics = reacher.Physics.from_xml_string(*reacher.get_model_and_assets())
    env = Reacher(frame_size=48)
    env.reset(seed=0, options={"state": np.array([2.0, 2.7, 1.0, 2.0])})  # runs into the wrist's limit
    with physics.reset_context():
        physics.set_state(env.state)
    for action in random_actions(50):
        physics.set_control(action)
        physics.step()
        env.step(action)
        np.testing.assert_allclose(env.state, physics.get_state(), rtol=0, atol=1e-9)


def test_success_is_each_joint_within_the_angle():
    env = Reacher(frame_size=48)
    for joint in range(2):
        for sign in (-1, 1):
            off = sign * np.eye(4)[joint]
            assert env.is_success(POSE + (SUCCESS_ANGLE - 1e-6) * off, POSE)
            assert not env.is_success(POSE + (SUCCESS_ANGLE + 1e-6) * off, POSE)


def test_success_is_the_same_a_turn_further():
    env = Reacher(frame_size=48)
    for turns in (-2, -1, 1, 3):
        assert env.is_success(POSE + 2 * pi * turns * np.eye(4)[0], POSE)
    left, right = np.array([pi - 0.01, 0, 0, 0]), np.array([-pi + 0.01, 0, 0, 0])
    assert env.is_success(left, right) and env.is_success(right, left)


def test_success_does_not_ask_for_the_velocity():
    assert Reacher(frame_size=48).is_success(POSE + np.array([0, 0, 5, -7]), POSE)


def test_a_shoulder_that_turns_on_keeps_its_angle_within_a_half_turn():
    env = Reacher(frame_size=48)
    env.reset(seed=0)
    shoulder = []
    for _ in range(200):
        env.advance(np.array([1.0, 0.0]))
        shoulder.append(env.state[0])
    assert np.abs(shoulder).max() <= pi
    assert (np.abs(np.diff(shoulder)) > pi).sum() >= 2


def test_a_turn_further_is_the_same_state():
    env = Reacher(frame_size=48)
    for joint in range(2):
        env.set_state(POSE + 2 * pi * np.eye(4)[joint])
        np.testing.assert_allclose(env.state, POSE, rtol=0, atol=1e-12)


def test_the_wrist_stops_at_its_limit():
    env = Reacher(frame_size=48)
    env.set_state(np.array([0.0, 2.5, 0.0, 0.0]))
    for _ in range(100):
        env.advance(np.array([0.0, 1.0]))
    assert WRIST_LIMIT - 0.1 < env.state[1] < WRIST_LIMIT + 0.1


@pytest.mark.parametrize("state", [[np.nan, 0, 0, 0], [0, 0, 0, np.inf], [0, 0, 0]])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(ValueError, match="4 finite numbers"):
        Reacher(frame_size=48).set_state(np.array(state))


def test_a_quality_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="'best'; there are coarse, fast, full"):
        Reacher(quality="best")


def test_quality_changes_the_frames_only():
    histories = []
    for quality in ("fast", "full"):
        env = Reacher(frame_size=48, quality=quality)
        env.reset(seed=0)
        observations = [env.step(action)[0] for action in random_actions(3)]
        histories.append([np.stack([each[key] for each in observations]) for key in ("state", "pixels")])
    np.testing.assert_array_equal(histories[0][0], histories[1][0])
    assert np.any(histories[0][1] != histories[1][1], axis=(1, 2, 3)).all()


def test_the_target_of_the_original_is_not_drawn():
    red, green, blue = np.moveaxis(draw(POSE), 2, 0)
    assert not np.any((red > 1.5 * green) & (np.abs(green - blue) < 0.1 * red))


def test_another_process_draws_the_same_frame():
    code = (
        "from tests.envs.test_reacher import POSE, draw; from hashlib import sha256;"
        "print(sha256(draw(POSE).tobytes()).hexdigest())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=LAST_NET_S
    )
    assert result.stdout.strip() == sha256(draw(POSE).tobytes()).hexdigest()


def test_a_fiftieth_of_a_radian_changes_the_picture():
    env = Reacher(frame_size=64)
    for joint in range(2):
        env.set_state(POSE)
        before = env.render()
        env.set_state(POSE + 0.02 * np.eye(4)[joint])
        assert np.any(env.render() != before)


def test_many_environments_take_the_memory_of_one():
    def megabytes():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096 / 1e6

    first = Reacher(frame_size=48)
    first.reset(seed=0)
    before = megabytes()
    others = [Reacher(frame_size=48) for _ in range(200)]
    for env in others:
        env.reset(seed=0)
    assert megabytes() - before < 60  # the model alone is 12, and so would each be
    np.testing.assert_array_equal(others[-1].render(), first.render())


def test_environments_of_different_looks_do_not_influence_one_another():
    looks = [{}, {"arm_color": (0, 255, 0), "brightness": 0.5}, {"floor_color": (200, 0, 0), "arm_width": 1.4}]
    alone = [draw(POSE, look) for look in looks]
    together = [Reacher(frame_size=48) for _ in looks]
    for env, look in zip(together, looks, strict=True):
        env.reset(seed=1, options={"state": POSE, "variation": look})
    for _ in range(2):
        for env, expected in zip(together, alone, strict=True):
            np.testing.assert_array_equal(env.render(), expected)


@pytest.mark.parametrize(
    ("factor", "value"),
    [
        ("arm_color", (0, 0, 255)),
        ("floor_color", (180, 180, 180)),
        ("arm_width", 1.5),
        ("light_position", (0.9, -0.9)),
        ("brightness", 0.4),
    ],
)
def test_each_factor_changes_the_look_and_not_the_motion(factor, value):
    env, plain = Reacher(frame_size=48), Reacher(frame_size=48)
    look, _ = env.reset(seed=0, options={"state": POSE, "variation": {factor: value}})
    plain_look, _ = plain.reset(seed=0, options={"state": POSE})
    assert np.any(look["pixels"] != plain_look["pixels"])
    for action in random_actions(5):
        np.testing.assert_array_equal(env.step(action)[0]["state"], plain.step(action)[0]["state"])
    again, _ = env.reset(seed=0, options={"state": POSE})
    np.testing.assert_array_equal(again["pixels"], plain_look["pixels"])


def test_a_green_arm_on_a_red_floor_looks_like_it():
    frame = draw(POSE, {"arm_color": (0, 255, 0), "floor_color": (255, 0, 0)})
    np.testing.assert_array_equal(frame[5, 5].argmax(), 0)
    assert (frame.argmax(2) == 1).sum() > 20


def test_the_expert_without_noise_always_arrives():
    env = Reacher(frame_size=48)
    expert = ReacherExpert(noise_std=0.0)
    steps = [episode(env, expert, seed) for seed in range(100)]
    assert None not in steps
    assert np.mean(steps) < 50


def test_the_expert_of_mode_uniform_fills_the_action_space_whatever_the_goal():
    rng = np.random.default_rng(0)
    state = rng.normal(size=(20_000, 4))
    action = ReacherExpert(mode="uniform")(state, -state, np.zeros((20_000, 2), np.float32), rng)
    # Five standard deviations of a mean, and of a variance, of 20,000 uniform numbers.
    np.testing.assert_allclose(action.mean(0), 0, atol=5 * np.sqrt(1 / 3 / 20_000))
    np.testing.assert_allclose(action.var(0), 1 / 3, atol=5 * np.sqrt(4 / 45 / 20_000))
    assert np.abs(action).max() <= 1
    assert abs(np.corrcoef(action[:, 0], state[:, 0])[0, 1]) < 5 / np.sqrt(20_000)


def test_a_mode_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="'best'; there are goal and uniform"):
        ReacherExpert(mode="best")
