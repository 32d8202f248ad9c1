"""Evaluation policy of goal-conditioned behaviour cloning."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lewm.arrays import Actions, Rows
from lewm.evaluation.play import Scene
from lewm.evaluation.traces import Trace
from lewm.raw_units import RawUnits

Clone = Callable[[Tensor, Tensor], Tensor]
"""(B, C, h, w) frames, (B, C, h, w) goal frames, uint8 -> (B, A) normalized action blocks."""


class CloningPolicy:
    """Policy that executes in each frame the action block of a behaviour-cloning head.

    Args:
      clone: lewm.heads.BehaviourCloning, in eval mode.
      units: translation to and from frames and raw actions.
    """

    context = 1

    def __init__(self, clone: Clone, units: RawUnits) -> None:
        self._clone, self._units = clone, units

    def start(self, scene: Scene) -> None:
        self._pixels, self._goal_pixels = self._units.pixels(scene.frames()), self._units.pixels(scene.goal_frames())
        self._num_episodes, self._seconds, self._num_planned = len(self._pixels), list[float](), list[int]()

    @torch.no_grad()
    def act(self) -> Actions:
        """(B, K, a) raw actions within their bounds."""
        begin = time.perf_counter()
        blocks = self._clone(self._pixels, self._goal_pixels).float().cpu()
        self._seconds.append(time.perf_counter() - begin)
        self._num_planned.append(len(blocks))
        return self._units.raw(blocks[:, None])

    def observe(self, scene: Scene, actions: Actions) -> None:
        self._pixels = self._units.pixels(scene.frames())

    def keep(self, rows: Rows) -> None:
        self._goal_pixels = self._goal_pixels[rows.tolist()]

    def trace(self) -> Trace:
        """Trace of the times; two frames are encoded for each action block."""
        return Trace.empty(self._num_episodes)._replace(
            plan_seconds=np.array(self._seconds),
            num_planned=np.array(self._num_planned),
            num_encoded=np.full(self._num_episodes, 2 * len(self._seconds)),
        )
