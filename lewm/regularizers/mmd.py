"""Maximum mean discrepancy to samples of a prior (Gretton et al., 2012; Fruytier et al., 2025)."""

import torch
from torch import Tensor

from lewm.config import Component
from lewm.distributed import gather_over_ranks
from lewm.errors import InputError
from lewm.regularizers.priors import build_prior
from lewm.regularizers.regularizer import Regularizer

_SCALES = (0.1, 0.3, 1.0, 3.0, 10.0)


class MMD(Regularizer):
    """Squared maximum mean discrepancy between the embeddings and as many fresh samples of a prior.

    The kernel is the mean of inverse multiquadrics s 2d / (s 2d + |x - y|^2) at five scales s: 2d is the expected
    squared distance of two standard normal points, and unlike a Gaussian kernel it has a gradient far from the prior,
    too. The value is that of the V-statistic, never negative, of the order of 1/N for true samples.

    Args:
      prior: {name, **arguments} of the distribution that the embeddings should have, see priors.py; the standard normal
        by default.
    """

    def __init__(self, prior: Component | None = None) -> None:
        super().__init__()
        self.prior = build_prior(prior or {"name": "normal"})

    def loss(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """Discrepancy over the samples of all ranks, averaged over time steps: (B, T, D) float32 -> ()."""
        z = gather_over_ranks(z).transpose(0, 1)  # (T, N, D)
        try:
            wanted = self.prior.sample(z.shape[0] * z.shape[1], z.shape[2], generator).to(z)
        except InputError as error:
            raise InputError(f"regularizer mmd: {error}") from None
        wanted = wanted.unflatten(0, z.shape[:2])
        among_z, among_wanted, between = _kernel(z, z), _kernel(wanted, wanted), _kernel(z, wanted)
        return (among_z.mean() + among_wanted.mean() - 2 * between.mean()).clamp(min=0)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    """Kernel between all pairs of samples: (T, N, D), (T, N, D) -> (T, N, N)."""
    squared = x.square().sum(-1)[:, :, None] + y.square().sum(-1)[:, None] - 2 * x @ y.mT
    squared = squared.clamp(min=0)  # rounding
    scales = [2 * x.shape[-1] * scale for scale in _SCALES]
    return torch.stack([scale / (scale + squared) for scale in scales]).mean(0)
