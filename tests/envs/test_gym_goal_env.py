"""Other people's environments as GoalEnvs: what is accepted, what is refused and why, and what a state holds."""

import sys
from importlib.resources import files

import gymnasium as gym
import numpy as np
import pytest

from envs.area_average import area_average
from envs.experts import EXPERTS
from envs.experts.gym import UniformExpert
from envs.gym_goal_env import GymGoalEnv
from lewm.config import build
from lewm.environment import make_env
from lewm.errors import InputError
from tests.registries import ENVS, why_no_env


class Slider(gym.Env):
    """A point on a line that goes where it is pushed; a test says what else it is."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = gym.spaces.Box(-9, 9, (1,))
    action_space = gym.spaces.Box(-2.0, 2.0, (1,))

    def __init__(self, render_mode=None, hidden=False, noisy=False, start=0.0):
        self.render_mode, self.hidden, self.noisy, self.start = render_mode, hidden, noisy, start
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = (self.start + self.np_random.uniform(-1, 1),)
        return np.array(self.state, np.float32), {}

    def step(self, action):
        self.steps += 1
        push = float(action[0]) + self.hidden * self.steps + self.noisy * self.np_random.normal()
        self.state = (self.state[0] + push,)
        return np.array(self.state, np.float32), 0.0, True, False, {}

    def render(self):
        return np.full((40, 60, 3), np.clip(100 + 10 * self.state[0], 0, 255), np.uint8)


class Blind(Slider):
    metadata = {"render_modes": []}  # noqa: RUF012


class Sealed(Slider):
    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed)
        del self.state
        return observation, info


class Discrete(Slider):
    action_space = gym.spaces.Discrete(3)


class Unbounded(Slider):
    action_space = gym.spaces.Box(-np.inf, np.inf, (1,))


@pytest.fixture
def slider(monkeypatch):
    """Registers Slider-v0 and its siblings for one test."""
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    for kind in (Slider, Blind, Sealed, Discrete, Unbounded):
        gym.register(f"{kind.__name__}-v0", entry_point=kind, max_episode_steps=3)


def slide(env_id="Slider-v0", **kwargs):
    return GymGoalEnv(env_id, **{"tolerances": {"state_0": 0.5}, "frame_size": 48, "velocities": [], **kwargs})


def configured(name):
    if reason := why_no_env(name):
        pytest.skip(reason)
    return make_env(ENVS[name])


def test_any_environment_with_a_state_a_picture_and_continuous_actions_will_do(slider):
    env = slide()
    start = env.reset(seed=0)[0]["state"]
    observation, *_ = env.step(np.array([1.5]))
    np.testing.assert_allclose(observation["state"], start + 1.5)
    assert np.all(observation["pixels"] == int(100 + 10 * observation["state"][0]))


@pytest.mark.parametrize(
    ("env_id", "kwargs", "message"),
    [
        ("Discrete-v0", {}, r"Discrete-v0 has the actions Discrete\(3\); what is supported is a bounded Box"),
        ("Unbounded-v0", {}, "what is supported is a bounded Box"),
        ("Blind-v0", {}, "Blind-v0 has no rgb_array rendering"),
        ("Sealed-v0", {}, r"Sealed has no settable state; what is supported are MuJoCo .* classic control"),
        ("Slider-v0", {"make_kwargs": {"hidden": True}}, "the state of Slider-v0 is not complete"),
        ("Slider-v0", {"make_kwargs": {"noisy": True}}, "the state of Slider-v0 is not complete"),
        ("Slider-v0", {"tolerances": {"height": 1}}, r"tolerances: .* no state number 'height'; there are \('state_0'"),
        ("Slider-v0", {"tolerances": {"state_0": -1}}, "tolerances={'state_0': -1} must be at least 0"),
        ("Slider-v0", {"tolerances": {"state_0": np.nan}}, "must be at least 0"),
        ("Slider-v0", {"angles": ["tilt"]}, "angles: there is no state number 'tilt'"),
        ("Slider-v0", {"velocities": ["speed"]}, "velocities: there is no state number 'speed'"),
        ("Slider-v0", {"velocities": None}, r"give velocities=\[\.\.\.\].* Slider-v0 .*\['state_0'\]"),
        ("Slider-v0", {"state_names": ["x", "y"]}, "Slider-v0 has 1 state numbers"),
        ("Slider-v0", {"state_names": ["x", "x"]}, "a name of its own"),
        ("Slider-v0", {"play_steps": -1}, "play_steps=-1"),
        ("Slider-v0", {"play_repeat": 1.5}, "play_repeat=1.5"),
    ],
)
def test_what_will_not_do_is_refused_with_the_reason(slider, env_id, kwargs, message):
    with pytest.raises(ValueError, match=message):
        slide(env_id, **kwargs)


def test_ends_of_the_original_do_not_count_and_its_time_limit_does(slider):
    env = slide(tolerances={"state_0": 0.0})
    for _ in range(2):
        env.reset(seed=0)
        assert [env.step(np.array([0.1]))[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]
    assert env.step(np.array([0.1]))[2:4] == (False, False)  # whoever goes on is not told again


def test_bounds_of_actions_are_the_original_ones(slider):
    np.testing.assert_array_equal(slide().action_space.high, [2.0])


def test_arguments_reach_the_original(slider):
    assert slide(make_kwargs={"start": 7.0}).reset(seed=0)[0]["state"][0] >= 6
    assert slide().reset(seed=0)[0]["state"][0] <= 1


def test_every_watched_number_must_be_within_its_tolerance():
    env = configured("inverted_pendulum")
    goal = np.zeros(4)
    for index, tolerance in ((0, 0.1), (1, 0.1)):
        off = np.eye(4)[index]
        assert env.is_success(0.99 * tolerance * off, goal)
        assert not env.is_success(1.01 * tolerance * off, goal)
    assert env.is_success(np.array([0, 0, 50, 50]), goal)


def test_the_shorter_way_round_counts_for_an_angle():
    env = configured("pendulum")
    low, high = np.array([-np.pi + 0.04, 0]), np.array([np.pi - 0.04, 0])
    assert env.is_success(low, high)
    assert env.is_success(high, low)
    assert not env.is_success(low, np.array([np.pi - 0.07, 0]))


def test_angles_are_kept_within_half_a_turn():
    env = configured("pendulum")
    env.reset(options={"state": [3.0, 8.0]})
    angles = []
    for _ in range(40):
        env.advance(np.array([2.0]))
        angles.append(env.state[0])
    assert np.abs(angles).max() <= np.pi
    assert np.abs(np.diff(angles)).max() > np.pi  # it went round
    for angle in (np.pi, -np.pi, 0.1, np.nextafter(np.pi, 0)):
        env.set_state([angle, 0])
        assert env.state[0] == angle


def test_goals_by_random_play_lie_further_from_the_starts_than_starts_from_one_another(slider):
    env = slide(play_steps=30)
    resets = [env.reset(seed=seed) for seed in range(30)]
    starts, goals = (
        np.array(states) for states in zip(*((o["state"], i["goal_state"]) for o, i in resets), strict=True)
    )
    assert np.abs(starts).max() <= 1
    assert np.std(goals) > 3


def test_without_random_play_goals_are_drawn_like_starts(slider):
    env = slide(play_steps=0)
    assert all(np.abs(env.reset(seed=seed)[1]["goal_state"]) <= 1 for seed in range(20))


def test_random_play_reaches_both_ends_of_the_valley():
    env = configured("mountain_car")
    env.reset(seed=0)
    positions = [env.sample_goal()[0] for _ in range(60)]
    assert min(positions) < -1.1
    assert max(positions) > 0.45


def test_joints_have_the_names_of_the_model():
    env = configured("inverted_pendulum")
    assert env.state_names == ("slider", "hinge", "slider_velocity", "hinge_velocity")


def test_at_rest_a_mujoco_model_does_not_move_whatever_its_numbers_are_called():
    configured("inverted_pendulum")
    env = GymGoalEnv("InvertedPendulum-v5", tolerances={}, state_names=["x", "tilt", "dx", "omega"])
    assert env.velocities == ("dx", "omega")
    np.testing.assert_array_equal(env.at_rest(np.array([1.0, 2, 3, 4])), [1, 2, 0, 0])


def test_at_rest_a_position_with_velocity_in_its_name_stays():
    configured("inverted_pendulum")
    names = ["velocity_control", "hinge", "v", "w"]
    env = GymGoalEnv("InvertedPendulum-v5", tolerances={}, state_names=names)
    np.testing.assert_array_equal(env.at_rest(np.array([1.0, 2, 3, 4])), [1, 2, 0, 0])


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "MountainCarContinuous-v0"])
def test_at_rest_classic_control_keeps_all_but_the_velocities_it_was_told(env_id):
    env = GymGoalEnv(env_id, tolerances={}, state_names=["q", "dq"], velocities=["dq"])
    np.testing.assert_array_equal(env.at_rest(np.array([1.0, 2])), [1, 0])


@pytest.mark.parametrize("env_id", ["Ant-v5", "Walker2d-v5"])
def test_the_state_of_a_body_in_contact_is_complete(env_id):
    if reason := why_no_env("inverted_pendulum"):
        pytest.skip(reason)
    used, fresh = (GymGoalEnv(env_id, tolerances={}) for _ in range(2))
    rng = np.random.default_rng(0)
    actions = rng.uniform(used.action_space.low, used.action_space.high, (60, *used.action_space.shape))
    used.reset(seed=0)
    for action in actions:
        used.advance(action)
    assert len(used.state_names) == len(set(used.state_names)) == len(used.state)
    state, frame = used.state, used.render()
    ends = []
    for env in (used, fresh):
        env.reset(seed=1)
        env.set_state(state)
        np.testing.assert_array_equal(env.render(), frame)
        for action in actions:
            env.advance(action)
        ends.append(env.state)
    np.testing.assert_array_equal(*ends)


def test_environments_of_two_models_draw_in_turns():
    pole = configured("inverted_pendulum")
    walker = GymGoalEnv("Walker2d-v5", tolerances={}, frame_size=120)
    frame = walker.reset(seed=0)[0]["pixels"]
    alone = pole.reset(seed=0)[0]["pixels"]
    np.testing.assert_array_equal(walker.render(), frame)
    np.testing.assert_array_equal(pole.render(), alone)


def test_the_activation_of_an_actuator_is_a_part_of_the_state(tmp_path):
    configured("inverted_pendulum")
    assets = files("gymnasium").joinpath("envs/mujoco/assets")
    motor = assets.joinpath("inverted_pendulum.xml").read_text()
    slow = motor.replace("<motor ", '<general dyntype="filter" dynprm="0.5" ')
    assert slow != motor
    (tmp_path / "slow.xml").write_text(slow)
    env = GymGoalEnv("InvertedPendulum-v5", tolerances={}, make_kwargs={"xml_file": str(tmp_path / "slow.xml")})
    assert env.state_names[-1] == "activation_0"
    ends = []
    for activation in (0.0, 1.0, 0.0):
        env.set_state([0, 0, 0, 0, activation])
        env.advance(np.zeros(1))
        ends.append(env.state)
    assert abs(ends[0][2]) < 0.01 < 0.1 < ends[1][2]
    np.testing.assert_array_equal(ends[0], ends[2])


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(ImportError, match="Pendulum-v1 needs a package: pygame is not installed"):
        GymGoalEnv("Pendulum-v1", tolerances={}, frame_size=49, velocities=[])


def test_a_mistake_in_the_configuration_is_one_line_for_the_user(slider):
    config = ENVS["pendulum"]
    wrong = type(config)(**{**vars(config), "kwargs": {"env_id": "Discrete-v0", "tolerances": {}}})
    with pytest.raises(InputError, match=r"cannot make .*Discrete-v0 has the actions") as caught:
        make_env(wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("shape", "size"), [((96, 96), 48), ((100, 150), 48), ((48, 48), 48), ((30, 20), 60)])
def test_a_shrunk_picture_has_the_means_of_the_areas(shape, size):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    fine = np.lcm(np.array(shape), size)  # both grids are coarser than this one
    blown_up = image.repeat(fine[0] // shape[0], 0).repeat(fine[1] // shape[1], 1).astype(np.float64)
    means = blown_up.reshape(size, fine[0] // size, size, fine[1] // size, 3).mean((1, 3))
    assert np.abs(area_average(image, size) - means).max() <= 0.5 + 1e-3


def test_random_actions_fill_the_action_space_whatever_its_bounds(slider):
    env = slide()
    rng = np.random.default_rng(0)
    expert = UniformExpert(repeat_probability=0.0).begin(env, rng)
    actions = expert(np.zeros((5000, 1)), np.zeros((5000, 1)), np.zeros((5000, 1), np.float32), rng)
    assert np.histogram(actions, 10, (-2, 2))[0].min() > 400


def test_random_actions_are_repeated_as_often_as_they_say():
    rng = np.random.default_rng(0)
    previous = np.full((20_000, 1), 0.5, np.float32)
    actions = UniformExpert(repeat_probability=0.7)(np.zeros((20_000, 1)), np.zeros((20_000, 1)), previous, rng)
    # The standard deviation of the share is 0.0032.
    assert (actions == previous).mean() == pytest.approx(0.7, abs=0.013)


@pytest.mark.parametrize(("name", "num_cells"), [("pendulum", 100), ("mountain_car", 80)])
def test_the_expert_covers_what_can_be_reached(name, num_cells):
    """Of 12 x 12 cells of positions and velocities; the corners hold more energy than any goal asks for."""
    env, config = configured(name), ENVS[name]
    rng, states = np.random.default_rng(0), []
    for seed in range(60):
        _, info = env.reset(seed=seed)
        expert = build(EXPERTS, config.collection.expert, "expert").begin(env, rng)
        action = np.zeros((1, 1), np.float32)
        for _ in range(config.collection.max_steps):
            action = expert(env.state[None], info["goal_state"][None], action, rng)
            env.advance(action[0].astype(np.float64))
            states.append(env.state)
            if env.is_success(env.state, info["goal_state"]):
                break
    bounds = {"pendulum": [(-np.pi, np.pi), (-8, 8)], "mountain_car": [(-1.2, 0.6), (-0.07, 0.07)]}[name]
    cells = np.histogram2d(*np.array(states).T, bins=12, range=bounds)[0]
    assert (cells > 0).sum() >= num_cells
