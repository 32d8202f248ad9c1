"""One cube, a robot arm with a gripper: OGBench's `cube-single-v0` with any state for a start and a goal."""

from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.goal_env import State, Variation
from envs.mujoco_env import MujocoEnv, Simulator
from envs.mujoco_gl import require

SUCCESS_DISTANCE = 0.04
"""Metres that the cube may be off."""
CUBE_POSITION, CUBE_ROTATION = slice(14, 17), slice(17, 21)
"""Places in a state; a rotation is a quaternion, w first."""

_CUBE_SIZE = 0.04
_DENSITY = 1240.0
_CUBE_COLOR, _FLOOR_COLOR = (245, 66, 84), (38, 46, 64)
_JOINTS = (
    *("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3"),
    *(f"{side}_{part}" for side in ("right", "left") for part in ("driver", "coupler", "spring_link", "follower")),
)
# What is far beyond every state: radians of the joints, metres, a unit quaternion, and velocities of both.
_LIMITS = np.concatenate([np.full(14, 10.0), np.full(3, 10.0), np.full(4, 1.0 + 1e-6), np.full(20, 1000.0)])


class CubeSimulator(Simulator):
    """The simulator of OGBench's environment; `env` is that."""

    def __init__(self) -> None:
        require()
        from ogbench.manipspace.envs.cube_env import CubeEnv

        class Env(CubeEnv):
            def compute_observation(self) -> None:
                """Nothing: a frame at each reset would be drawn for nobody."""

        # The look is that of visual-cube-single-v0; in this mode a reset draws the arm and the cube at random.
        self.env = Env("single", ob_type="pixels", visualize_info=False, mode="data_collection")
        self.env.reset(seed=0)
        super().__init__(self.env.model, self.env.data, floor="floor")
        self.camera_position = self.model.camera("front_pixels").pos.copy()

    def sample(self, seed: int) -> State:
        """(S,) arm and cube as OGBench draws them for its data."""
        self.env.reset(seed=seed)
        self.painted = None  # a reset colors the cube
        return np.concatenate([self.data.qpos, self.data.qvel])

    def resize_cube(self, size: float) -> None:
        """Sets the cube's edge, in metres, and all that MuJoCo's compiler derives from it."""
        import mujoco

        model, half = self.model, size / 2
        geom, body = model.geom("object_0"), model.body("object_0")
        if geom.size[0] == half:
            return
        geom.size[:], geom.rbound[:] = half, np.sqrt(3) * half
        model.geom_aabb[geom.id] = model.bvh_aabb[model.body_bvhadr[body.id]] = (0, 0, 0, half, half, half)
        body.mass[:] = _DENSITY * size**3
        body.inertia[:] = body.mass * size**2 / 6
        mujoco.mj_setConst(model, self.data)


@cache
def _simulator() -> CubeSimulator:
    return CubeSimulator()


def is_success(state: State, goal_state: State) -> NDArray[np.bool_]:
    """(..., 41), (..., 41) -> (...) whether the cube is within SUCCESS_DISTANCE of the goal's; nothing else counts."""
    distance = np.linalg.norm(state[..., CUBE_POSITION] - goal_state[..., CUBE_POSITION], axis=-1)
    success: NDArray[np.bool_] = distance <= SUCCESS_DISTANCE
    return success


class Cube(MujocoEnv):
    """State = joints of arm and gripper, pose of the cube, and velocities; 0.05 s a step.

    Actions move the gripper: (x, y, z), 1 = 5 cm; yaw, 1 = 0.3 rad; closing, 1 = from open to closed.

    Factors of variation:
      cube_color: RGB.
      cube_size: its edge, metres; it weighs accordingly.
      floor_color: RGB; any other than the default makes the checkered floor plain.
      camera_offset: (x, y, z) metres from where the camera was.
      light_direction: (x, y) of where the light goes for each metre down.
      brightness: brightness of all lights, times the original's.
    """

    packages = ("mujoco", "dm_control", "ogbench")
    state_names = (
        *_JOINTS,
        *("cube_x", "cube_y", "cube_z", "cube_qw", "cube_qx", "cube_qy", "cube_qz"),
        *(f"{joint}_velocity" for joint in _JOINTS),
        *(f"cube_{kind}_velocity_{axis}" for kind in ("linear", "angular") for axis in "xyz"),
    )
    angles = _JOINTS[:6]  # the gripper's joints cannot turn round; the quaternion counts as four plain numbers
    velocities = state_names[21:]
    metadata = {**MujocoEnv.metadata, "render_fps": 20}  # noqa: RUF012 (as in GoalEnv)
    variation_space = gym.spaces.Dict(
        {
            "cube_color": gym.spaces.Box(0, 255, (3,), np.uint8),
            "cube_size": gym.spaces.Box(0.03, 0.05, (), np.float64),
            "floor_color": gym.spaces.Box(0, 255, (3,), np.uint8),
            "camera_offset": gym.spaces.Box(-0.05, 0.05, (3,), np.float64),
            "light_direction": gym.spaces.Box(-1, 1, (2,), np.float64),
            "brightness": gym.spaces.Box(0.2, 1.2, (), np.float64),
        }
    )
    default_variation = {  # noqa: RUF012 (as in GoalEnv)
        "cube_color": _CUBE_COLOR,
        "cube_size": _CUBE_SIZE,
        "floor_color": _FLOOR_COLOR,
        "camera_offset": (0.0, 0.0, 0.0),
        "light_direction": (0.0, 0.0),
        "brightness": 1.0,
    }

    def __init__(self, frame_size: int = 64, quality: str = "fast", render_mode: str = "rgb_array") -> None:
        simulator = _simulator()
        num_substeps = round(simulator.env.control_timestep() / simulator.env.physics_timestep())
        state_space = gym.spaces.Box(-_LIMITS, _LIMITS, (41,), np.float64)
        action_space = gym.spaces.Box(-1, 1, (5,), np.float32)
        super().__init__(
            simulator, num_substeps, "front_pixels", frame_size, state_space, action_space, quality, render_mode
        )

    def is_success(self, state: State, goal_state: State) -> bool:
        return bool(is_success(state, goal_state))

    def distance(self, state: State, goal_state: State) -> float:
        return float(np.linalg.norm(state[CUBE_POSITION] - goal_state[CUBE_POSITION])) / SUCCESS_DISTANCE

    def sample_state(self) -> State:
        state: State = self.simulator.sample(int(self.np_random.integers(2**31)))
        state[CUBE_POSITION.stop - 1] = self.variation["cube_size"] / 2
        return state

    def actuate(self, action: State) -> None:
        self.simulator.env.set_control(action)

    def oracle_info(self, state: State, goal_state: State, previous_action: State) -> dict[str, Any]:
        """What OGBench's oracles want to know.

        Args:
          state: (41,) where the environment is.
          goal_state: (41,) where the cube is to go.
          previous_action: (5,) what the gripper is doing; its touch is felt as if that went on.
        """
        import mujoco

        self.load(state)
        model, data = self.simulator.model, self.simulator.data
        self.actuate(previous_action)
        mujoco.mj_forward(model, data)
        mujoco.mj_rnePostConstraint(model, data)
        target = model.body("object_target_0").mocapid[0]
        data.mocap_pos[target], data.mocap_quat[target] = goal_state[CUBE_POSITION], goal_state[CUBE_ROTATION]
        info: dict[str, Any] = self.simulator.env.compute_ob_info()
        return info

    def oracle(self, kind: Any, **kwargs: Any) -> Any:
        """One of OGBench's oracles, for this environment."""
        return kind(env=self.simulator.env, **kwargs)

    def paint(self, simulator: Simulator, variation: Variation) -> None:
        assert isinstance(simulator, CubeSimulator)
        model = simulator.model
        simulator.resize_cube(float(variation["cube_size"]))
        model.geom("object_0").rgba[:3] = np.divide(variation["cube_color"], 255)
        simulator.color_floor(variation["floor_color"], _FLOOR_COLOR)
        model.camera("front_pixels").pos[:] = simulator.camera_position + variation["camera_offset"]
        direction = np.array([*variation["light_direction"], -1.0])
        model.light("global").dir[:] = direction / np.linalg.norm(direction)
        simulator.brighten(variation["brightness"])
