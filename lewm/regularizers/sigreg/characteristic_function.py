"""Empirical characteristic function at equally spaced knots, with a backward pass that keeps only the samples."""

import warnings
from collections.abc import Iterator
from functools import cache
from subprocess import CalledProcessError
from types import ModuleType
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from lewm.errors import one_line

_CHUNK = {"cpu": 2**16, "cuda": 2**22}
"""Samples of a chunk by device: few enough for the cache or memory, enough to outweigh the calls of kernels."""


def characteristic_function(x: Tensor, min_knot: float, spacing: float, num_knots: int) -> Tensor:
    """Means of cos(t x) and sin(t x) over the samples at the knots t = min_knot, min_knot + spacing, ...

    Args:
      x: (M, N) float, N samples in each of M rows.
      min_knot: the first knot; if it is 0, where every characteristic function is 1, spacing is the first one.
      spacing: distance between neighbouring knots.
      num_knots: K, without the one at 0.

    Returns:
      (2, K, M), differentiable: means of the cosines, then of the sines.
    """
    return cast(Tensor, _CharacteristicFunction.apply(x, Grid.of(min_knot, spacing, num_knots)))


class Grid(NamedTuple):
    """K equally spaced knots: P coarse ones, a knot on each, and up to J knots on both sides of each."""

    first: float
    spacing: float
    num_knots: int
    around_zero: bool  # the first coarse knot is 0: only the knots above it count
    num_coarse: int
    num_fine: int

    @classmethod
    @cache
    def of(cls, min_knot: float, spacing: float, num_knots: int) -> "Grid":
        """The cheapest grid: a fine knot costs one row of work, a coarse one two."""
        around_zero = min_knot == 0

        def num_coarse(num_fine: int) -> int:
            return -(-(num_knots + (num_fine + 1) * around_zero) // (2 * num_fine + 1))

        num_fine = min(range(1, num_knots + 1), key=lambda count: count + 2 * num_coarse(count))
        return cls(min_knot or spacing, spacing, num_knots, around_zero, num_coarse(num_fine), num_fine)

    def knots(self) -> Tensor:
        """All knots, (K,) float64."""
        return self.first + self.spacing * torch.arange(self.num_knots, dtype=torch.float64)


class _CharacteristicFunction(torch.autograd.Function):
    """Autograd function of characteristic_function.

    exp(i t x) at the knot t = c + f or c - f is a product of the exponentials at c and f. So P + J exponentials are
    computed, by rotations from one another, and the means over samples are a matrix product of a few rows for each of
    the M. The backward pass goes through that product in the other direction and needs nothing but x. Rotations keep
    the relative precision of sin(t x) for small x; Chebyshev's recurrence from knot to knot loses it with the square of
    the number of knots.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Grid) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x)
        ctx.grid = grid
        if kernels := _kernels_for(x):
            with torch.cuda.device_of(x):
                return cast(Tensor, kernels.forward(x, grid.first, grid.spacing, grid.num_knots))
        return _forward(x, grid)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        grid: Grid = ctx.grid
        if kernels := _kernels_for(x):
            return kernels.backward(x, grid.first, grid.spacing, grad_outputs[0].contiguous()), None
        return _backward(x, grid, grad_outputs[0]), None


def _forward(x: Tensor, grid: Grid) -> Tensor:
    products = x.new_empty(len(x), 2 * grid.num_coarse, 1 + 2 * grid.num_fine)
    for rows, coarse, fine in _exponentials(x, grid):
        torch.bmm(coarse, fine.transpose(1, 2), out=products[rows])
    means = (products.flatten(1) / x.shape[1]) @ _mixing(grid).to(x)
    return means.T.unflatten(0, (2, grid.num_knots))


def _backward(x: Tensor, grid: Grid, grad_output: Tensor) -> Tensor:
    # d cos(t x) / dx = -t sin(t x) and d sin(t x) / dx = t cos(t x)
    for_sin, for_cos = grad_output * (grid.knots() / x.shape[1])[:, None].to(x)
    factors = torch.cat([for_cos, -for_sin]).T @ _mixing(grid).to(x).T
    factors = factors.unflatten(1, (2 * grid.num_coarse, 1 + 2 * grid.num_fine))
    grad = torch.zeros_like(x)
    for rows, coarse, fine in _exponentials(x, grid):
        for_coarse = torch.bmm(factors[rows], fine)
        for index in range(2 * grid.num_coarse):
            grad[rows].addcmul_(for_coarse[:, index], coarse[:, index])
    return grad


@cache
def _mixing(grid: Grid) -> Tensor:
    """Matrix (2 P (1 + 2 J), 2 K) from products of coarse and fine exponentials to cosines and sines of the knots."""
    num_fine = grid.num_fine
    mixing = torch.zeros(2, grid.num_coarse, 1 + 2 * num_fine, 2, grid.num_knots)
    for knot in range(grid.num_knots):
        coarse, place = divmod(knot + (num_fine + 1) * grid.around_zero, 2 * num_fine + 1)
        fine, sign = abs(place - num_fine), (1 if place > num_fine else -1)
        # cos(c + f) = cos c cos f - sin c sin f, sin(c + f) = sin c cos f + cos c sin f
        mixing[0, coarse, fine, 0, knot] = 1
        mixing[1, coarse, fine, 1, knot] = 1
        if fine:
            mixing[1, coarse, num_fine + fine, 0, knot] = -sign
            mixing[0, coarse, num_fine + fine, 1, knot] = sign
    return mixing.flatten(0, 2).flatten(1)


def _exponentials(x: Tensor, grid: Grid) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yields chunks of rows: cos and sin at the coarse knots (m, 2 P, N); 1, cos and sin at the fine knots.

    The tensors are overwritten at the next step. A row's lie side by side, so that every operation gives a thread the
    rows that are in its core's cache.
    """
    width = min(max(_CHUNK.get(x.device.type, _CHUNK["cuda"]) // x.shape[1], 1), len(x))
    buffer = x.new_empty(width, 2 * grid.num_coarse + 2 * grid.num_fine + 4, x.shape[1])
    buffer[:, 0], buffer[:, grid.num_coarse], buffer[:, 2 * grid.num_coarse] = (
        1,
        0,
        1,
    )  # stays, unless min_knot is above 0
    for start in range(0, len(x), width):
        rows = slice(start, start + width)
        samples = x[rows]
        coarse, fine, rest = buffer[: len(samples)].split((2 * grid.num_coarse, 1 + 2 * grid.num_fine, 3), dim=1)
        coarse_pairs = [coarse[:, k :: grid.num_coarse] for k in range(grid.num_coarse)]
        fine_pairs = [fine[:, 1 + k :: grid.num_fine] for k in range(grid.num_fine)]
        _exponential(samples, grid.spacing, fine_pairs[0], rest[:, 0])
        for k in range(1, grid.num_fine):
            _rotate(fine_pairs[k - 1], fine_pairs[0], fine_pairs[k])
        if not grid.around_zero:
            _exponential(samples, grid.first + grid.num_fine * grid.spacing, coarse_pairs[0], rest[:, 0])
        if grid.num_coarse > 1:
            # 2 J + 1 spacings
            double, step = coarse_pairs[-1], rest[:, 1:]
            _rotate(fine_pairs[-1], fine_pairs[-1], double)
            _rotate(double, fine_pairs[0], step)
            for k in range(1, grid.num_coarse):
                _rotate(coarse_pairs[k - 1], step, coarse_pairs[k])
        yield rows, coarse, fine


def _exponential(x: Tensor, knot: float, out: Tensor, angle: Tensor) -> None:
    torch.mul(x, knot, out=angle)
    torch.cos(angle, out=out[:, 0])
    torch.sin(angle, out=out[:, 1])


def _rotate(a: Tensor, b: Tensor, out: Tensor) -> None:
    """Adds angles: out = a b, each (m, 2, N) of cosine and sine."""
    torch.mul(a, b[:, :1], out=out)
    out[:, 0].addcmul_(a[:, 1], b[:, 1], value=-1)
    out[:, 1].addcmul_(a[:, 0], b[:, 1])


def _kernels_for(x: Tensor) -> ModuleType | None:
    return _gpu_kernels() if x.is_cuda and x.dtype == torch.float32 else None


@cache
def _gpu_kernels() -> ModuleType | None:
    """Module of the Triton kernels, or None where Triton is missing or cannot compile them."""
    try:
        from lewm.regularizers.sigreg import characteristic_function_triton as kernels

        means = kernels.forward(torch.zeros(1, 1, device="cuda"), 1.0, 1.0, 1)
        kernels.backward(torch.zeros(1, 1, device="cuda"), 1.0, 1.0, means)
    except Exception as error:  # whatever it lacks: the package, a C compiler, a kind of GPU
        warnings.warn(f"SIGReg runs without its GPU kernels, slower: {_reason(error)}", stacklevel=2)
        return None
    return kernels


def _reason(error: Exception) -> str:
    """What Triton lacks, with the remedy where there is one; else the error, cut to a line."""
    if isinstance(error, ImportError):
        return f"Triton cannot be imported ({one_line(error)[:200]}); install it, as by pip install triton"
    if "C compiler" in str(error):  # Triton builds a launcher in C for each kernel
        return "Triton finds no C compiler; install one, as by apt-get install gcc, or set CC to one"
    if isinstance(error, CalledProcessError):
        return f"Triton's C compiler fails ({one_line(error)[:120]}); if Python.h is missing, install python3-dev"
    return one_line(error)[:200] or type(error).__name__
