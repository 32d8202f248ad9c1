"""Latent predictability score: R2 of predicting each dimension of an embedding from the others.

The score is that of "Sculpting Latent Spaces With MMD" (Fruytier et al., 2025), whose abstract leaves the regressor
open. Here it is a ridge regression on z_j and |z_j| of all other dimensions j, judged on the half of the samples that
it was not fitted to, in both directions. It has no cross terms: on the axes z_3 = z_1 z_2 is hardly predictable, in a
turned basis it is.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

_FEATURES = 2
_PRIOR_MEANS = (0.0, math.sqrt(2 / math.pi))
"""Expectations of z and |z| under N(0, 1)."""


class _Errors(NamedTuple):
    """Mean squared errors on held-out samples, (features, D) each.

    Attributes:
      regression: error of predicting from the other dimensions.
      mean: error of the samples' own mean.
      prior: error of the mean under N(0, 1).
    """

    regression: Tensor
    mean: Tensor
    prior: Tensor


def latent_predictability(z: Tensor) -> float:
    """Latent predictability score: 0 for independent dimensions, 1 for determined ones.

    R2 on held-out samples against their mean, 0 where it is negative because there is nothing to learn, averaged over
    dimensions. A constant is determined. It measures dependence between the given dimensions and nothing else: it
    cannot see a shift, a scale or a heavy tail of independent dimensions.

    Args:
      z: (N, D) float64 samples, N at least 4; in any order, because halves are drawn.
    """
    errors = _held_out_errors(z - z.mean(0))
    return _score(errors.regression[0], errors.mean[0], z)


def predictability_beyond_prior(z: Tensor) -> float:
    """Predictability score relative to N(0, I) as the baseline: 0 for N(0, I) alone.

    The same regression in a random orthonormal basis, for z_i and for |z_i|, against the constants that N(0, I) expects
    of them instead of their own mean; the average of both scores. Independence in every basis is a property of
    isotropic Gaussians alone (Maxwell's theorem), so that unequal scales and independent heavy tails are dependence
    here; and against the prior's constants a shift or a wrong scale is predictable.

    Args:
      z: (N, D) float64 samples, N at least 4.
    """
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(z.shape[1], z.shape[1], generator=generator, dtype=z.dtype)).Q
    turned = z @ basis
    errors = _held_out_errors(turned)
    scores = [_score(errors.regression[k], errors.prior[k], turned) for k in range(_FEATURES)]
    return sum(scores) / _FEATURES


def _score(error: Tensor, baseline: Tensor, z: Tensor) -> float:
    """Mean R2 over dimensions, 1 where rounding is all that varies.

    Args:
      error: (D,) errors of the regression.
      baseline: (D,) errors of a constant.
      z: (N, D) samples, for the size of rounding errors.
    """
    rounding = 1e-11 * z.square().mean(0)
    r2 = torch.where(baseline > rounding, 1 - error / baseline.clamp(min=1e-300), 1.0)
    return r2.clamp(min=0).mean().item()


def _held_out_errors(z: Tensor) -> _Errors:
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(0))
    z = z[order]
    features = torch.stack([z, z.abs()], 1)  # (N, features, D)
    halves = features[: len(z) // 2], features[len(z) // 2 :]
    prior = torch.tensor(_PRIOR_MEANS, dtype=z.dtype)[:, None]
    errors = []
    for fit, judge in (halves, halves[::-1]):
        regression = (judge - _predict_from_others(fit, judge)).square().mean(0)
        about_mean = (judge - judge.mean(0)).square().mean(0)
        errors.append(_Errors(regression, about_mean, (judge - prior).square().mean(0)))
    return _Errors(*(torch.stack(both).mean(0) for both in zip(*errors, strict=True)))


def _predict_from_others(fit: Tensor, judge: Tensor) -> Tensor:
    """Predicts the features of each dimension from those of the others, by ridge regression.

    One inverse serves all D regressions: with S the inverse of the regularized covariance, the coefficients of the
    block of dimension i on the rest are -S_ri S_ii^-1.

    Args:
      fit: (n, features, D) samples to learn from.
      judge: (m, features, D) samples to predict.

    Returns:
      (m, features, D).
    """
    mean, std = fit.mean(0), fit.std(0)
    std = torch.where(std > 1e-6 * fit.square().mean(0).sqrt(), std, torch.inf)  # a constant tells nothing
    known, asked = ((half - mean) / std for half in (fit, judge))
    num_samples, num_features, dim = known.shape
    known, asked = known.flatten(1), asked.flatten(1)
    # What D independent dimensions let a regression learn by chance is shrunk to about its own error.
    ridge = known.shape[1] / num_samples
    covariance = known.T @ known / num_samples
    inverse = torch.linalg.inv(covariance + ridge * torch.eye(len(covariance), dtype=covariance.dtype))
    own = inverse.reshape(num_features, dim, num_features, dim).diagonal(dim1=1, dim2=3)  # (features, features, D)
    by_block = (asked @ inverse).reshape(-1, num_features, dim)
    by_block = by_block - torch.einsum("mfd,fgd->mgd", asked.reshape(-1, num_features, dim), own)
    prediction = -torch.einsum("mfd,dfg->mgd", by_block, torch.linalg.inv(own.permute(2, 0, 1)))
    return mean + torch.where(std.isfinite(), std, 0.0) * prediction
