"""Projectors from feature vectors to embeddings."""

import torch
from torch import Tensor, nn

from lewm.distributed import mean_over_ranks, num_ranks
from lewm.models.sizes import check_sizes


class GlobalBatchNorm(nn.BatchNorm1d):
    """BatchNorm over the samples of all ranks, also on CPUs: n ranks equal one process with the whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        if not self.training or num_ranks() == 1:
            return super().forward(x)
        samples = x.float()
        mean = mean_over_ranks(samples.mean(0))
        var = mean_over_ranks((samples - mean).square().mean(0))
        num_samples = len(x) * num_ranks()
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None
            assert self.momentum is not None and self.num_batches_tracked is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * num_samples / (num_samples - 1), self.momentum)
            self.num_batches_tracked += 1
        return ((samples - mean) * torch.rsqrt(var + self.eps) * self.weight + self.bias).to(x.dtype)


class MLPProjector(nn.Sequential):
    """MLP with BatchNorm, GELU and one hidden layer: (N, input_dim) -> (N, output_dim) (LeWM, section 3).

    Args:
      input_dim, output_dim: sizes of input and output.
      hidden_dim: width of the hidden layer.

    Raises:
      InputError: a size is too small.
    """

    def __init__(self, input_dim: int, output_dim: int, hidden_dim: int) -> None:
        check_sizes(hidden_dim=hidden_dim)
        super().__init__(
            nn.Linear(input_dim, hidden_dim),
            GlobalBatchNorm(hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, output_dim),
        )
