"""Triton kernels of the characteristic function: one for each direction of autograd, each reads the samples once.

Sums are made in a fixed order, without atomics: a run that is resumed is the run that was interrupted.
"""
# mypy: disallow-untyped-defs=False
# The arguments of a kernel are pointers and scalars of Triton's, not Python's.

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE = 1024
"""Samples of a program: 8 for each of its 128 threads, so that two exponentials of each stay in registers."""
_MAX_SAMPLES = 256
"""Most samples of a row in one program; longer rows are summed in pieces."""


def forward(x: Tensor, first: float, spacing: float, num_knots: int) -> Tensor:
    """Means of cos(t x) and sin(t x) at t = first + k spacing: (M, N) contiguous float32 -> (2, K, M)."""
    num_rows, num_samples = x.shape
    num_pieces, block_rows, block_samples = _tiling(num_samples)
    sums = x.new_empty(num_pieces, 2, num_knots, num_rows)
    _forward_kernel[(triton.cdiv(num_rows, block_rows), num_pieces)](
        x, sums, num_rows, num_samples, first, spacing,
        first == spacing, num_knots, block_rows, block_samples, enable_fp_fusion=True,
    )  # fmt: skip
    return sums[0] if num_pieces == 1 else sums.sum(0)


def backward(x: Tensor, first: float, spacing: float, grad_output: Tensor) -> Tensor:
    """Gradient of x: (M, N) and (2, K, M), contiguous float32 -> (M, N)."""
    num_rows, num_samples = x.shape
    num_pieces, block_rows, block_samples = _tiling(num_samples)
    grad = torch.empty_like(x)
    _backward_kernel[(triton.cdiv(num_rows, block_rows), num_pieces)](
        x, grad_output, grad, num_rows, num_samples, first, spacing,
        first == spacing, grad_output.shape[1], block_rows, block_samples, enable_fp_fusion=True,
    )  # fmt: skip
    return grad


def _tiling(num_samples: int) -> tuple[int, int, int]:
    """Number of pieces of a row, rows of a program, and samples of a row in a program."""
    block_samples = min(triton.next_power_of_2(num_samples), _MAX_SAMPLES)
    return triton.cdiv(num_samples, block_samples), _TILE // block_samples, block_samples


@triton.jit
def _tile(x_pointer, num_rows, num_samples, block_rows: tl.constexpr, block_samples: tl.constexpr):
    """Rows of this program, offsets and mask of its samples, and the samples."""
    rows = tl.program_id(0) * block_rows + tl.arange(0, block_rows)
    samples = tl.program_id(1) * block_samples + tl.arange(0, block_samples)
    offsets = rows[:, None].to(tl.int64) * num_samples + samples[None, :]
    inside = (rows < num_rows)[:, None] & (samples < num_samples)[None, :]
    return rows, offsets, inside, tl.load(x_pointer + offsets, inside, other=0.0)


@triton.jit
def _exponentials(x, first, spacing, starts_with_step: tl.constexpr):
    """cos and sin of the angle from knot to knot, and of that of the first knot."""
    step_cos, step_sin = tl.cos(spacing * x), tl.sin(spacing * x)
    if starts_with_step:
        cos, sin = step_cos, step_sin
    else:
        cos, sin = tl.cos(first * x), tl.sin(first * x)
    return step_cos, step_sin, cos, sin


@triton.jit
def _forward_kernel(
    x_pointer,
    sums_pointer,
    num_rows,
    num_samples,
    first,
    spacing,
    starts_with_step: tl.constexpr,
    num_knots: tl.constexpr,
    block_rows: tl.constexpr,
    block_samples: tl.constexpr,
):
    rows, _, inside, x = _tile(x_pointer, num_rows, num_samples, block_rows, block_samples)
    step_cos, step_sin, cos, sin = _exponentials(x, first, spacing, starts_with_step)
    # A rotation keeps 0 at 0: what is no sample adds nothing at any knot.
    cos, sin = tl.where(inside, cos, 0.0), tl.where(inside, sin, 0.0)
    cos_pointers = sums_pointer + tl.program_id(1) * (2 * num_knots * num_rows) + rows
    sin_pointers = cos_pointers + num_knots * num_rows
    for k in tl.range(num_knots, loop_unroll_factor=4):
        tl.store(cos_pointers + k * num_rows, tl.sum(cos, 1) / num_samples, rows < num_rows)
        tl.store(sin_pointers + k * num_rows, tl.sum(sin, 1) / num_samples, rows < num_rows)
        cos, sin = cos * step_cos - sin * step_sin, sin * step_cos + cos * step_sin


@triton.jit
def _backward_kernel(
    x_pointer,
    grad_output_pointer,
    grad_pointer,
    num_rows,
    num_samples,
    first,
    spacing,
    starts_with_step: tl.constexpr,
    num_knots: tl.constexpr,
    block_rows: tl.constexpr,
    block_samples: tl.constexpr,
):
    rows, offsets, inside, x = _tile(x_pointer, num_rows, num_samples, block_rows, block_samples)
    step_cos, step_sin, cos, sin = _exponentials(x, first, spacing, starts_with_step)
    cos_pointers = grad_output_pointer + rows
    sin_pointers = cos_pointers + num_knots * num_rows
    grad = tl.zeros_like(x)
    for k in tl.range(num_knots, loop_unroll_factor=4):
        # d cos(t x) / dx = -t sin(t x) and d sin(t x) / dx = t cos(t x)
        scale = (first + k * spacing) / num_samples
        for_sin = -scale * tl.load(cos_pointers + k * num_rows, rows < num_rows, other=0.0)
        for_cos = scale * tl.load(sin_pointers + k * num_rows, rows < num_rows, other=0.0)
        grad += for_sin[:, None] * sin + for_cos[:, None] * cos
        cos, sin = cos * step_cos - sin * step_sin, sin * step_cos + cos * step_sin
    tl.store(grad_pointer + offsets, grad, inside)
