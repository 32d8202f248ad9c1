"""Two-Room's walls and dynamics once more, slow and plain, to compare with."""

import numpy as np

from envs.two_room_dynamics import ARENA, BORDER, DEFAULT, MAX_SPEED


def nearest_wall(position, layout=DEFAULT):
    """(N, 2) -> (N,) distance of each centre to the wall, inside 0, and (N, 2) the direction away from it."""
    (left, right), (top, bottom) = layout.wall, layout.door
    low, high = np.array([[left, -1e3], [left, bottom]]), np.array([[right, top], [right, 1e3]])
    away = position[:, None] - np.clip(position[:, None], low, high)
    distances = np.linalg.norm(away, axis=2)
    nearest = distances.argmin(1)
    rows = np.arange(len(position))
    distance = distances[rows, nearest]
    return distance, away[rows, nearest] / np.maximum(distance, 1e-12)[:, None]


def clearance(position, layout=DEFAULT):
    """(N, 2) centres -> (N,) distance from each to the nearest wall or border, less the radius."""
    border = np.minimum(position - BORDER, ARENA - BORDER - position).min(1)
    return np.minimum(nearest_wall(position, layout)[0], border) - layout.radius


def slow_move(position, action, num_substeps, layout=DEFAULT):
    """The dynamics by small steps: at a contact, what of the remaining motion leads into the wall is lost."""
    action = np.clip(action, -1, 1)
    motion = MAX_SPEED * action / np.maximum(np.linalg.norm(action, axis=1, keepdims=True), 1)
    for _ in range(num_substeps):
        ahead = np.clip(position + motion / num_substeps, layout.low, layout.high)
        normal = nearest_wall(position, layout)[1]
        approach = -(motion * normal).sum(1, keepdims=True)
        blocked = (nearest_wall(ahead, layout)[0] < layout.radius - 1e-9)[:, None] & (approach > 0)
        position = np.where(blocked, position, ahead)
        motion = np.where(blocked, motion + approach * normal, motion)
    return position


def random_directions(num, rng):
    angle = rng.uniform(0, 2 * np.pi, num)
    return np.stack([np.cos(angle), np.sin(angle)], 1)
