"""The picture of Two-Room: antialiased discs in an arena whose pixels have the mean colour of what they cover."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from envs.goal_env import Pixels, State
from envs.two_room_dynamics import ARENA, BORDER, DEFAULT, Layout

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Colors:
    """RGB, 0 to 255."""

    agent: Color = (214, 58, 47)
    background: Color = (244, 243, 238)
    wall: Color = (60, 66, 82)


DEFAULT_COLORS = Colors()


@lru_cache(maxsize=16)
def _empty_arena(frame_size: int, layout: Layout, colors: Colors) -> Pixels:
    """(h, w, 3) the arena without a disc."""
    edges = np.linspace(0, ARENA, frame_size + 1)

    def cover(low: float, high: float) -> State:  # (frame_size,) share of each pixel inside [low, high]
        return np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None) / (edges[1] - edges[0])

    inside = cover(BORDER, ARENA - BORDER)
    wall = (1 - cover(*layout.door))[:, None] * cover(*layout.wall)[None]
    free = (inside[:, None] * inside[None] * (1 - wall))[..., None]
    background, dark = np.array(colors.background, np.float32), np.array(colors.wall, np.float32)
    image = np.rint(free * background + (1 - free) * dark).astype(np.uint8)
    image.flags.writeable = False
    return image


def draw(position: State, frame_size: int, layout: Layout = DEFAULT, colors: Colors = DEFAULT_COLORS) -> Pixels:
    """(N, 2) centres -> (N, h, w, 3) uint8 frames with antialiased discs. The x axis points right, y down."""
    unit = ARENA / frame_size
    arena = _empty_arena(frame_size, layout, colors)
    frames = np.broadcast_to(arena, (len(position), *arena.shape)).copy()
    half = int(np.ceil(layout.radius / unit + 0.5))
    columns, rows = (np.floor(position / unit).astype(np.int64)[..., None] + np.arange(-half, half + 1)).swapaxes(0, 1)
    dx = ((columns + 0.5) * unit - position[:, 0:1])[:, None, :]
    dy = ((rows + 0.5) * unit - position[:, 1:2])[:, :, None]
    alpha = np.clip((layout.radius - np.sqrt(dx**2 + dy**2)) / unit + 0.5, 0, 1).astype(np.float32)[..., None]
    patch = np.arange(len(position))[:, None, None], rows[:, :, None], columns[:, None, :]
    agent = np.array(colors.agent, np.float32)
    frames[patch] = np.rint(alpha * agent + (1 - alpha) * frames[patch]).astype(np.uint8)
    return frames
