"""VICReg: variance and covariance regularization (Bardes et al., 2022; the terms that PLDM uses)."""

import torch
from torch import Tensor

from lewm.distributed import gather_over_ranks
from lewm.errors import InputError
from lewm.regularizers.regularizer import Regularizer


class VICReg(Regularizer):
    """Variance and covariance terms of VICReg. They constrain second moments only: neither the mean nor the shape.

    Args:
      variance_weight: weight of the mean over dimensions of max(0, target_std - std).
      covariance_weight: weight of the sum of squared covariances between dimensions, divided by D.
      target_std: standard deviation below which a dimension is pushed apart.
    """

    def __init__(self, variance_weight: float = 1.0, covariance_weight: float = 0.04, target_std: float = 1.0) -> None:
        super().__init__()
        if min(variance_weight, covariance_weight) < 0 or not target_std > 0:
            raise InputError(
                f"variance_weight={variance_weight} and covariance_weight={covariance_weight} must be at least 0,"
                f" target_std={target_std} positive"
            )
        self.variance_weight, self.covariance_weight = variance_weight, covariance_weight
        self.target_std = target_std

    def loss(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """Sum of both terms over the samples of all ranks, averaged over time steps: (B, T, D) float32 -> ()."""
        z = gather_over_ranks(z)
        centred = (z - z.mean(0)).transpose(0, 1)  # (T, N, D)
        covariance = centred.transpose(1, 2) @ centred / (len(z) - 1)
        var = covariance.diagonal(dim1=1, dim2=2)
        variance = (self.target_std - (var + 1e-4).sqrt()).relu().mean()
        between = covariance - torch.diag_embed(var)
        return (
            self.variance_weight * variance + self.covariance_weight * between.square().sum((1, 2)).mean() / z.shape[2]
        )

    def statistic(self, value: float, num_samples: int) -> float:
        return value
