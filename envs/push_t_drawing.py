"""Draws Push-T with numpy: only what block and disc cover is touched, every pixel by its covered share."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.goal_env import Pixels, State

Coverage = NDArray[np.float32]

WALL_COLOR = np.array((60, 66, 82), np.float32)


@lru_cache(maxsize=8)
def _background(frame_size: int, arena: float, faces: tuple[float, float], color: tuple[int, ...]) -> Pixels:
    """(h, w, 3) the empty arena between walls with these inner faces."""
    edges = np.linspace(0, arena, frame_size + 1)
    inside = np.clip(np.minimum(edges[1:], faces[1]) - np.maximum(edges[:-1], faces[0]), 0, None) * frame_size / arena
    free = (inside[:, None] * inside)[..., None]
    image = np.rint(free * np.array(color) + (1 - free) * WALL_COLOR).astype(np.uint8)
    image.flags.writeable = False
    return image


class Renderer:
    """Pictures of states; x points right and y down.

    Args:
      frame_size: height and width in pixels.
      arena, faces: side of the arena, and the inner faces of its walls, in the units of states.
      rectangles: (R, 4) the block, in its own frame: low x, low y, high x, high y.
      variation: agent_color, block_color, background_color (3,) and agent_radius.
    """

    def __init__(
        self,
        frame_size: int,
        arena: float,
        faces: tuple[float, float],
        rectangles: NDArray[np.float64],
        variation: Mapping[str, Any],
    ) -> None:
        self.frame_size, self.scale = frame_size, frame_size / arena
        background = tuple(int(value) for value in variation["background_color"])
        self.background = _background(frame_size, arena, faces, background)
        self.block_color = np.asarray(variation["block_color"], np.float32)
        self.agent_color = np.asarray(variation["agent_color"], np.float32)
        self.radius = float(variation["agent_radius"]) * self.scale
        self.reach = np.float32(np.sqrt(self.radius**2 - 1 / 12))  # the ramp at its edge adds pi / 12 to a disc's area
        bounds = (rectangles * self.scale).astype(np.float32)
        self.middles, self.halves = (bounds[:, :2] + bounds[:, 2:]) / 2, (bounds[:, 2:] - bounds[:, :2]) / 2
        self.corners = bounds[:, [[0, 1], [2, 1], [2, 3], [0, 3]]].reshape(-1, 2)

    def __call__(self, agent: State, block: State, angle: float) -> Pixels:
        """(2,) centre of the pusher, (2,) origin of the block and its angle -> (h, w, 3) frame."""
        image = self.background.copy()
        self._draw_block(image, block * self.scale, angle)
        self._draw_agent(image, agent * self.scale)
        return image

    def _draw_block(self, image: Pixels, origin: State, angle: float) -> None:
        """A pixel is covered as if it stood upright in the frame of the block: areas and centres come out right."""
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        corners = self.corners @ np.array([[cos, sin], [-sin, cos]])
        patch, right, down = self._patch(image, origin, corners.min(0), corners.max(0))
        x, y = cos * right + sin * down, cos * down - sin * right
        covers = [
            _ramp(half_x, np.abs(x - middle_x)) * _ramp(half_y, np.abs(y - middle_y))
            for (middle_x, middle_y), (half_x, half_y) in zip(self.middles, self.halves, strict=True)
        ]
        _paint(patch, np.maximum.reduce(covers), self.block_color)

    def _draw_agent(self, image: Pixels, centre: State) -> None:
        patch, right, down = self._patch(image, centre, -self.radius, self.radius)
        _paint(patch, _ramp(self.reach, np.sqrt(right * right + down * down)), self.agent_color)

    def _patch(self, image: Pixels, origin: State, low: Any, high: Any) -> tuple[Pixels, Coverage, Coverage]:
        """The pixels that a box around `origin` can touch, and how far to the right of it and below it they are."""
        (left, top), (right, bottom) = (origin + low - 1).tolist(), (origin + high + 2).tolist()

        def within(edge: float) -> int:
            return min(max(int(edge), 0), self.frame_size)

        rows, columns = np.arange(within(top), within(bottom)), np.arange(within(left), within(right))
        patch = image[within(top) : within(bottom), within(left) : within(right)]
        x, y = origin.tolist()
        return patch, (columns + (0.5 - x)).astype(np.float32), (rows + (0.5 - y)).astype(np.float32)[:, None]


def _ramp(edge: np.float32, distance: Coverage) -> Coverage:
    """Covered share of a pixel at this distance, in pixels, from the middle of what ends at `edge`."""
    return np.maximum(np.minimum(edge + np.float32(0.5) - distance, np.float32(1)), np.float32(0))


def _paint(patch: Pixels, cover: Coverage, color: NDArray[np.float32]) -> None:
    """Mixes `color` into the (h, w, 3) patch by the covered share (h, w) of each pixel, in place."""
    patch[...] = np.rint(patch + cover[..., None] * (color - patch))
