"""Simulation of somebody else's environment for GymGoalEnv: a state to read and write, a step and a picture."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from envs.errors import ArgumentError
from envs.goal_env import Pixels, State
from envs.mujoco_env import Quality
from envs.mujoco_gl import check_process, leave_to_the_system, require

QUALITY = Quality(shadows=False, reflections=True, multisampling=0, supersampling=2, coarse=False)
"""Of MuJoCo's frames. They are averaged in any case: without samples of its own a software renderer is faster."""


class Simulation(ABC):
    """A Gymnasium environment whose future and whose picture are functions of a state that can be set.

    Args:
      env: the environment, reset, without wrappers.

    Attributes:
      state_names: S names.
      velocities: (V,) indices of the state numbers that are velocities; None if the environment does not say.
      max_episode_steps: steps after which an episode is truncated, by the registration; None for no limit.
    """

    state_names: tuple[str, ...]
    velocities: range | None = None
    max_episode_steps: int | None = None
    packages: tuple[str, ...] = ("gymnasium",)
    """What draws and calculates."""

    def __init__(self, env: Any) -> None:
        self.env = env

    @abstractmethod
    def read(self) -> State:
        """(S,) a copy of the state."""

    @abstractmethod
    def write(self, state: State) -> None:
        """Puts the environment into `state` (S,)."""

    def step(self, action: State) -> None:
        self.env.step(action.astype(np.float32))

    def render(self) -> Pixels:
        frame: Pixels = self.env.render()
        return frame

    def provenance(self) -> dict[str, Any]:
        return {"versions": {name: sys.modules[name].__version__ for name in self.packages if name in sys.modules}}


class ClassicControl(Simulation):
    """An environment that keeps its state in the attribute `state`."""

    packages = ("gymnasium", "pygame")

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.state_names = tuple(f"state_{i}" for i in range(len(self.read())))
        with _no_window_system():
            env.render()  # the first picture is what opens the display

    def read(self) -> State:
        return np.array(self.env.state, np.float64)

    def write(self, state: State) -> None:
        self.env.state = state.copy()  # always float64: MountainCar's steps leave float32, and calculate as they find
        if hasattr(self.env, "last_u"):
            self.env.last_u = None  # Pendulum draws an arrow for the last torque, which is no part of the state


class MujocoSimulation(Simulation):
    """An environment of gymnasium.envs.mujoco: its state is qpos, qvel and the activations of its actuators."""

    packages = ("gymnasium", "mujoco")

    def __init__(self, env: Any, frame_size: int) -> None:
        self._backend = require()
        super().__init__(env)
        self.state_names = _mujoco_names(env.model)
        self.velocities = range(env.model.nq, env.model.nq + env.model.nv)
        self._has_drawn = False
        scale = QUALITY.supersampling * frame_size / min(env.width, env.height)
        renderer = env.mujoco_renderer
        renderer.width, renderer.height = round(scale * env.width), round(scale * env.height)
        QUALITY.make_room(env.model, renderer.width, renderer.height)
        env.model.vis.quality.shadowsize = env.model.light_castshadow[:] = 0  # Gymnasium's viewer sets no flag

    def read(self) -> State:
        data = self.env.data
        return np.concatenate([data.qpos, data.qvel, data.act])

    def write(self, state: State) -> None:
        model, data = self.env.model, self.env.data
        qpos, qvel, act = np.split(state, [model.nq, model.nq + model.nv])
        data.act[:] = act
        self.env.set_state(qpos, qvel)

    def step(self, action: State) -> None:
        self.env.data.qacc_warmstart[:] = 0  # else the solver's last solution would be a part of the state
        super().step(action)

    def render(self) -> Pixels:
        check_process()
        if not self._has_drawn:
            self._draw_first()
        # Gymnasium leaves current the context that was made last, of whatever environment.
        self.env.mujoco_renderer.viewer.make_context_current()
        return super().render()

    def _draw_first(self) -> None:
        """A free camera looks at what the first frame of its process shows: that is to be the same for all of them."""
        state = self.read()
        self.env.set_state(self.env.init_qpos, self.env.init_qvel)
        super().render()
        self.write(state)
        leave_to_the_system(self.env.mujoco_renderer.viewer)
        self._has_drawn = True

    def provenance(self) -> dict[str, Any]:
        return {
            **super().provenance(),
            "renderer": self._backend.provenance(),
            "quality": dict(vars(QUALITY)),
        }


def simulation_of(env: Any, frame_size: int) -> Simulation:
    """The simulation in an environment that has been reset. ArgumentError: its state cannot be set."""
    if hasattr(env, "set_state") and hasattr(getattr(env, "data", None), "qpos"):
        return MujocoSimulation(env, frame_size)
    state = getattr(env, "state", None)
    if isinstance(state, tuple | list | np.ndarray) and np.ndim(state) == 1:
        return ClassicControl(env)
    raise ArgumentError(
        f"{type(env).__name__} has no settable state; what is supported are MuJoCo environments, by"
        " set_state(qpos, qvel), and those that keep a vector in the attribute `state`, as classic control does"
    )


def _mujoco_names(model: Any) -> tuple[str, ...]:
    """hinge, hinge_velocity; and root_0 ... root_6, root_velocity_0 ... root_velocity_5 for a free joint."""
    names: tuple[list[str], list[str]] = [], []
    widths = {0: (7, 6), 1: (4, 3), 2: (1, 1), 3: (1, 1)}  # free, ball, slide, hinge: numbers in qpos and in qvel
    for i in range(model.njnt):
        joint = model.joint(i).name or f"joint_{i}"
        for group, stem, width in zip(names, (joint, f"{joint}_velocity"), widths[model.jnt_type[i]], strict=True):
            group.extend([stem] if width == 1 else [f"{stem}_{k}" for k in range(width)])
    return (*names[0], *names[1], *(f"activation_{i}" for i in range(model.na)))


@contextmanager
def _no_window_system() -> Iterator[None]:
    """Lets pygame draw in memory, on machines with a display as on those without, and without its greeting."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    chosen = os.environ.get("SDL_VIDEODRIVER")
    os.environ["SDL_VIDEODRIVER"] = chosen or "dummy"
    try:
        yield
    finally:
        if chosen is None:
            del os.environ["SDL_VIDEODRIVER"]
