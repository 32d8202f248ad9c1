"""SIGReg: random projections of the embeddings must have the characteristic function of N(0, 1) (LeJEPA; LeWM)."""

from typing import Any

import torch
from torch import Tensor, nn

from lewm.distributed import mean_over_ranks

_CHUNK = 64  # directions at a time: the working set stays in the cache


class _CharacteristicFunction(torch.autograd.Function):
    """(N, M) projections -> (knots, 2, M), the mean over N of cos(t x) and sin(t x) at t = 0, spacing, 2 spacing, ...

    The knots are equally spaced, so each is a rotation away from the one before: cos and sin are evaluated once, and
    the backward pass needs nothing but the projections.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, spacing: float, num_knots: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.spacing = spacing
        out = x.new_empty(num_knots, 2, x.shape[1])
        out[0, 0], out[0, 1] = 1.0, 0.0
        for start in range(0, x.shape[1], _CHUNK):
            columns = slice(start, start + _CHUNK)
            cos_1, sin_1 = _cos_sin(spacing * x[:, columns])
            cos_k, sin_k = cos_1, sin_1
            for k in range(1, num_knots):
                out[k, 0, columns], out[k, 1, columns] = cos_k.mean(0), sin_k.mean(0)
                cos_k, sin_k = cos_k * cos_1 - sin_k * sin_1, sin_k * cos_1 + cos_k * sin_1
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        grad_out = grad_outputs[0] / len(x)
        knots = ctx.spacing * torch.arange(len(grad_out), device=x.device, dtype=x.dtype)
        weights = grad_out * knots[:, None, None]
        grad = torch.empty_like(x)
        for start in range(0, x.shape[1], _CHUNK):
            columns = slice(start, start + _CHUNK)
            cos_1, sin_1 = _cos_sin(ctx.spacing * x[:, columns])
            # Horner's rule for sum_k w_k (cos, sin)(k theta), from the highest knot down.
            real, imaginary = torch.zeros_like(cos_1), torch.zeros_like(cos_1)
            for cos_weight, sin_weight in weights[1:, :, columns].flip(0):
                # d cos(t x) / dx = -t sin(t x), d sin(t x) / dx = t cos(t x): the real part of (w_s + i w_c) e^(i t x)
                real, imaginary = real + sin_weight, imaginary + cos_weight
                real, imaginary = real * cos_1 - imaginary * sin_1, real * sin_1 + imaginary * cos_1
            grad[:, columns] = real
        return grad, None, None


def _cos_sin(angle: Tensor) -> tuple[Tensor, Tensor]:
    return angle.cos(), angle.sin()


class SIGReg(nn.Module):
    """Sketched isotropic Gaussian regularization.

    For each random unit direction, the squared distance between the empirical characteristic function of the projected
    samples and exp(-t^2/2), weighted by exp(-t^2/2) and integrated over [-max_knot, max_knot] by the trapezoidal rule;
    then the mean over directions and time steps. There is no factor N: a weight means the same at any batch size.
    value x N is about 1.06 for true Gaussian samples.

    Args:
      num_directions: random directions drawn anew at each call.
      num_knots: knots on [0, max_knot].
      max_knot: upper end of the integral.
    """

    integration_weights: Tensor
    target: Tensor

    def __init__(self, num_directions: int = 1024, num_knots: int = 17, max_knot: float = 3.0) -> None:
        super().__init__()
        self.num_directions, self.num_knots = num_directions, num_knots
        self.spacing = max_knot / (num_knots - 1)
        target = torch.exp(-0.5 * (self.spacing * torch.arange(num_knots, dtype=torch.float64)) ** 2)
        trapezoid = torch.full((num_knots,), self.spacing, dtype=torch.float64)
        trapezoid[[0, -1]] /= 2
        # Twice, for the negative half of the axis.
        self.register_buffer("integration_weights", (2 * trapezoid * target).float(), persistent=False)
        self.register_buffer("target", target.float(), persistent=False)

    def forward(self, z: Tensor, *, generator: torch.Generator) -> Tensor:
        """The statistic of each time step over the samples of all ranks, averaged.

        Args:
          z: (B, T, D) embeddings of this rank.
          generator: of the directions; the same state on every rank.

        Returns:
          () float32.
        """
        with torch.autocast(z.device.type, enabled=False):
            z = z.float()
            directions = torch.randn(z.shape[-1], self.num_directions, generator=generator, device=generator.device)
            directions = (directions / directions.norm(dim=0)).to(z.device)
            projections = (z @ directions).flatten(1)  # (B, T x M): a column for each time step and direction
            ecf = mean_over_ranks(_CharacteristicFunction.apply(projections, self.spacing, self.num_knots))
            cos, sin = ecf.unbind(1)
            distance = (cos - self.target[:, None]).square() + sin.square()
            return (self.integration_weights @ distance).mean()
