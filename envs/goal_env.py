"""All that the evaluation knows of an environment: a settable state, a picture of it, and a success test."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.errors import ArgumentError

Pixels = NDArray[np.uint8]
State = NDArray[np.float64]
Observation = dict[str, NDArray[Any]]
Variation = dict[str, Any]

FRAME_SIZES = range(48, 513)


class GoalEnv(gym.Env[Observation, NDArray[np.float32]]):
    """A Gymnasium environment that can be put into any state and told whether a state reaches a goal.

    Observations are {"pixels": (h, w, 3) uint8, "state": (S,) float64}. reset() draws a start and a goal; `info`
    holds the goal's state under "goal_state", for experts. A planner sees pixels only.

    reset(options=...) takes
      "state", "goal_state": (S,) instead of those that would be drawn;
      "variation": factors of variation, for this episode: {"agent_color": (0, 128, 0)} sets them, ["agent_color"] draws
        those and "all" draws all of them. The others have their defaults. A state is complete for a given variation.

    A subclass declares state_names, angles and velocities, sets `_state` to a first state and writes sample_state,
    advance, is_success and render; canonical if some vectors are no states, vary if it has factors, sample_goal if
    goals are not drawn as starts are, is_over if an episode can come to an end before its time, and distance where
    numbers of several kinds are in its state.

    Args:
      frame_size: height and width of the frames, 48 to 512.
      state_space, action_space: boxes of (S,) float64 and (a,) float32.
      render_mode: rgb_array.
    """

    observation_space: gym.spaces.Dict  # type: ignore[assignment]
    action_space: gym.spaces.Box  # type: ignore[assignment]
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (Gymnasium's own spelling)
    state_names: tuple[str, ...]
    """S names, one for each number of `state`."""
    angles: tuple[str, ...]
    """State names of angles in radians, where 2 pi more is the same place. Probes and distances treat them so."""
    velocities: tuple[str, ...]
    """State names of velocities, which are 0 in a state at rest."""
    variation_space: gym.spaces.Dict = gym.spaces.Dict()
    """Factors of variation and what they may be."""
    default_variation: Mapping[str, Any] = {}
    """The value that each factor has unless reset() is told otherwise."""
    _state: State
    """(S,) the present one."""

    def __init__(
        self, frame_size: int, state_space: gym.spaces.Box, action_space: gym.spaces.Box, render_mode: str = "rgb_array"
    ) -> None:
        if frame_size not in FRAME_SIZES:
            raise ArgumentError(f"frame_size is {frame_size}; {type(self).__name__} draws frames of 48 to 512 pixels")
        for kind in ("angles", "velocities"):
            if unknown := set(getattr(self, kind)) - set(self.state_names):
                raise ValueError(f"{kind}: {type(self).__name__} has no state number {min(unknown)!r}")
        self.frame_size, self.render_mode = frame_size, render_mode
        pixels = gym.spaces.Box(0, 255, (frame_size, frame_size, 3), np.uint8)
        self.observation_space = gym.spaces.Dict({"pixels": pixels, "state": state_space})
        self.action_space = action_space
        self.variation: Variation = dict(self.default_variation)
        self.vary(self.variation)

    @property
    def state(self) -> State:
        """(S,) a copy of the complete simulator state: set_state(state) reproduces the future exactly."""
        return self._state.copy()

    def set_state(self, state: State) -> None:
        """Puts the simulator into `state` (S,). Start and goal frames are rendered through it.

        Raises:
          ValueError: these are not S finite numbers, or the environment cannot be in that state.
        """
        given = np.array(state, np.float64)
        if given.shape != (len(self.state_names),) or not np.isfinite(given).all():
            raise ValueError(
                f"a state of {type(self).__name__} is {len(self.state_names)} finite numbers, its state_names,"
                f" not {given.tolist()}"
            )
        self._state = self.canonical(given)

    def canonical(self, state: State) -> State:
        """(S,) how `state` is kept, with its angles wrapped, say. ValueError: the environment cannot be in it."""
        return state

    @abstractmethod
    def is_success(self, state: State, goal_state: State) -> bool:
        """Whether `state` (S,) counts as having reached `goal_state` (S,). Never seen by a planner."""

    def is_over(self) -> bool:
        """Whether the episode cannot go on from the present state, such as that of a robot which fell."""
        return False

    def distance(self, state: State, goal_state: State) -> float:
        """How far `state` (S,) is from `goal_state` (S,), for reports; here, 1 is the edge of success.

        Unless a subclass knows better, the Euclidean distance of all numbers that are no velocities.
        """
        off = np.subtract(state, goal_state)
        turns = [name in self.angles for name in self.state_names]
        off[turns] = (off[turns] + np.pi) % (2 * np.pi) - np.pi
        return float(np.linalg.norm(self.at_rest(off)))

    def at_rest(self, state: State) -> State:
        """(S,) `state` with 0 for every velocity."""
        return np.where([name in self.velocities for name in self.state_names], 0.0, state)

    def moved(self, state: State, name: str, amount: float) -> State:
        """Changes one number of `state` (S,), and what has to change with it; for diagnostics.

        Unless a subclass knows better, that number alone. The result need not be a state that the environment can be
        in: set_state refuses those.

        Args:
          state: (S,) the state to start from; it stays as it is.
          name: state name of the number.
          amount: added to the number, in its unit.
        """
        changed = np.array(state, np.float64)
        changed[self.state_names.index(name)] += amount
        return changed

    def action_towards(self, state: State, target: State) -> State:
        """(a,) the action that aims at a target (a,) from `state` (S,), for recordings whose actions are such targets.

        It may lie outside the action space. ArgumentError: actions here aim at no target.
        """
        raise ArgumentError(f"an action of {type(self).__name__} aims at no target, as recorded ones do")

    @abstractmethod
    def sample_state(self) -> State:
        """(S,) a start or a goal, drawn with self.np_random."""

    def sample_goal(self) -> State:
        """(S,) a goal, drawn with self.np_random."""
        return self.sample_state()

    @abstractmethod
    def advance(self, action: State) -> None:
        """One step of the dynamics under an action (a,), clipped to the action space."""

    @abstractmethod
    def render(self) -> Pixels:
        """(h, w, 3) picture of the state; changes nothing."""

    def vary(self, variation: Variation) -> None:
        """Takes on a value for every factor. Called before a state is drawn or set."""

    def provenance(self) -> dict[str, Any]:
        """What else the frames and the dynamics depend on: versions of simulators, renderer and its quality."""
        return {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict]:
        super().reset(seed=seed)
        options = options or {}
        if unknown := options.keys() - {"state", "goal_state", "variation"}:
            raise ValueError(f"reset option {min(unknown)!r}; there are state, goal_state and variation")
        self.variation = self._choose_variation(options.get("variation", {}))
        self.vary(self.variation)
        start = options["state"] if "state" in options else self.sample_state()
        self.set_state(options["goal_state"] if "goal_state" in options else self.sample_goal())
        self._goal = self.state
        self.set_state(start)
        return self._observe(), self._info()

    def step(self, action: ArrayLike) -> tuple[Observation, float, bool, bool, dict]:
        self.advance(np.clip(np.asarray(action, np.float64), self.action_space.low, self.action_space.high))
        success = self.is_success(self.state, self._goal)
        return self._observe(), float(success), success or self.is_over(), False, self._info()

    def _observe(self) -> Observation:
        return {"pixels": self.render(), "state": self.state}

    def _info(self) -> dict[str, Any]:
        return {"goal_state": self._goal.copy()}

    def _choose_variation(self, asked: Any) -> Variation:
        """A value for every factor: the default, the one asked for, or one drawn."""
        factors = self.variation_space.spaces
        if isinstance(asked, str):
            asked = list(factors) if asked == "all" else [asked]
        names = list(asked)
        if unknown := set(names) - factors.keys():
            raise ValueError(f"{type(self).__name__} has no factor {min(unknown)!r}; it has {', '.join(factors)}")
        chosen = dict(self.default_variation)
        for name in names:
            if isinstance(asked, Mapping):
                chosen[name] = _value_in(factors[name], name, asked[name])
            else:
                factors[name].seed(int(self.np_random.integers(2**31)))
                chosen[name] = factors[name].sample()
        return chosen


def _value_in(space: gym.Space[Any], name: str, asked: Any) -> NDArray[Any]:
    """What was asked for in the type of its space. ValueError: it is not in there."""
    given = np.asarray(asked)
    with np.errstate(invalid="ignore"):  # a NaN is no integer, which contains() and allclose() then say
        value = given.astype(space.dtype) if given.dtype.kind in "biuf" else given
    if not (space.contains(value) and np.allclose(value, given)):  # not 300 or 0.5 as an uint8
        raise ValueError(f"variation {name}={asked!r} is outside {space}")
    return value
