"""The batch that everything works on, and the letters that shape comments use.

B  clips in a batch, or episodes planned at once
T  frames of a clip, or of a context, one model step apart
H  model steps imagined after the context (horizon)
N  candidates of a planner, or samples of a statistic
K  env steps in a model step (frameskip)
A  numbers in an action block: K x the raw action dimension
S  numbers in a simulator state
D  width of an embedding
C, h, w  channels, height and width of a frame
"""

from typing import NamedTuple

from torch import Tensor


class Clip(NamedTuple):
    """A batch of clips; a NamedTuple because collate functions and accelerate carry it to the device.

    Attributes:
      pixels: (B, T, C, h, w) uint8.
      actions: (B, T-1, A) normalized action blocks; actions[:, t] leads from frame t to frame t+1.
      states: (B, T, S) simulator state, for probes only, never for training.
    """

    pixels: Tensor
    actions: Tensor
    states: Tensor
