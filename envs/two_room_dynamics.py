"""The dynamics of Two-Room: two rooms, one wall, one door, and any number of discs that have to pass through it.

Lengths are in units of a 224 x 224 arena whatever the size of the frames, as in the Two-Room task of the LeWorldModel
paper (arXiv 2603.19312). Actions are velocities in [-1, 1]^2; a disc moves at most MAX_SPEED units a step.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.goal_env import State

ARENA = 224.0
BORDER = 10.0
WALL_THICKNESS = 10.0
MAX_SPEED = 5.0
_SKIN = 1e-6  # a disc stops this far from what it touches, so that rounding never starts a sweep inside a wall


@dataclass(frozen=True)
class Layout:
    """Where the walls are, and how large the discs.

    Attributes:
      wall_x: the middle of the wall.
      door_y: the middle of the door.
      door_width: must exceed 2 x radius.
      radius: radius of the discs.
    """

    wall_x: float = 112.0
    door_y: float = 112.0
    door_width: float = 32.0
    radius: float = 7.0

    @property
    def wall(self) -> tuple[float, float]:
        """The x interval that the wall fills."""
        return self.wall_x - WALL_THICKNESS / 2, self.wall_x + WALL_THICKNESS / 2

    @property
    def door(self) -> tuple[float, float]:
        """The y interval where the wall is open."""
        return self.door_y - self.door_width / 2, self.door_y + self.door_width / 2

    @property
    def low(self) -> float:
        """The least x or y of a disc's centre."""
        return BORDER + self.radius

    @property
    def high(self) -> float:
        """The greatest."""
        return ARENA - BORDER - self.radius

    @cached_property
    def boxes(self) -> State:
        """(4, 2, 2) what no centre must enter, beside the corners: the two wall segments grown by the radius."""
        (left, right), (top, bottom), radius = self.wall, self.door, self.radius
        return np.array(
            [
                [[left - radius, -ARENA], [right + radius, top]],
                [[left, -ARENA], [right, top + radius]],
                [[left - radius, bottom], [right + radius, 2 * ARENA]],
                [[left, bottom - radius], [right, 2 * ARENA]],
            ]
        )

    @cached_property
    def corners(self) -> State:
        """(4, 2) the centres of the round corners."""
        return np.array([[x, y] for x in self.wall for y in self.door])


DEFAULT = Layout()


def _sweep_boxes(start: State, motion: State, boxes: State) -> tuple[State, State]:
    """Time of entry of each point into each box (4, 2, 2): (N, 4), in [0, 1] or inf, and the normal there (N, 4, 2)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        times = (boxes[None] - start[:, None, None]) / motion[:, None, None]  # (N, 4, low and high, xy)
    still = (motion == 0)[:, None]
    within = (start[:, None] > boxes[:, 0]) & (start[:, None] < boxes[:, 1])
    enter = np.where(still, np.where(within, -np.inf, np.inf), times.min(2))
    leave = np.where(still, np.where(within, np.inf, -np.inf), times.max(2))
    axis = enter.argmax(2)
    time = enter.max(2)
    time = np.where((time < leave.min(2)) & (time >= 0) & (time <= 1), time, np.inf)
    normal = -np.sign(np.take_along_axis(motion[:, None].repeat(4, 1), axis[..., None], 2)) * np.eye(2)[axis]
    return time, normal


def _sweep_corners(start: State, motion: State, corners: State, radius: float) -> tuple[State, State]:
    """The same as _sweep_boxes for the four round corners, (4, 2)."""
    offset = start[:, None] - corners
    a = (motion**2).sum(1)[:, None]
    b = (offset * motion[:, None]).sum(2)
    c = (offset**2).sum(2) - radius**2
    discriminant = b**2 - a * c
    # The tolerances let a disc that touches a corner leave it, and keep it from going in.
    hits = (discriminant > 0) & (b < -1e-9) & (c > -1e-9)
    time = np.maximum(-b - np.sqrt(np.where(hits, discriminant, 0)), 0) / np.where(hits, a, 1)
    hits &= time <= 1
    normal = (offset + np.where(hits, time, 0)[..., None] * motion[:, None]) / radius
    return np.where(hits, time, np.inf), normal


def move(position: State, action: ArrayLike, layout: Layout = DEFAULT) -> State:
    """One step of the dynamics: sweeps each disc along its motion, stops it at the first contact, slides the rest.

    Args:
      position: (N, 2) centres of the discs, in units of the arena.
      action: (N, 2) velocities in [-1, 1]^2; one longer than 1 is shortened to 1.
      layout: where the walls are, and how large the discs.

    Returns:
      (N, 2) new centres, at least layout.radius away from every wall.
    """
    action = np.clip(np.asarray(action, np.float64), -1, 1)
    motion = MAX_SPEED * action / np.maximum(np.linalg.norm(action, axis=1, keepdims=True), 1)
    for _ in range(3):  # a contact, a slide into a second contact, and the slide from there
        motion = np.clip(position + motion, layout.low, layout.high) - position
        boxes = _sweep_boxes(position, motion, layout.boxes)
        corners = _sweep_corners(position, motion, layout.corners, layout.radius)
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


def is_free(position: State, layout: Layout = DEFAULT) -> NDArray[np.bool_]:
    """(N, 2) centres -> (N,) whether a disc may be there."""
    boxes, corners = layout.boxes, layout.corners
    in_box = np.any(np.all((position[:, None] > boxes[:, 0]) & (position[:, None] < boxes[:, 1]), axis=2), axis=1)
    in_corner = np.any(np.linalg.norm(position[:, None] - corners, axis=2) < layout.radius, axis=1)
    in_arena = np.all((position >= layout.low) & (position <= layout.high), axis=1)
    free: NDArray[np.bool_] = in_arena & ~in_box & ~in_corner
    return free


def sample_free(num: int, rng: np.random.Generator, layout: Layout = DEFAULT) -> State:
    """(num, 2) centres, uniform over the free part of the arena."""
    position = rng.uniform(layout.low, layout.high, (num, 2))
    while not (free := is_free(position, layout)).all():
        position[~free] = rng.uniform(layout.low, layout.high, ((~free).sum(), 2))
    return position
