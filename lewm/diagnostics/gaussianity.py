"""Gaussianity of embeddings: statistics against N(0, I) and effective ranks. To log, not to train on."""

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lewm.diagnostics.predictability import latent_predictability, predictability_beyond_prior
from lewm.diagnostics.slice_tests import p_value, slice_directions, sliced_tests, sliced_tests_null
from lewm.distributed import one_thread
from lewm.errors import InputError
from lewm.regularizers.wristband.gaussian_moments import squared_wasserstein
from lewm.regularizers.wristband.wristband import Calibration, Wristband

MIN_SAMPLES = 8
MAX_SAMPLES = 2048
_FARTHEST = 1e6
"""Larger coordinates are clamped to this: every statistic stays finite, and none takes them for those of N(0, I)."""


def effective_rank(z: Tensor) -> Tensor:
    """Effective rank: exp of the entropy of the normalized covariance spectrum (Roy and Vetterli, 2007).

    It sees neither a shift nor a common scale.

    Args:
      z: (N, D) embeddings.

    Returns:
      () between 1, all variance on one axis, and D, isotropic; 0 if there is no variance at all.
    """
    spectrum = torch.linalg.eigvalsh(torch.cov(z.float().T).reshape(z.shape[1], -1)).clamp(min=0)
    rounding = 1e-11 * z.float().square().sum(1).mean()  # what is left of constant embeddings
    return _exp_entropy(spectrum) if spectrum.sum() > rounding else spectrum.new_zeros(())


def effective_rank_origin(z: Tensor) -> Tensor:
    """Effective rank of the second moment E[z z^T], around the origin, where the mean of N(0, I) is.

    It sees a shift: a mean that outweighs the spread is one dominant axis. It does not see a common scale.

    Args:
      z: (N, D) embeddings.

    Returns:
      () between 1, all samples on one line through the origin, and D, isotropic around it; 0 if all are at the origin.
    """
    z = z.float()
    spectrum = torch.linalg.eigvalsh(z.T @ z / len(z)).clamp(min=0)
    return _exp_entropy(spectrum) if spectrum.sum() > 0 else spectrum.new_zeros(())


def _exp_entropy(spectrum: Tensor) -> Tensor:
    return torch.special.entr(spectrum / spectrum.sum()).sum().exp()


@one_thread()
def rank_and_std(z: Tensor) -> dict[str, float]:
    """Effective rank of (N, D) embeddings, and the smallest and the median standard deviation of a dimension."""
    std = z.float().std(0)
    return {"effective_rank": effective_rank(z).item(), "std_min": std.min().item(), "std_median": std.median().item()}


def gaussianity_report(
    z: Tensor | NDArray,
    num_slices: int = 256,
    num_draws: int = 199,
    max_samples: int = MAX_SAMPLES,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Statistics of embeddings against the fully specified N(0, I), with p-values of the sliced tests.

    Args:
      z: (N, D) finite embeddings, N at least 8, independent of one another: p-values and wristband_z take two frames of
        one clip for two pieces of evidence, and reject too often.
      num_slices: unit directions of the sliced tests.
      num_draws: N(0, I) samples of this shape behind the p-values, drawn at the first call for a shape.
      max_samples: more rows than this are replaced by that many of them, always the same.
      device: device that computes the null distributions, which take a CPU seconds.

    Returns:
      The numbers of gaussianity_statistics, and "<name>_p" for each of the sliced tests: the probability that a sample
      of N(0, I) of this shape has at least this value on the same slices, by Monte Carlo, at least 1 / (num_draws + 1).
      One p-value is valid by itself; the smallest of several is not.

    Raises:
      InputError: not (N, D), too few rows, or a row that is not finite.
    """
    z = check_embeddings(z, max_samples)
    null = sliced_tests_null(*z.shape, num_slices, num_draws, str(device))
    values = gaussianity_statistics(z, slice_directions(z.shape[1], num_slices))
    return {**values, **{f"{name}_p": p_value(values[name], draws).item() for name, draws in null.items()}}


def check_embeddings(z: Tensor | NDArray, max_samples: int) -> Tensor:
    """Checks (N, D) embeddings and returns at most max_samples of them, clamped, in float64 on the CPU."""
    z = z.detach().cpu().double() if isinstance(z, Tensor) else torch.from_numpy(np.array(z, np.float64))
    if z.ndim != 2 or len(z) < MIN_SAMPLES or z.shape[1] < 1:
        raise InputError(f"embeddings of shape {tuple(z.shape)}: give (N, D) with N at least {MIN_SAMPLES}")
    finite = z.isfinite().all(1)
    if not finite.all():
        row = int((~finite).nonzero()[0])
        raise InputError(f"row {row} of the embeddings holds NaN or infinity: look at what made it, or leave it out")
    if len(z) > max_samples:
        z = z[torch.randperm(len(z), generator=torch.Generator().manual_seed(0))[:max_samples]]
    return z.clamp(-_FARTHEST, _FARTHEST)


@one_thread()
def gaussianity_statistics(z: Tensor, directions: Tensor) -> dict[str, float]:
    """Statistics of (N, D) samples against N(0, I), sliced along (M, D) unit vectors.

    Returns:
      epps_pulley, cramer_von_mises, anderson_darling: means over slices; about 1.05, 1/6 and 1 for N(0, I).
      sliced_w2: the sliced 2-Wasserstein distance to N(0, I); sees heavy tails, too.
      w2: the 2-Wasserstein distance of the Gaussian with the same mean and covariance; moments only.
      wristband_z: null standard deviations away from N(0, I), within about 2 of 0 for it.
      effective_rank: D for N(0, I), less of few samples; blind to a shift.
      effective_rank_origin: the same around the origin; sees a shift.
      latent_predictability: 0 independent, 1 determined; blind to what leaves dimensions independent: a shift, unequal
        scales, heavy tails.
      predictability_beyond_prior: the same in a turned basis and against the prior's own predictions; blind to none of
        these.
    """
    exact, short = z.double(), z.float()
    return {
        **sliced_tests(short, directions),
        "w2": math.sqrt(z.shape[1] * squared_wasserstein(exact).item()),
        "wristband_z": wristband_z(short),
        "effective_rank": effective_rank(short).item(),
        "effective_rank_origin": effective_rank_origin(short).item(),
        "latent_predictability": latent_predictability(exact),
        "predictability_beyond_prior": predictability_beyond_prior(exact),
    }


@torch.no_grad()
def wristband_z(z: Tensor) -> float:
    """Wristband loss of (N, D) samples: 0 is indistinguishable from N(0, I), k is k null standard deviations away.

    Of these samples only: the regularizer itself gathers from all ranks, and a rank that measures alone would wait.
    """
    return Wristband().z_score(z, _wristband_calibration(*z.shape)).item()


@lru_cache(maxsize=16)
def _wristband_calibration(num_samples: int, dim: int) -> Calibration:
    return Wristband().draw_calibration(num_samples, dim)
