"""The two-link arm of dm_control's reacher, with an arm pose for a goal instead of a target to touch."""

from functools import cache
from importlib.resources import files
from math import pi, remainder

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.goal_env import State, Variation
from envs.mujoco_env import MujocoEnv, Simulator
from envs.mujoco_gl import require

WRIST_LIMIT = np.deg2rad(160)
SUCCESS_ANGLE = 0.05
"""Radians that each joint may be off."""

_LIMITS = np.array([pi, pi, 100, 100])  # radians, and radians a second: far above what happens
_ARM_COLOR, _FLOOR_COLOR = (178, 128, 76), (51, 77, 102)


@cache
def _simulator() -> Simulator:
    require()
    import mujoco

    model = mujoco.MjModel.from_xml_path(str(files("dm_control").joinpath("suite/reacher.xml")))
    model.geom("target").group[:] = 5  # not drawn
    return Simulator(model, mujoco.MjData(model), floor="ground")


def angle_difference(first: State, second: State) -> State:
    """first - second, wrapped to [-pi, pi)."""
    return (first - second + pi) % (2 * pi) - pi


def is_success(state: State, goal_state: State) -> NDArray[np.bool_]:
    """(..., 4), (..., 4) -> (...) whether both joints are within SUCCESS_ANGLE of the goal's, at any velocity."""
    distance = np.abs(angle_difference(state[..., :2], goal_state[..., :2]))
    success: NDArray[np.bool_] = np.all(distance < SUCCESS_ANGLE, axis=-1)
    return success


class Reacher(MujocoEnv):
    """State = (shoulder, wrist) in radians and their velocities; action = their torques, 1 = 0.05 Nm; 0.02 s a step.

    The shoulder turns without end, the wrist stops at WRIST_LIMIT; both angles are kept in [-pi, pi].

    Factors of variation:
      arm_color: color of both links, RGB.
      floor_color: RGB; any other than the default makes the checkered floor plain.
      arm_width: width of the links, times the original's. Only to look at: it weighs the same.
      light_position: (x, y) metres from the middle, 1 m above the floor.
      brightness: brightness of all lights, times the original's.
    """

    state_names = ("shoulder", "wrist", "shoulder_velocity", "wrist_velocity")
    angles = ("shoulder", "wrist")
    velocities = ("shoulder_velocity", "wrist_velocity")
    metadata = {**MujocoEnv.metadata, "render_fps": 50}  # noqa: RUF012 (as in GoalEnv)
    variation_space = gym.spaces.Dict(
        {
            "arm_color": gym.spaces.Box(0, 255, (3,), np.uint8),
            "floor_color": gym.spaces.Box(0, 255, (3,), np.uint8),
            "arm_width": gym.spaces.Box(0.5, 1.5, (), np.float64),
            "light_position": gym.spaces.Box(-1, 1, (2,), np.float64),
            "brightness": gym.spaces.Box(0.2, 1.2, (), np.float64),
        }
    )
    default_variation = {  # noqa: RUF012 (as in GoalEnv)
        "arm_color": _ARM_COLOR,
        "floor_color": _FLOOR_COLOR,
        "arm_width": 1.0,
        "light_position": (0.0, 0.0),
        "brightness": 1.0,
    }

    def __init__(self, frame_size: int = 64, quality: str = "fast", render_mode: str = "rgb_array") -> None:
        state_space = gym.spaces.Box(-_LIMITS, _LIMITS, (4,), np.float64)
        action_space = gym.spaces.Box(-1, 1, (2,), np.float32)
        super().__init__(_simulator(), 1, "fixed", frame_size, state_space, action_space, quality, render_mode)

    def canonical(self, state: State) -> State:
        angles = [remainder(angle, 2 * pi) for angle in state[:2]]  # within [-pi, pi] they keep their bits
        return np.array([*angles, *state[2:]])

    def is_success(self, state: State, goal_state: State) -> bool:
        return bool(is_success(state, goal_state))

    def distance(self, state: State, goal_state: State) -> float:
        return float(np.abs(angle_difference(state[:2], goal_state[:2])).max()) / SUCCESS_ANGLE

    def sample_state(self) -> State:
        angles = self.np_random.uniform((-pi, -WRIST_LIMIT), (pi, WRIST_LIMIT))
        return np.concatenate([angles, np.zeros(2)])

    def actuate(self, action: State) -> None:
        self.simulator.data.ctrl[:] = action

    def paint(self, simulator: Simulator, variation: Variation) -> None:
        model = simulator.model
        model.mat("self").rgba[:3] = np.divide(variation["arm_color"], 255)
        simulator.color_floor(variation["floor_color"], _FLOOR_COLOR)
        for link in ("arm", "hand"):
            model.geom(link).size[0] = 0.01 * variation["arm_width"]
        light, towards = model.light("light"), np.array([*variation["light_position"], 1.0])
        light.pos[:], light.dir[:] = towards, -towards / np.linalg.norm(towards)
        simulator.brighten(variation["brightness"])
