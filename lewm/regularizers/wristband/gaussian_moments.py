"""Distances of the mean and covariance of samples from those of N(0, I), per dimension: (N, d) -> ()."""

from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor


def squared_wasserstein(x: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance of the fitted Gaussian to N(0, I): (|mu|^2 + sum (sqrt(lambda) - 1)^2) / d."""
    return cast(Tensor, _SquaredWasserstein.apply(x))


class _SquaredWasserstein(torch.autograd.Function):
    """Autograd function of squared_wasserstein; its gradient reuses the eigenvectors of the forward pass.

    With fewer samples than dimensions the N eigenvalues of the Gram matrix stand for those of the covariance; each
    missing one counts 1.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        (num_samples, dim), mean = x.shape, x.mean(0)
        centred = x - mean
        left = centred.T if num_samples >= dim else centred
        matrix = torch.addmm(_jitter(len(left), x.dtype, x.device), left, left.T, alpha=1 / (num_samples - 1))
        spectrum, axes = _eigh(matrix)
        floor = _floor(spectrum)
        std = torch.maximum(spectrum, floor).sqrt()
        too_wide = std - 1
        ctx.save_for_backward(mean, centred, axes, (too_wide / std).where(spectrum > floor, 0.0))
        missing = max(dim - num_samples, 0)
        return (mean @ mean + too_wide @ too_wide + missing) / dim

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        mean, centred, axes, slopes = ctx.saved_tensors
        num_samples, dim = centred.shape
        scale = 2 * grad_outputs[0] / dim
        slope = (axes * (slopes * (scale / (num_samples - 1)))) @ axes.T
        mean = mean * (scale / num_samples)
        if num_samples >= dim:
            return torch.addmm(mean, centred, slope)
        grad = torch.addmm(mean, slope, centred)
        return grad.sub_(grad.mean(0) - mean)


def squared_mean(x: Tensor) -> Tensor:
    """Squared mean |mu|^2 / d. It does not see the covariance."""
    return x.mean(0).square().mean()


def kl_diagonal(x: Tensor) -> Tensor:
    """KL divergence of the fitted Gaussian with a diagonal covariance from N(0, I), divided by d."""
    var = _floored(x.var(0))
    return (var + x.mean(0).square() - 1 - var.log()).mean() / 2


def kl_full(x: Tensor) -> Tensor:
    """KL divergence of the fitted Gaussian from N(0, I), divided by d; variances have a floor."""
    spectrum = _full_spectrum(x)
    return (x.mean(0).square().sum() + (spectrum - 1 - spectrum.log()).sum()) / (2 * x.shape[1])


def jeffreys_diagonal(x: Tensor) -> Tensor:
    """Mean of both KL divergences between the fitted Gaussian with a diagonal covariance and N(0, I), divided by d."""
    var, mean = _floored(x.var(0)), x.mean(0).square()
    return (var + 1 / var - 2 + mean + mean / var).mean() / 4


def jeffreys_full(x: Tensor) -> Tensor:
    """Mean of both KL divergences between the fitted Gaussian and N(0, I), divided by d."""
    mean, spectrum = x.mean(0), _full_spectrum(x)
    covariance = _covariance(x)
    regular = covariance + _floor(spectrum) * torch.eye(len(covariance), device=x.device, dtype=x.dtype)
    distance = mean @ mean + mean @ torch.linalg.solve(regular, mean)
    return (spectrum.sum() + (1 / spectrum).sum() - 2 * x.shape[1] + distance) / (4 * x.shape[1])


MOMENTS = {
    "w2": squared_wasserstein,
    "mu_only": squared_mean,
    "kl_diag": kl_diagonal,
    "kl_full": kl_full,
    "jeff_diag": jeffreys_diagonal,
    "jeff_full": jeffreys_full,
}
NEED_EIGENVALUES = ("w2", "kl_full", "jeff_full")
"""Moments by eigenvalues, for which a GPU makes the host wait."""


def _covariance(x: Tensor) -> Tensor:
    centred = x - x.mean(0)
    return centred.T @ centred / (len(x) - 1)


def _full_spectrum(x: Tensor) -> Tensor:
    """All d eigenvalues of the covariance."""
    matrix = _covariance(x)
    spectrum, _ = _eigh(matrix + _jitter(len(matrix), matrix.dtype, matrix.device))
    return _floored(spectrum)


def _eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (d,) and eigenvectors (d, d); NaN where the matrix is not finite, which LAPACK refuses."""
    try:
        spectrum, axes = torch.linalg.eigh(matrix)
    except torch.linalg.LinAlgError:
        return matrix.diagonal() * torch.nan, matrix * torch.nan
    return spectrum, axes


@lru_cache(maxsize=16)
def _jitter(dim: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Small diagonal matrix: without it LAPACK returns NaN for float32 matrices whose squares underflow."""
    with torch.inference_mode(False):
        return 1e-12 * torch.eye(dim, device=device, dtype=dtype)


def _floor(values: Tensor) -> Tensor:
    """Smallest variance that is not rounding: below it roots, logarithms and inverses have no useful gradient."""
    return (torch.finfo(values.dtype).eps * len(values) * values.detach().max()).clamp(min=1e-12)


def _floored(values: Tensor) -> Tensor:
    return torch.maximum(values, _floor(values))
