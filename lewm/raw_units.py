"""The translation between frames or raw actions and what a model takes."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lewm.arrays import Actions, Frames
from lewm.data.normalize import pack_actions, unpack_actions
from lewm.errors import InputError
from lewm.training.model_spec import ModelSpec


@dataclass(frozen=True)
class RawUnits:
    """Frames and raw actions of an environment or a robot, to and from the tensors of a model.

    Attributes:
      spec: specification of the model: frame size, frameskip K, bounds and statistics of the actions.
      device: device of the tensors.
    """

    spec: ModelSpec
    device: str

    def pixels(self, frames: Frames) -> Tensor:
        """Frames as a model takes them.

        Args:
          frames: (B, h, w, C) uint8.

        Returns:
          (B, C, h, w) uint8 on the device.

        Raises:
          InputError: the model was trained on frames of another size or type.
        """
        size, frames = self.spec.frame_size, np.array(frames)
        if frames.dtype != np.uint8:
            raise InputError(f"frames are {frames.dtype}: give uint8, 0 to 255, which the model normalizes itself")
        if frames.shape[1:] != (size, size, 3):
            given = " x ".join(map(str, frames.shape[1:]))
            raise InputError(
                f"a frame is {given}, and the model was trained on {size} x {size} x 3: resize it as its data were"
            )
        return torch.from_numpy(frames).movedim(-1, -3).to(self.device)

    def blocks(self, actions: Actions) -> Tensor:
        """Raw actions as normalized action blocks.

        Args:
          actions: (B, n x K, a) raw actions.

        Returns:
          (B, n, A) blocks on the device.

        Raises:
          InputError: the actions have another size, or are not finite.
        """
        frameskip, raw_dim = self.spec.frameskip, len(self.spec.action_low)
        actions = np.array(actions, np.float32)
        if actions.ndim != 3 or actions.shape[2] != raw_dim or actions.shape[1] % frameskip:
            raise InputError(
                f"actions of shape {actions.shape[1:]}: the model takes {raw_dim} numbers for each env step,"
                f" and {frameskip} env steps for each of its own"
            )
        if not np.isfinite(actions).all():
            raise InputError("an action is nan or infinite")
        return pack_actions(self.spec.normalizer.normalize(actions), frameskip).to(self.device)

    def raw(self, blocks: Tensor) -> Actions:
        """(B, n, A) normalized action blocks -> (B, n x K, a) raw actions within their bounds."""
        actions = self.spec.normalizer.denormalize(unpack_actions(blocks.cpu(), self.spec.frameskip))
        low, high = (np.array(bound, np.float32) for bound in (self.spec.action_low, self.spec.action_high))
        return np.clip(actions.numpy(), low, high)
