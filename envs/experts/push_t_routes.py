"""Contacts of a disc with a block, and the shortest ways around the block to get there."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.push_t_blocks import Block

Array = NDArray[np.float64]

_SPACING = 7.5  # units between neighbouring contacts
_INSET = 3.0  # units that contacts keep from the ends of an edge, where the disc would slip off
_STANDOFF = 3.0  # units between the block and a disc that is about to push it
_CORNER = 6.0  # units that the ways around the block keep from it at its corners
_GRAZE = 2.0  # units by which a way may cut into the disc's distance from the block: there is no friction


class Contacts(NamedTuple):
    """C places on the block, in its frame."""

    points: Array  # (C, 2)
    normals: Array  # (C, 2) into the block: a push moves the centre of mass this way
    discs: Array  # (C, 2) the centre of the disc that is about to push


class Routes:
    """Ways of a disc around a block, in the frame of the block.

    Args:
      block: the obstacle.
      radius: radius of the disc.
    """

    def __init__(self, block: Block, radius: float) -> None:
        self.block, self.radius = block, radius
        grow = np.array([-1, -1, 1, 1]) * (radius - _GRAZE)
        self._obstacles = block.rectangles + grow
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        nodes = (block.corners() + signs * (radius + _CORNER)).reshape(-1, 2)
        self.nodes = nodes[block.distance(nodes) >= radius + _CORNER - 1e-9]
        self.contacts = self._find_contacts()
        self._legs = self._lengths(self.nodes, self.nodes)
        self._last_legs = self._lengths(self.nodes, self.contacts.discs)
        self._from_nodes = cache(self._shortest)

    def to_contacts(self, start: Array, usable_nodes: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Lengths (C,) of the ways from `start` (2,) to the discs of all contacts, where each turns first (C, 2)."""
        start = self.push_out(start)
        ends = np.concatenate([self.nodes, self.contacts.discs])
        return self._join(start, ends, self._from_nodes(usable_nodes.tobytes())[1])

    def to_point(self, start: Array, end: Array, usable_nodes: NDArray[np.bool_]) -> Array:
        """(2,) where the way from `start` to `end` turns first; `end` if it never does."""
        start, end = self.push_out(start), self.push_out(end)
        legs = self._from_nodes(usable_nodes.tobytes())[0]
        last = np.min(legs[:, :, None] + self._lengths(self.nodes, end[None])[None], axis=1)
        return self._join(start, np.concatenate([self.nodes, end[None]]), last)[1][0]

    def push_out(self, point: Array) -> Array:
        """(2,) the nearest point where the disc does not overlap the block."""
        for low_x, low_y, high_x, high_y in self._obstacles:
            gaps = np.array([point[0] - low_x, point[1] - low_y, high_x - point[0], high_y - point[1]])
            side = int(gaps.argmin())
            if gaps[side] > 0:
                point = point.copy()
                point[side % 2] += (gaps[side] + 1e-6) * (-1 if side < 2 else 1)
        return point

    def _join(self, start: Array, ends: Array, from_nodes: Array) -> tuple[Array, Array]:
        """Lengths and first turns of the ways to the ends that follow the nodes, direct or by a first node."""
        first = self._lengths(start[None], ends)[0]
        num_nodes = len(self.nodes)
        first[:num_nodes][first[:num_nodes] < 1] = np.inf  # a way goes on from the node where it is
        lengths = np.concatenate([first[None, num_nodes:], first[:num_nodes, None] + from_nodes])
        best = lengths.argmin(0)
        turns = np.where((best == 0)[:, None], ends[num_nodes:], self.nodes[best - 1])
        return lengths[best, np.arange(len(best))], turns

    def _shortest(self, usable: bytes) -> tuple[Array, Array]:
        """Lengths between all nodes (O, O) and from nodes to contacts (O, C) over the nodes that are usable."""
        mask = np.where(np.frombuffer(usable, np.bool_), 0, np.inf)
        legs = self._legs + mask[:, None] + mask
        for middle in range(len(legs)):
            legs = np.minimum(legs, legs[:, middle, None] + legs[middle])
        return legs, np.min(legs[:, :, None] + self._last_legs[None], axis=1)

    def _lengths(self, starts: Array, ends: Array) -> Array:
        """(A, 2), (B, 2) -> (A, B) lengths of straight ways, inf where the block is in the way."""
        motion = ends - starts[:, None]
        motion = np.where(np.abs(motion) < 1e-9, 1e-9, motion)[:, :, None]  # (A, B, 1, 2)
        origin = starts[:, None, None]
        one, other = (self._obstacles[:, :2] - origin) / motion, (self._obstacles[:, 2:] - origin) / motion
        enter, leave = np.minimum(one, other).max(3), np.maximum(one, other).min(3)
        blocked = np.any((enter < leave) & (enter < 1) & (leave > 0), axis=2)
        return np.where(blocked, np.inf, np.hypot(motion[..., 0, 0], motion[..., 0, 1]))

    def _find_contacts(self) -> Contacts:
        """All places on the outline where the disc fits in, straight behind the centre of mass among them."""
        points, normals = [], []
        centre = np.array(self.block.centre)
        for rectangle in self.block.rectangles:
            for side in range(4):
                across, along = side % 2, 1 - side % 2
                low, high = rectangle[along] + _INSET, rectangle[along + 2] - _INSET
                first = np.ceil((low - centre[along]) / _SPACING)
                offsets = np.arange(centre[along] + first * _SPACING, high + 1e-9, _SPACING)
                point = np.empty((len(offsets), 2))
                point[:, across], point[:, along] = rectangle[side], offsets
                normal = np.zeros(2)
                normal[across] = 1 if side < 2 else -1
                points.append(point)
                normals.append(np.broadcast_to(normal, point.shape))
        all_points, all_normals = np.concatenate(points), np.concatenate(normals)
        free = self.block.distance(all_points - self.radius * all_normals) >= self.radius - 1e-6
        all_points, all_normals = all_points[free], all_normals[free]
        return Contacts(all_points, all_normals, all_points - (self.radius + _STANDOFF) * all_normals)
