"""Base of the environments on MuJoCo: one simulator and one renderer per process, however many environments.

An environment is its state vector. Each step and each frame loads that vector into the shared simulator, so what comes
out is a function of state and action (and of the factors of variation), and a copy of an environment costs nothing.
"""

from abc import abstractmethod
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.errors import ArgumentError
from envs.goal_env import GoalEnv, Pixels, State, Variation
from envs.mujoco_gl import check_process, leave_to_the_system, make_context, require
from envs.mujoco_meshes import coarse


@dataclass(frozen=True)
class Quality:
    """What a frame costs: on a CPU shadows, multisampling and triangles are nearly all of it, pixels hardly count.

    Without shadows MuJoCo adds up all lights before it clamps them: textured floors are darker.

    Attributes:
      shadows: whether lights cast them.
      reflections: whether floors mirror.
      multisampling: samples per pixel of OpenGL's antialiasing.
      supersampling: frames are drawn this many times larger and averaged.
      coarse: whether what is smaller than a pixel is left out of meshes.
    """

    shadows: bool
    reflections: bool
    multisampling: int
    supersampling: int
    coarse: bool

    def make_room(self, model: Any, width: int, height: int) -> None:
        """Prepares a model for OpenGL contexts that draw frames of up to this size, in pixels."""
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        model.vis.quality.offsamples = self.multisampling


PIXELS = 1.5
"""Pixels of a frame within which the vertices of a coarse mesh become one."""
QUALITIES = {
    "coarse": Quality(False, False, 0, 2, True),
    "fast": Quality(False, False, 0, 2, False),
    "full": Quality(True, True, 4, 1, False),
}


class Simulator:
    """A compiled model and its data. What the data holds between two calls of an environment means nothing.

    Args:
      model, data: MuJoCo's MjModel and MjData.
      floor: name of the geom that is the floor.
    """

    def __init__(self, model: Any, data: Any, floor: str) -> None:
        self.model, self.data = model, data
        self._floor = model.geom(floor)
        self._checkers = int(self._floor.matid[0])
        self.painted: Variation | None = None  # what the model's colors and sizes were last set to
        headlight = model.vis.headlight
        self.extent = float(model.stat.extent)  # metres; a cube of another size makes MuJoCo calculate another one
        self._lights = [(light, light.copy()) for light in (model.light_diffuse, headlight.diffuse, headlight.ambient)]

    def load(self, state: State) -> None:
        """Puts (S,) positions and velocities into the data, and the places of bodies, cameras and lights.

        Not what takes longer: contacts and forces. A step calculates them, mj_forward does.
        """
        import mujoco

        num_positions = self.model.nq
        self.data.qpos[:], self.data.qvel[:] = state[:num_positions], state[num_positions:]
        self.data.qacc_warmstart[:] = 0  # the solver would start from the past
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def step(self, num_substeps: int) -> State:
        """(S,) positions and velocities after num_substeps steps of the simulator under the controls in the data."""
        import mujoco

        mujoco.mj_step(self.model, self.data, nstep=num_substeps)
        return np.concatenate([self.data.qpos, self.data.qvel])

    def brighten(self, factor: float) -> None:
        """Sets all lights to `factor` times what they were at first."""
        for light, original in self._lights:
            light[:] = factor * original

    def color_floor(self, color: Any, checkered_color: Any) -> None:
        """Paints the floor in one color, RGB; checkered_color gives it back its material."""
        checkered = np.array_equal(color, checkered_color)
        self._floor.matid[:] = self._checkers if checkered else -1
        self._floor.rgba[:3] = 0.5 if checkered else np.divide(color, 255)  # 0.5: the material's color counts


class MujocoEnv(GoalEnv):
    """A GoalEnv whose state is MuJoCo's positions and velocities.

    A subclass writes actuate, paint, sample_state and is_success.

    Args:
      simulator: shared by all environments of the kind.
      num_substeps: steps of the simulator in a step of the environment.
      camera: the name of the one that is drawn from.
      quality: a key of QUALITIES; changes frames only.
    """

    packages: tuple[str, ...] = ("mujoco", "dm_control")

    def __init__(
        self,
        simulator: Any,
        num_substeps: int,
        camera: str,
        frame_size: int,
        state_space: gym.spaces.Box,
        action_space: gym.spaces.Box,
        quality: str,
        render_mode: str,
    ) -> None:
        if quality not in QUALITIES:
            raise ArgumentError(f"quality is {quality!r}; there are {', '.join(QUALITIES)}")
        super().__init__(frame_size, state_space, action_space, render_mode)
        self.simulator, self._num_substeps, self._camera, self.quality = simulator, num_substeps, camera, quality
        self._state = np.concatenate([simulator.model.qpos0, np.zeros(simulator.model.nv)])

    @abstractmethod
    def actuate(self, action: State) -> None:
        """Sets the controls that an action (a,) in the loaded state asks for."""

    @abstractmethod
    def paint(self, simulator: Simulator, variation: Variation) -> None:
        """Writes every factor of variation into the shared model."""

    def advance(self, action: State) -> None:
        self.load(self._state)
        self.actuate(action)
        self.set_state(self.simulator.step(self._num_substeps))

    def render(self) -> Pixels:
        self.load(self._state)
        check_process()
        return _renderer(self.simulator, self.frame_size, self.quality).draw(self._camera)

    def load(self, state: State) -> None:
        """Makes the shared simulator this environment's, in `state` (S,)."""
        if self.simulator.painted is not self.variation:
            self.paint(self.simulator, self.variation)
            self.simulator.painted = self.variation
        self.simulator.load(state)

    def provenance(self) -> dict[str, Any]:
        return {
            "versions": {package: version(package) for package in self.packages},
            "renderer": require().provenance(),
            "quality": {"name": self.quality, **vars(QUALITIES[self.quality])},
        }


class Renderer:
    """Draws one model in square frames. Belongs to the process that made it."""

    def __init__(self, simulator: Simulator, frame_size: int, quality: Quality) -> None:
        import mujoco

        self._simulator, self._scale = simulator, quality.supersampling
        model, size = simulator.model, frame_size * quality.supersampling
        quality.make_room(model, size, size)
        self._gl = make_context(require().name, size)
        pixel = simulator.extent / frame_size  # about: a frame shows the scene
        with coarse(model, PIXELS * pixel) if quality.coarse else nullcontext():
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene, self._option = mujoco.MjvScene(model, maxgeom=1000), mujoco.MjvOption()
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = quality.shadows
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = quality.reflections
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._rectangle = mujoco.MjrRect(0, 0, size, size)
        self._buffer = np.empty((size, size, 3), np.uint8)
        leave_to_the_system(self._context, self._gl)

    def draw(self, camera: str) -> Pixels:
        """(frame_size, frame_size, 3) what the camera sees of the state that the simulator has loaded."""
        import mujoco

        model, data = self._simulator.model, self._simulator.data
        self._gl.make_current()
        self._view.fixedcamid = model.camera(camera).id
        mujoco.mjv_updateScene(
            model, data, self._option, None, self._view, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
        )
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(self._buffer, None, self._rectangle, self._context)
        return _shrink(self._buffer[::-1], self._scale)  # OpenGL's rows go up


def _shrink(frame: Pixels, scale: int) -> Pixels:
    """(scale h, scale w, 3) -> (h, w, 3) means of scale x scale pixels."""
    if scale == 1:
        return frame.copy()
    rows: NDArray[np.uint16] = frame[::scale].astype(np.uint16)
    for i in range(1, scale):
        rows += frame[i::scale]
    total = rows[:, ::scale] + np.uint16(scale**2 // 2)
    for j in range(1, scale):
        total += rows[:, j::scale]
    return (total // scale**2).astype(np.uint8)


@cache
def _renderer(simulator: Simulator, frame_size: int, quality: str) -> Renderer:
    """The renderer of this process, made at the first frame."""
    return Renderer(simulator, frame_size, QUALITIES[quality])
