"""The blocks of Push-T: unions of rectangles, with their mass and what they touch.

Lengths are in units of the 512 x 512 arena. A block of mass 1 has an origin, which is its position in a state, and
turns about its centre of mass.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_CELL = 15.0  # every corner lies on a lattice of this width


class Block(NamedTuple):
    """A rigid body of mass 1 in its own frame: the origin is at (0, 0), x points right and y down at angle 0."""

    rectangles: NDArray[np.float64]
    """(R, 4) low x, low y, high x, high y; they overlap where they meet, so that nothing shows between them."""
    centre: tuple[float, float]
    """Centre of mass."""
    moment: float
    """Moment of inertia about `centre`."""

    def scaled(self, scale: float) -> "Block":
        x, y = self.centre
        return Block(self.rectangles * scale, (x * scale, y * scale), self.moment * scale**2)

    def corners(self) -> NDArray[np.float64]:
        """(R, 4, 2) corners of each rectangle, in order around it."""
        return self.rectangles[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]

    def extent(self) -> float:
        """Distance from the centre of mass to the farthest corner."""
        return float(np.linalg.norm(self.corners() - self.centre, axis=2).max())

    def distance(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) points in the block's frame -> (...) their distance to the block, 0 inside it."""
        outside = np.maximum(
            self.rectangles[:, :2] - points[..., None, :], points[..., None, :] - self.rectangles[:, 2:]
        )
        return np.hypot(*np.moveaxis(np.maximum(outside, 0), -1, 0)).min(-1)


def to_world(points: NDArray[np.float64], position: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """(..., 2) points in the frame of a block with this pose -> (..., 2) the same points in the arena."""
    cos, sin = np.cos(angle), np.sin(angle)
    return position + points @ np.array([[cos, sin], [-sin, cos]])


def to_block(points: NDArray[np.float64], position: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """(..., 2) points in the arena -> (..., 2) the same points in the frame of a block with this pose."""
    cos, sin = np.cos(angle), np.sin(angle)
    return (points - position) @ np.array([[cos, -sin], [sin, cos]])


def _uniform(*rectangles: tuple[float, float, float, float]) -> Block:
    """A block of the same density everywhere: centre and moment are those of its cells."""
    bounds = np.array(rectangles, np.float64)
    low, high = bounds[:, :2].min(0), bounds[:, 2:].max(0)
    axes = [np.arange(low[i], high[i], _CELL) + _CELL / 2 for i in range(2)]
    cells = np.stack(np.meshgrid(*axes), -1).reshape(-1, 1, 2)
    cells = cells[np.all((cells > bounds[:, :2]) & (cells < bounds[:, 2:]), axis=2).any(1), 0]
    centre = cells.mean(0)
    moment = ((cells - centre) ** 2).sum(1).mean() + _CELL**2 / 6
    return Block(bounds, (float(centre[0]), float(centre[1])), float(moment))


BLOCKS = {
    # Centre and moment as published (Diffusion Policy, arXiv 2303.04137; LeWorldModel uses the same): bar and stem have
    # the same mass, and the moment is twice the bar's about the origin. A uniform T has its centre at y = 40.7.
    "T": _uniform((-60, 0, 60, 30), (-15, 0, 15, 120))._replace(centre=(0.0, 45.0), moment=3000.0),
    "L": _uniform((-15, -60, 15, 60), (-15, 30, 60, 60)),
    "I": _uniform((-15, -60, 15, 60)),
    "Z": _uniform((-45, -30, 15, 0), (-15, -30, 15, 30), (-15, 0, 45, 30)),
    "plus": _uniform((-45, -15, 45, 15), (-15, -45, 15, 45)),
    "square": _uniform((-30, -30, 30, 30)),
}
"""Every block by name. The origin of all but the T is at the middle of its long part."""
