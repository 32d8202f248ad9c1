"""Layer normalization that keeps the precision of autocast."""

import torch.nn.functional as F
from torch import Tensor, nn

from lewm.precision import autocast_dtype, without_autocast


def to_autocast(x: Tensor) -> Tensor:
    """x in the precision of autocast, or as it is where autocast is off."""
    return x.to(autocast_dtype(x.device.type) or x.dtype)


def layer_norm(x: Tensor, eps: float, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Layer normalization over the last dimension, of the shape of x.

    On a GPU autocast alone would calculate it in float32 and return float32: a transformer would move twice the bytes
    between its matrix products. Mean and variance are float32 in either case.
    """
    x = to_autocast(x)
    weight, bias = (None if tensor is None else to_autocast(tensor) for tensor in (weight, bias))
    with without_autocast(x.device.type):
        return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


class LayerNorm(nn.LayerNorm):
    """torch's layer normalization over the last dimension, in the precision of autocast."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        return layer_norm(input, self.eps, self.weight, self.bias)


class ToAutocast(nn.Module):
    """Casts its input to the precision of autocast."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return to_autocast(x)
