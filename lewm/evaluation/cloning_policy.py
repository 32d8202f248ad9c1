"""Goal-conditioned behaviour cloning behind the interface of frames and raw actions."""

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lewm.data.normalize import ActionNormalizer, unpack_actions
from lewm.evaluation.play import Actions, Frames, Rows, Scene
from lewm.evaluation.traces import Trace

Clone = Callable[[Tensor, Tensor], Tensor]
"""(B, C, h, w) frames, (B, C, h, w) goal frames, uint8 -> (B, A) normalized action blocks."""


class CloningPolicy:
    """Does in each frame what the clone says.

    Args:
      clone: lewm.heads.BehaviourCloning, in eval mode.
      normalizer, frameskip: from blocks to raw actions.
      low, high: (a,) bounds of the raw actions.
      device: of the clone.
    """

    context = 1

    def __init__(
        self, clone: Clone, normalizer: ActionNormalizer, frameskip: int, low: NDArray, high: NDArray, device: str
    ) -> None:
        self._clone, self._normalizer, self._frameskip, self._device = clone, normalizer, frameskip, device
        self._low, self._high = low.astype(np.float32), high.astype(np.float32)

    def start(self, scene: Scene) -> None:
        self._frames, self._goals = self._tensor(scene.frames()), self._tensor(scene.goal_frames())
        self._num_episodes, self._seconds, self._num_planned = len(self._goals), list[float](), list[int]()

    @torch.no_grad()
    def act(self) -> Actions:
        begin = time.perf_counter()
        blocks = self._clone(self._frames, self._goals).float().cpu()
        self._seconds.append(time.perf_counter() - begin)
        self._num_planned.append(len(blocks))
        raw = self._normalizer.denormalize(unpack_actions(blocks[:, None], self._frameskip)).numpy()
        clipped: Actions = np.clip(raw, self._low, self._high)
        return clipped

    def observe(self, scene: Scene, actions: Actions) -> None:
        self._frames = self._tensor(scene.frames())

    def keep(self, rows: Rows) -> None:
        self._goals = self._goals[torch.from_numpy(rows).to(self._device)]

    def trace(self) -> Trace:
        """How long it took; two frames are encoded each time."""
        return Trace.empty(self._num_episodes)._replace(
            plan_seconds=np.array(self._seconds),
            num_planned=np.array(self._num_planned),
            num_encoded=np.full(self._num_episodes, 2 * len(self._seconds)),
        )

    def _tensor(self, pixels: Frames) -> Tensor:
        return torch.from_numpy(pixels).movedim(-1, -3).to(self._device)
