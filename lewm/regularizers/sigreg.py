"""SIGReg: random projections of the embeddings must have the characteristic function of N(0, 1) (LeJEPA; LeWM)."""

from typing import Any

import torch
from torch import Tensor

from lewm.distributed import mean_over_ranks
from lewm.regularizers.regularizer import Regularizer

_CHUNK = 2**16
"""Projections that are worked on at once: few enough for the cache, enough to outweigh the call of a kernel."""


class _CharacteristicFunction(torch.autograd.Function):
    """(N, M) projections x -> (knots, 2, M), the means over N of cos(k spacing x) and sin(k spacing x), k = 0, 1, ...

    The knots are equally spaced, so each follows from the two before it by Chebyshev's recurrence,
    f(k+1) = 2 cos(spacing x) f(k) - f(k-1): one cos and one sin are evaluated, and the backward pass, Clenshaw's sum
    over the same recurrence, needs nothing but the projections.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, spacing: float, num_knots: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.spacing = spacing
        out = x.new_empty(num_knots, 2, x.shape[1])
        out[0, 0], out[0, 1] = 1.0, 0.0
        for columns in _chunks(x):
            angle = spacing * x[:, columns]
            cos, sin = angle.cos(), angle.sin()
            double_cos = 2 * cos
            cos_before, sin_before = torch.ones_like(cos), torch.zeros_like(sin)
            for k in range(1, num_knots):
                out[k, 0, columns], out[k, 1, columns] = cos.mean(0), sin.mean(0)
                cos_before, cos = cos, cos_before.neg_().addcmul_(double_cos, cos)
                sin_before, sin = sin, sin_before.neg_().addcmul_(double_cos, sin)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        knots = ctx.spacing * torch.arange(len(grad_outputs[0]), device=x.device, dtype=x.dtype)
        # d cos(t x) / dx = -t sin(t x) and d sin(t x) / dx = t cos(t x)
        for_sin, for_cos = (grad_outputs[0] * knots[:, None, None] / len(x)).unbind(1)
        grad = torch.empty_like(x)
        for columns in _chunks(x):
            angle = ctx.spacing * x[:, columns]
            cos, sin = angle.cos(), angle.sin()
            double_cos = 2 * cos
            a, a_after, b, b_after = (torch.zeros_like(angle) for _ in range(4))
            for k in range(len(knots) - 1, 0, -1):
                a_after, a = a, a_after.neg_().addcmul_(double_cos, a).add_(for_cos[k, columns])
                b_after, b = b, b_after.neg_().addcmul_(double_cos, b).add_(for_sin[k, columns])
            grad[:, columns] = a * cos - a_after - b * sin
        return grad, None, None


def _chunks(x: Tensor) -> list[slice]:
    width = max(_CHUNK // len(x), 1)
    return [slice(start, start + width) for start in range(0, x.shape[1], width)]


class SIGReg(Regularizer):
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
        if num_directions < 1 or num_knots < 2 or not max_knot > 0:
            raise ValueError(
                f"num_directions={num_directions} must be at least 1, num_knots={num_knots} at least 2,"
                f" max_knot={max_knot} positive"
            )
        self.num_directions, self.num_knots = num_directions, num_knots
        self.spacing = max_knot / (num_knots - 1)
        target = torch.exp(-0.5 * (self.spacing * torch.arange(num_knots, dtype=torch.float64)) ** 2)
        trapezoid = torch.full((num_knots,), self.spacing, dtype=torch.float64)
        trapezoid[[0, -1]] /= 2
        # Twice, for the negative half of the axis.
        self.register_buffer("integration_weights", (2 * trapezoid * target).float(), persistent=False)
        self.register_buffer("target", target.float(), persistent=False)

    def loss(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """(B, T, D) float32 -> (): the statistic of each time step over the samples of all ranks, averaged."""
        directions = torch.randn(z.shape[-1], self.num_directions, generator=generator, device=generator.device)
        directions = (directions / directions.norm(dim=0)).to(z.device)
        projections = (z @ directions).flatten(1)  # (B, T x M): a column for each time step and direction
        ecf = mean_over_ranks(_CharacteristicFunction.apply(projections, self.spacing, self.num_knots))
        cos, sin = ecf.unbind(1)
        distance = (cos - self.target[:, None]).square() + sin.square()
        return (self.integration_weights @ distance).mean()
