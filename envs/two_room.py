"""Two rooms, one wall, one door, and a disc that has to pass through it."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from envs.goal_env import GoalEnv, Observation, Pixels, State, Variation
from envs.two_room_drawing import DEFAULT_COLORS, Color, Colors, draw
from envs.two_room_dynamics import ARENA, BORDER, DEFAULT, Layout, is_free, move, sample_free

SUCCESS_DISTANCE = 16.0
"""Units of the arena that the disc may be off."""

_RADII = (4.0, 9.0)
_COLORS = gym.spaces.Box(0, 255, (3,), np.uint8)


def _lengths(low: float, high: float) -> gym.spaces.Box:
    return gym.spaces.Box(low, high, (), np.float64)


def is_success(state: State, goal_state: State) -> NDArray[np.bool_]:
    """(..., 2), (..., 2) -> (...) whether the disc is within SUCCESS_DISTANCE of the goal."""
    return np.linalg.norm(state - goal_state, axis=-1) < SUCCESS_DISTANCE


class TwoRoom(GoalEnv):
    """The environment for one disc; state = (x, y) of its centre, in units of the arena.

    Attributes:
      layout: where the walls are in this episode, and how large the disc.
      colors: colors of this episode.
    """

    state_names = ("agent_x", "agent_y")
    angles = velocities = ()  # an action is the velocity of its step, and nothing of it lasts
    # The door is wider than the widest disc, and does not reach the corners of the arena, wherever they are.
    variation_space = gym.spaces.Dict(
        {
            "agent_color": _COLORS,
            "background_color": _COLORS,
            "wall_color": _COLORS,
            "agent_radius": _lengths(*_RADII),
            "wall_x": _lengths(62.0, 162.0),
            "door_y": _lengths(44.0, 180.0),
            "door_width": _lengths(24.0, 48.0),
        }
    )
    default_variation = {  # noqa: RUF012 (as in GoalEnv)
        "agent_color": DEFAULT_COLORS.agent,
        "background_color": DEFAULT_COLORS.background,
        "wall_color": DEFAULT_COLORS.wall,
        "agent_radius": DEFAULT.radius,
        "wall_x": DEFAULT.wall_x,
        "door_y": DEFAULT.door_y,
        "door_width": DEFAULT.door_width,
    }

    def __init__(self, frame_size: int = 64, render_mode: str = "rgb_array") -> None:
        low = BORDER + _RADII[0]
        state_space = gym.spaces.Box(low, ARENA - low, (2,), np.float64)
        super().__init__(frame_size, state_space, gym.spaces.Box(-1, 1, (2,), np.float32), render_mode)
        self._state = np.full(2, ARENA / 4)

    def vary(self, variation: Variation) -> None:
        def color(name: str) -> Color:
            red, green, blue = variation[name]
            return int(red), int(green), int(blue)

        self.colors = Colors(color("agent_color"), color("background_color"), color("wall_color"))
        self.layout = Layout(
            wall_x=float(variation["wall_x"]),
            door_y=float(variation["door_y"]),
            door_width=float(variation["door_width"]),
            radius=float(variation["agent_radius"]),
        )

    def canonical(self, state: State) -> State:
        if not is_free(state[None], self.layout).all():
            raise ValueError(f"a disc cannot be at {state.tolist()}: that is inside a wall")
        return state

    def is_success(self, state: State, goal_state: State) -> bool:
        return bool(is_success(state, goal_state))

    def distance(self, state: State, goal_state: State) -> float:
        return float(np.linalg.norm(state - goal_state)) / SUCCESS_DISTANCE

    def sample_state(self) -> State:
        return sample_free(1, self.np_random, self.layout)[0]

    def advance(self, action: State) -> None:
        self._state = move(self._state[None], action[None], self.layout)[0]

    def render(self) -> Pixels:
        return draw(self._state[None], self.frame_size, self.layout, self.colors)[0]


class TwoRoomVector(VectorEnv):
    """The environment for num_envs discs at once, for collection: no factors of variation, nothing resets by itself.

    Args:
      num_envs, frame_size: number of discs, and height and width of the frames.
      max_episode_steps: steps after which all episodes are truncated, which Gymnasium passes on of the registration.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012 (Gymnasium's own spelling)

    def __init__(self, num_envs: int = 1, frame_size: int = 64, max_episode_steps: int | None = None) -> None:
        self.num_envs, self.frame_size, self._max_steps, self._num_steps = num_envs, frame_size, max_episode_steps, 0
        single = TwoRoom(frame_size)
        self.single_observation_space, self.single_action_space = single.observation_space, single.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def _observe(self) -> Observation:
        return {"pixels": draw(self._position, self.frame_size), "state": self._position.copy()}

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict]:
        if options:
            raise ValueError(f"reset option {min(options)!r}: many discs at once take none; TwoRoom, one disc, does")
        super().reset(seed=seed)
        self._num_steps = 0
        self._position = sample_free(self.num_envs, self.np_random)
        self._goal = sample_free(self.num_envs, self.np_random)
        return self._observe(), {"goal_state": self._goal.copy()}

    def step(self, actions: ArrayLike) -> tuple[Observation, Any, Any, Any, dict]:
        self._position = move(self._position, actions)
        success = is_success(self._position, self._goal)
        info = {"goal_state": self._goal.copy()}
        self._num_steps += 1
        truncated = np.full(self.num_envs, self._num_steps == self._max_steps)
        return self._observe(), success.astype(np.float64), success, truncated, info
