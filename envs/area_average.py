"""Shrinks pictures: every pixel becomes the mean of the area that it covers."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from envs.goal_env import Pixels


def area_average(image: Pixels, size: int) -> Pixels:
    """(h, w, 3) uint8 -> (size, size, 3) uint8."""
    height, width, channels = image.shape
    if height == width == size:
        return image.copy()
    rows = _shares(height, size) @ image.reshape(height, width * channels).astype(np.float32)
    columns = rows.reshape(size, width, channels).swapaxes(0, 1).reshape(width, size * channels)  # one large product
    frame = (_shares(width, size) @ columns).reshape(size, size, channels).swapaxes(0, 1)
    return np.rint(frame).astype(np.uint8)


@lru_cache(maxsize=16)
def _shares(length: int, size: int) -> NDArray[np.float32]:
    """(size, length) how much each old pixel counts for each new one; the rows add up to 1."""
    edges = np.linspace(0, length, size + 1)
    old = np.arange(length)
    cover = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    return (np.clip(cover, 0, None) * (size / length)).astype(np.float32)
