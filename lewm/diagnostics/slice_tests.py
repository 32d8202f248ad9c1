"""Sliced tests against N(0, 1): the null is fully specified, so a wrong mean or scale counts as a wrong shape.

Each statistic is one of a slice, N projected samples; that of an array is the mean over fixed slices, and its p-value
compares it with the same mean of N(0, I) samples of the same shape on the same slices.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from lewm.distributed import one_thread
from lewm.uploading import upload


def epps_pulley(x: Tensor, num_knots: int = 17, max_knot: float = 3.0) -> Tensor:
    """Epps-Pulley statistic with a Gaussian weight, as SIGReg integrates it, times the number of samples.

    Args:
      x: (M, N) slices.
      num_knots: knots of the trapezoidal rule on [0, max_knot].
      max_knot: upper end of the integral, which is doubled for the negative half of the axis.

    Returns:
      (M,) N x integral of |ecf(t) - exp(-t^2/2)|^2 exp(-t^2/2).
    """
    spacing = max_knot / (num_knots - 1)
    target = _gaussian_knots(num_knots, spacing)
    turn = torch.polar(x.new_ones(()), spacing * x)
    turned, total = turn.clone(), x.new_zeros(len(x))  # both ecf are 1 at the knot 0
    for knot in range(1, num_knots):
        end = 0.5 if knot == num_knots - 1 else 1.0
        total += end * target[knot] * (turned.mean(1) - target[knot]).abs().square()
        turned *= turn
    return 2 * spacing * x.shape[1] * total


@lru_cache(maxsize=16)
def _gaussian_knots(num_knots: int, spacing: float) -> list[float]:
    """Characteristic function of N(0, 1) at each knot."""
    knots: list[float] = torch.exp(-0.5 * (spacing * torch.arange(num_knots, dtype=torch.float64)) ** 2).tolist()
    return knots


def cramer_von_mises(x: Tensor) -> Tensor:
    """Cramer-von Mises statistics (M,) of (M, N) slices in ascending order, as in scipy.stats.cramervonmises.

    scipy takes one slice at a time, which is too slow for the null distribution.
    """
    num_samples = x.shape[1]
    return (torch.special.ndtr(x) - _midpoints(x)).square().sum(1) + 1 / (12 * num_samples)


def anderson_darling(x: Tensor) -> Tensor:
    """Anderson-Darling statistics (M,) of (M, N) slices in ascending order, against N(0, 1).

    scipy.stats.anderson fits a mean and a scale first, and sees neither a shift nor a stretch; with both known,
    scipy.stats.goodness_of_fit computes this statistic.
    """
    low, high = torch.special.log_ndtr(x), torch.special.log_ndtr(-x)
    return -x.shape[1] - 2 * (_midpoints(x) * (low + high.flip(1))).sum(1)


def squared_w2(x: Tensor) -> Tensor:
    """Squared 2-Wasserstein distances (M,) of (M, N) slices in ascending order to N(0, 1), exact."""
    edges = torch.special.ndtri(torch.arange(x.shape[1] + 1, dtype=torch.float64, device=x.device) / x.shape[1])
    density = torch.exp(-0.5 * edges.square()) / math.sqrt(2 * math.pi)
    # The i-th smallest sample travels to the part of N(0, 1) between two edges, whose mass x mean this is.
    moments = (density[:-1] - density[1:]).to(x)
    return (x.square().mean(1) - 2 * x @ moments + 1).clamp(min=0)


def _midpoints(x: Tensor) -> Tensor:
    num_samples = x.shape[1]
    return (torch.arange(num_samples, dtype=x.dtype, device=x.device) + 0.5) / num_samples


def ascending(x: Tensor) -> Tensor:
    """Sorts each row of (M, N). On a CPU numpy is several times as fast as torch, which also returns the indices."""
    return torch.from_numpy(np.sort(x.numpy(), axis=1)) if x.device.type == "cpu" else x.sort(dim=1).values


def slice_directions(dim: int, num_slices: int) -> Tensor:
    """Unit vectors (M, D), always the same for (dim, num_slices): coordinate axes, at most half, then random ones.

    Sums of many independent coordinates are Gaussian whatever the coordinates are, so the axes have to be among them.
    One dimension has one slice.
    """
    if dim == 1:
        return torch.ones(1, 1)
    generator = torch.Generator().manual_seed(0)
    axes = torch.eye(dim)[torch.randperm(dim, generator=generator)[: num_slices // 2]]
    random = torch.randn(num_slices - len(axes), dim, generator=generator)
    return torch.cat([axes, random / random.norm(dim=1, keepdim=True)])


def sliced_tests(z: Tensor, directions: Tensor) -> dict[str, float]:
    """Mean over slices of each statistic.

    Args:
      z: (N, D) samples.
      directions: (M, D) unit vectors.

    Returns:
      "epps_pulley", "cramer_von_mises", "anderson_darling", and "sliced_w2", the root of the mean squared distance.
    """
    return {name: value.item() for name, value in _sliced_tests(z, directions).items()}


def _sliced_tests(z: Tensor, directions: Tensor) -> dict[str, Tensor]:
    """The numbers of sliced_tests as () tensors on the device of the samples."""
    slices = directions @ z.T
    ordered = ascending(slices)
    return {
        "epps_pulley": epps_pulley(slices).mean(),
        "cramer_von_mises": cramer_von_mises(ordered).mean(),
        "anderson_darling": anderson_darling(ordered).mean(),
        "sliced_w2": squared_w2(ordered).mean().sqrt(),
    }


@one_thread()
def simulate(
    measure: Callable[[Tensor], dict[str, Tensor] | dict[str, float]],
    num_samples: int,
    dim: int,
    num_draws: int,
    advance: Callable[[], None] = lambda: None,
    device: str = "cpu",
) -> dict[str, Tensor]:
    """Draws statistics of N(0, I) samples.

    Args:
      measure: function from (N, D) float32 samples to statistics by name, numbers or () tensors. Tensors stay on the
        device until the last draw, so that it is not waited for.
      num_samples: N.
      dim: D.
      num_draws: arrays of samples; the same ones at each call.
      advance: called after each array.
      device: device of the samples, which are drawn on the CPU.

    Returns:
      (num_draws,) float64 numbers by name, on the CPU.
    """
    generator = torch.Generator().manual_seed(1)
    draws = []
    for _ in range(num_draws):
        found = measure(upload(torch.randn(num_samples, dim, generator=generator), device))
        draws.append(torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in found.values()]))
        advance()
    return dict(zip(found, torch.stack(draws, dim=1).cpu(), strict=True))


@lru_cache(maxsize=16)
def sliced_tests_null(
    num_samples: int, dim: int, num_slices: int, num_draws: int, device: str = "cpu"
) -> dict[str, Tensor]:
    """Null distribution of each sliced test: (num_draws,) values on N(0, I) samples, cached in this process.

    They are computed on `device` and come to the CPU together.
    """
    directions = slice_directions(dim, num_slices).to(device)
    return simulate(lambda z: _sliced_tests(z, directions), num_samples, dim, num_draws, device=device)


def p_value(value: Tensor | float, null: Tensor) -> Tensor:
    """Probability under the null of a value at least as large: (1 + null values that are) / (1 + null values).

    The value counts as one more draw of the null, which keeps a test at level a from rejecting more than a share a of
    null samples, and p above 0.

    Args:
      value: () or (K,).
      null: (R,) draws of the statistic under the null.
    """
    below = torch.searchsorted(null.sort().values, torch.as_tensor(value, dtype=null.dtype))
    return (1 + len(null) - below).double() / (1 + len(null))
