"""Frames of any size to square frames of one size."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from lewm.errors import InputError

BLOCK = 64
"""Frames that are read, resized and written at once: what bounds the memory."""
FITS = ("crop", "pad")


@dataclass(frozen=True)
class Resize:
    """Square frames of frame_size pixels.

    Attributes:
      frame_size: height and width of the resized frames; None keeps the size.
      fit: what makes a frame square: crop keeps its middle, pad adds black borders; None refuses frames that are not.
    """

    frame_size: int | None = None
    fit: str | None = None

    def size_of(self, height: int, width: int) -> int:
        """The frame size that frames of this height and width get. InputError: they are not square, and fit is None."""
        if self.frame_size is not None and self.frame_size < 1:
            raise InputError(f"--frame-size {self.frame_size} must be at least 1")
        if height != width and self.fit is None:
            raise InputError(
                f"the frames are {width} wide and {height} high: give --fit crop for the square in their middle, or"
                " --fit pad for black borders"
            )
        return self.frame_size or (min if self.fit == "crop" else max)(height, width)

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(N, h, w, 3) -> (N, frame_size, frame_size, 3), antialiased."""
        height, width = frames.shape[1:3]
        size = self.size_of(height, width)
        if self.fit == "crop":
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            frames = frames[:, top : top + side, left : left + side]
        elif height != width:
            side = max(height, width)
            top, left = (side - height) // 2, (side - width) // 2
            square = np.zeros((len(frames), side, side, frames.shape[3]), np.uint8)
            square[:, top : top + height, left : left + width] = frames
            frames = square
        if frames.shape[1] == size:
            return np.ascontiguousarray(frames)
        return np.concatenate([_scale(frames[i : i + BLOCK], size) for i in range(0, len(frames), BLOCK)])


def _scale(frames: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    pixels = torch.from_numpy(np.array(frames)).movedim(-1, 1).float()
    scaled = F.interpolate(pixels, (size, size), mode="bicubic", antialias=True)
    result: NDArray[np.uint8] = scaled.round_().clamp_(0, 255).byte().movedim(1, -1).contiguous().numpy()
    return result
