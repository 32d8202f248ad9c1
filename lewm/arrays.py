"""NumPy arrays of frames, actions and indices. Worker processes import this: it must not import torch."""

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
"""(..., h, w, C) pictures."""

Actions = NDArray[np.float32]
"""(..., n, a) raw actions in the order of time."""

Rows = NDArray[np.int64]
"""Indices into the first axis of an array."""
