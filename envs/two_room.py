"""Two rooms, one wall, one door, and a disc that has to pass through it: a numpy simulation of any number of discs.

Lengths are in units of a 224 x 224 arena whatever the size of the frames, as in the Two-Room task of the LeWorldModel
paper (arXiv 2603.19312). Actions are velocities in [-1, 1]^2; a disc moves at most MAX_SPEED units a step.
"""

from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from envs.goal_env import GoalEnv, Observation, Pixels, State

ARENA = 224.0
BORDER = 10.0
RADIUS = 7.0
MAX_SPEED = 5.0
WALL = (107.0, 117.0)
"""The x interval that the wall fills."""
DOOR = (96.0, 128.0)
"""The y interval where the wall is open."""
SUCCESS_DISTANCE = 16.0

LOW, HIGH = BORDER + RADIUS, ARENA - BORDER - RADIUS
_SKIN = 1e-6  # a disc stops this far from what it touches, so that rounding never starts a sweep inside a wall
_BACKGROUND, _WALL_COLOR, _AGENT_COLOR = (
    np.array(rgb, np.float32) for rgb in ((244, 243, 238), (60, 66, 82), (214, 58, 47))
)

# What the centre of a disc must not enter: the two wall segments grown by RADIUS, which is boxes and round corners.
_BOXES = np.array(
    [
        [[WALL[0] - RADIUS, -ARENA], [WALL[1] + RADIUS, DOOR[0]]],
        [[WALL[0], -ARENA], [WALL[1], DOOR[0] + RADIUS]],
        [[WALL[0] - RADIUS, DOOR[1]], [WALL[1] + RADIUS, 2 * ARENA]],
        [[WALL[0], DOOR[1] - RADIUS], [WALL[1], 2 * ARENA]],
    ]
)
_CORNERS = np.array([[x, y] for x in WALL for y in DOOR])


def _sweep_boxes(start: State, motion: State) -> tuple[State, State]:
    """Time of entry of each point into each box, (N, 4), in [0, 1] or inf, and the normal there (N, 4, 2)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        times = (_BOXES[None] - start[:, None, None]) / motion[:, None, None]  # (N, 4, low and high, xy)
    still = (motion == 0)[:, None]
    within = (start[:, None] > _BOXES[:, 0]) & (start[:, None] < _BOXES[:, 1])
    enter = np.where(still, np.where(within, -np.inf, np.inf), times.min(2))
    leave = np.where(still, np.where(within, np.inf, -np.inf), times.max(2))
    axis = enter.argmax(2)
    time = enter.max(2)
    time = np.where((time < leave.min(2)) & (time >= 0) & (time <= 1), time, np.inf)
    normal = -np.sign(np.take_along_axis(motion[:, None].repeat(4, 1), axis[..., None], 2)) * np.eye(2)[axis]
    return time, normal


def _sweep_corners(start: State, motion: State) -> tuple[State, State]:
    """The same as _sweep_boxes for the four round corners."""
    offset = start[:, None] - _CORNERS
    a = (motion**2).sum(1)[:, None]
    b = (offset * motion[:, None]).sum(2)
    c = (offset**2).sum(2) - RADIUS**2
    discriminant = b**2 - a * c
    # The tolerances let a disc that touches a corner leave it, and keep it from going in.
    hits = (discriminant > 0) & (b < -1e-9) & (c > -1e-9)
    time = np.maximum(-b - np.sqrt(np.where(hits, discriminant, 0)), 0) / np.where(hits, a, 1)
    hits &= time <= 1
    normal = (offset + np.where(hits, time, 0)[..., None] * motion[:, None]) / RADIUS
    return np.where(hits, time, np.inf), normal


def move(position: State, action: ArrayLike) -> State:
    """One step of the dynamics: sweeps each disc along its motion, stops it at the first contact, slides the rest.

    Args:
      position: (N, 2) centres of the discs, in units of the arena.
      action: (N, 2) velocities in [-1, 1]^2; one longer than 1 is shortened to 1.

    Returns:
      (N, 2) new centres, at least RADIUS away from every wall.
    """
    action = np.clip(np.asarray(action, np.float64), -1, 1)
    motion = MAX_SPEED * action / np.maximum(np.linalg.norm(action, axis=1, keepdims=True), 1)
    for _ in range(3):  # a contact, a slide into a second contact, and the slide from there
        motion = np.clip(position + motion, LOW, HIGH) - position
        boxes, corners = _sweep_boxes(position, motion), _sweep_corners(position, motion)
        times, normals = np.concatenate([boxes[0], corners[0]], 1), np.concatenate([boxes[1], corners[1]], 1)
        first = times.argmin(1)
        rows = np.arange(len(position))
        time, normal = times[rows, first], normals[rows, first]
        hit = np.isfinite(time)
        approach = -(motion * normal).sum(1)
        # The skin is measured along the normal: a grazing disc stops early enough, too.
        stop = np.where(hit, np.maximum(time - _SKIN / np.where(hit, np.maximum(approach, _SKIN), 1), 0), 1)
        position = position + stop[:, None] * motion
        rest = (1 - stop)[:, None] * motion
        motion = np.where(hit[:, None], rest - (rest * normal).sum(1)[:, None] * normal, 0)
        if not hit.any():
            break
    return position


def is_free(position: State) -> NDArray[np.bool_]:
    """(N, 2) centres -> (N,) whether a disc may be there."""
    in_box = np.any(np.all((position[:, None] > _BOXES[:, 0]) & (position[:, None] < _BOXES[:, 1]), axis=2), axis=1)
    in_corner = np.any(np.linalg.norm(position[:, None] - _CORNERS, axis=2) < RADIUS, axis=1)
    in_arena = np.all((position >= LOW) & (position <= HIGH), axis=1)
    free: NDArray[np.bool_] = in_arena & ~in_box & ~in_corner
    return free


def sample_free(num: int, rng: np.random.Generator) -> State:
    """(num, 2) centres, uniform over the free part of the arena."""
    position = rng.uniform(LOW, HIGH, (num, 2))
    while not (free := is_free(position)).all():
        position[~free] = rng.uniform(LOW, HIGH, ((~free).sum(), 2))
    return position


@cache
def _background(frame_size: int) -> Pixels:
    """(h, w, 3) the empty arena; every pixel has the mean colour of the area that it covers."""
    edges = np.linspace(0, ARENA, frame_size + 1)

    def cover(low: float, high: float) -> State:  # (frame_size,) share of each pixel inside [low, high]
        return np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None) / (edges[1] - edges[0])

    inside = cover(BORDER, ARENA - BORDER)
    wall = (1 - cover(*DOOR))[:, None] * cover(*WALL)[None]
    free = (inside[:, None] * inside[None] * (1 - wall))[..., None]
    image = np.rint(free * _BACKGROUND + (1 - free) * _WALL_COLOR).astype(np.uint8)
    image.flags.writeable = False
    return image


def draw(position: State, frame_size: int) -> Pixels:
    """(N, 2) centres -> (N, h, w, 3) uint8 frames with antialiased discs. The x axis points right, y down."""
    unit = ARENA / frame_size
    frames = np.broadcast_to(_background(frame_size), (len(position), frame_size, frame_size, 3)).copy()
    half = int(np.ceil(RADIUS / unit + 0.5))
    columns, rows = (np.floor(position / unit).astype(np.int64)[..., None] + np.arange(-half, half + 1)).swapaxes(0, 1)
    dx = ((columns + 0.5) * unit - position[:, 0:1])[:, None, :]
    dy = ((rows + 0.5) * unit - position[:, 1:2])[:, :, None]
    alpha = np.clip((RADIUS - np.sqrt(dx**2 + dy**2)) / unit + 0.5, 0, 1).astype(np.float32)[..., None]
    patch = np.arange(len(position))[:, None, None], rows[:, :, None], columns[:, None, :]
    frames[patch] = np.rint(alpha * _AGENT_COLOR + (1 - alpha) * frames[patch]).astype(np.uint8)
    return frames


def is_success(state: State, goal_state: State) -> NDArray[np.bool_]:
    """(..., 2), (..., 2) -> (...) whether the disc is within SUCCESS_DISTANCE of the goal."""
    return np.linalg.norm(state - goal_state, axis=-1) < SUCCESS_DISTANCE


class TwoRoom(GoalEnv):
    """The environment for one disc; state = (x, y) of its centre."""

    state_names = ("agent_x", "agent_y")

    def __init__(self, frame_size: int = 64, render_mode: str = "rgb_array") -> None:
        state_space = gym.spaces.Box(LOW, HIGH, (2,), np.float64)
        super().__init__(frame_size, state_space, gym.spaces.Box(-1, 1, (2,), np.float32), render_mode)
        self._position = np.full((1, 2), ARENA / 4)

    @property
    def state(self) -> State:
        return self._position[0].copy()

    def set_state(self, state: State) -> None:
        position = np.array(state, np.float64)[None]
        if not is_free(position).all():
            raise ValueError(f"a disc cannot be at {position[0].tolist()}: that is inside a wall")
        self._position = position

    def is_success(self, state: State, goal_state: State) -> bool:
        return bool(is_success(state, goal_state))

    def sample_state(self) -> State:
        return sample_free(1, self.np_random)[0]

    def advance(self, action: State) -> None:
        self._position = move(self._position, action[None])

    def render(self) -> Pixels:
        return draw(self._position, self.frame_size)[0]


class TwoRoomVector(VectorEnv):
    """The environment for num_envs discs at once, for collection. Nothing resets by itself."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012 (Gymnasium's own spelling)

    def __init__(self, num_envs: int = 1, frame_size: int = 64, **_: Any) -> None:
        self.num_envs, self.frame_size = num_envs, frame_size
        single = TwoRoom(frame_size)
        self.single_observation_space, self.single_action_space = single.observation_space, single.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def _observe(self) -> Observation:
        return {"pixels": draw(self._position, self.frame_size), "state": self._position.copy()}

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict]:
        super().reset(seed=seed)
        self._position = sample_free(self.num_envs, self.np_random)
        self._goal = sample_free(self.num_envs, self.np_random)
        return self._observe(), {"goal_state": self._goal.copy()}

    def step(self, actions: ArrayLike) -> tuple[Observation, Any, Any, Any, dict]:
        self._position = move(self._position, actions)
        success = is_success(self._position, self._goal)
        info = {"goal_state": self._goal.copy()}
        return self._observe(), success.astype(np.float64), success, np.zeros(self.num_envs, bool), info
