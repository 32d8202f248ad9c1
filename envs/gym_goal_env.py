"""A GoalEnv of any Gymnasium environment with continuous actions, a picture and a state that can be set."""

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike

from envs.area_average import area_average
from envs.errors import ArgumentError, DependencyError
from envs.goal_env import GoalEnv, Observation, Pixels, State
from envs.gym_simulation import Simulation, simulation_of
from envs.mujoco_gl import require


class GymGoalEnv(GoalEnv):
    """Pendulum-v1, MountainCarContinuous-v0, InvertedPendulum-v5 and what else is like them.

    An environment is its state vector: one simulation in the process, into which that vector is loaded, serves all that
    have the same arguments. Frames are those of the simulation's render(), shrunk to squares. Its rewards and its ends
    are not used, but for the limit of its registration: an episode is truncated after so many steps. Angles are kept in
    [-pi, pi].

    Args:
      env_id: as in gym.make. ArgumentError: the actions are discrete, or there are no pictures, or no settable state.
      tolerances: by name of a state number, how far it may be off in a goal that is reached; what is not named may be
        anything. Of an angle, the shorter way round counts.
      frame_size: height and width of the frames.
      angles: names of the state numbers that are angles in radians, free to turn.
      velocities: names of the state numbers that are velocities; None takes MuJoCo's qvel. ArgumentError: it is None,
        and the environment is none of MuJoCo's.
      state_names: names of the state numbers; those of MuJoCo's joints if None.
      play_steps: a goal is what this many steps of random play lead to from a start; 0: it is drawn like a start.
      play_repeat: chance that a step of random play repeats the action before it.
      make_kwargs: further arguments of gym.make, as YAML can hold them.
      render_mode: rgb_array.
    """

    def __init__(
        self,
        env_id: str,
        tolerances: Mapping[str, float],
        frame_size: int = 64,
        angles: Sequence[str] = (),
        velocities: Sequence[str] | None = None,
        state_names: Sequence[str] | None = None,
        play_steps: int = 0,
        play_repeat: float = 0.9,
        make_kwargs: Mapping[str, Any] | None = None,
        render_mode: str = "rgb_array",
    ) -> None:
        if play_steps < 0 or not 0 <= play_repeat <= 1:
            raise ArgumentError(f"play_steps={play_steps} must be at least 0 and play_repeat={play_repeat} in [0, 1]")
        self._simulation = _simulation(env_id, frame_size, json.dumps(make_kwargs or {}, sort_keys=True))
        self._play_steps, self._play_repeat, self._num_steps = play_steps, play_repeat, 0
        self._state = self._simulation.read()
        self.state_names = self._simulation.state_names if state_names is None else tuple(state_names)
        if not len(set(self.state_names)) == len(self.state_names) == len(self._state):
            raise ArgumentError(
                f"state_names={list(self.state_names)}: {env_id} has {len(self._state)} state numbers, and each needs a"
                " name of its own"
            )
        self.angles = tuple(angles)
        self._is_angle = np.zeros(len(self.state_names), bool)
        self._is_angle[self._indices("angles", angles)] = True
        self.velocities = self._declared_velocities(env_id, velocities)
        self._watched = self._indices("tolerances", tolerances)
        self._tolerances = np.array(list(tolerances.values()), np.float64)
        if not (self._tolerances >= 0).all():
            raise ArgumentError(f"tolerances={dict(tolerances)} must be at least 0")
        bounds, original = np.where(self._is_angle, np.pi, np.inf), self._simulation.env
        low, high = (np.asarray(bound, np.float32) for bound in (original.action_space.low, original.action_space.high))
        state_space = gym.spaces.Box(-bounds, bounds, dtype=np.float64)
        # A space of its own: a space holds the generator that its samples come from.
        super().__init__(frame_size, state_space, gym.spaces.Box(low, high, dtype=np.float32), render_mode)
        self.metadata = {**GoalEnv.metadata, **original.metadata, "render_modes": ["rgb_array"]}

    def _declared_velocities(self, env_id: str, velocities: Sequence[str] | None) -> tuple[str, ...]:
        if velocities is not None:
            self._indices("velocities", velocities)
            return tuple(velocities)
        if self._simulation.velocities is None:
            raise ArgumentError(
                f"give velocities=[...], the names of those state numbers of {env_id} that are velocities, [] for none:"
                f" it has {list(self.state_names)}"
            )
        return tuple(self.state_names[i] for i in self._simulation.velocities)

    def _indices(self, argument: str, names: Iterable[str]) -> list[int]:
        for name in names:
            if name not in self.state_names:
                raise ArgumentError(f"{argument}: there is no state number {name!r}; there are {self.state_names}")
        return [self.state_names.index(name) for name in names]

    def canonical(self, state: State) -> State:
        return np.where(self._is_angle, _wrapped(state), state)

    def is_success(self, state: State, goal_state: State) -> bool:
        return bool(np.all(self._off(state, goal_state) <= self._tolerances))

    def distance(self, state: State, goal_state: State) -> float:
        """Of the number that is the most tolerances off."""
        return float((self._off(state, goal_state) / np.maximum(self._tolerances, 1e-12)).max(initial=0))

    def _off(self, state: State, goal_state: State) -> State:
        """(number of tolerances,) how far the watched numbers are from those of the goal."""
        off = np.subtract(state, goal_state)
        return np.abs(np.where(self._is_angle, _wrapped(off), off))[self._watched]

    def sample_state(self) -> State:
        self._simulation.env.reset(seed=int(self.np_random.integers(2**31)))
        self.set_state(self._simulation.read())
        return self.state

    def sample_goal(self) -> State:
        self.sample_state()
        action = self._random_action()
        for _ in range(self._play_steps):
            action = action if self.np_random.random() < self._play_repeat else self._random_action()
            self.advance(action)
        return self.state

    def _random_action(self) -> State:
        return self.np_random.uniform(self.action_space.low, self.action_space.high)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict]:
        self._num_steps = 0
        return super().reset(seed=seed, options=options)

    def step(self, action: ArrayLike) -> tuple[Observation, float, bool, bool, dict]:
        observation, reward, terminated, _, info = super().step(action)
        self._num_steps += 1
        return observation, reward, terminated, self._num_steps == self._simulation.max_episode_steps, info

    def advance(self, action: State) -> None:
        self._simulation.write(self._state)
        self._simulation.step(action)
        self.set_state(self._simulation.read())

    def render(self) -> Pixels:
        self._simulation.write(self._state)
        return area_average(self._simulation.render(), self.frame_size)

    def provenance(self) -> dict[str, Any]:
        return self._simulation.provenance()


def _wrapped(angle: State) -> State:
    """The same angles in [-pi, pi]; those that are there already keep their bits."""
    return np.where(np.abs(angle) <= np.pi, angle, np.arctan2(np.sin(angle), np.cos(angle)))


@cache
def _simulation(env_id: str, frame_size: int, make_kwargs: str) -> Simulation:
    """Makes the environment and tries what is needed of it. ArgumentError: it lacks something."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*not in the possible render_modes")  # refused below
            made = gym.make(env_id, render_mode="rgb_array", disable_env_checker=True, **json.loads(make_kwargs))
        env = made.unwrapped
        _check_supported(env_id, env)
        env.reset(seed=0)
        simulation = simulation_of(env, frame_size)
        simulation.max_episode_steps = None if made.spec is None else made.spec.max_episode_steps
    except gym.error.DependencyNotInstalled as error:
        if "mujoco" in str(error).lower():
            require()
        raise DependencyError(f"{env_id} needs a package: {error}") from error
    start = simulation.read()
    if not np.array_equal(_play(simulation, start), _play(simulation, start)):
        raise ArgumentError(f"the state of {env_id} is not complete: the same actions lead from it to different states")
    return simulation


def _check_supported(env_id: str, env: Any) -> None:
    space = env.action_space
    if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1 or not space.is_bounded():
        raise ArgumentError(f"{env_id} has the actions {space}; what is supported is a bounded Box of one axis")
    if "rgb_array" not in env.metadata.get("render_modes", ()):
        raise ArgumentError(f"{env_id} has no rgb_array rendering, and frames are what a world model learns from")


def _play(simulation: Simulation, state: State) -> State:
    """(S,) where five actions lead."""
    space = simulation.env.action_space
    for action in np.random.default_rng(0).uniform(space.low, space.high, (5, *space.shape)):
        simulation.write(state)
        simulation.step(action)
        state = simulation.read()
    return state
