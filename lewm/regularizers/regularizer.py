"""Base class of regularizers: float32, all ranks, mean over time steps, and checks of the input."""

import math

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lewm.distributed import num_ranks
from lewm.errors import InputError


class Regularizer(nn.Module):
    """Distance of the embeddings from a target distribution, as a loss. Subclasses implement `loss`.

    The samples of a time step are those of all ranks: n ranks give the same value as one process with the whole batch.
    """

    @torch.compiler.disable  # its backward passes are written out, and its kernels chosen by size
    def forward(self, z: Tensor, *, generator: torch.Generator) -> Tensor:
        """Mean of the loss over time steps.

        Args:
          z: (B, T, D) embeddings of this rank.
          generator: source of randomness, in the same state on every rank.

        Returns:
          () float32, also inside autocast.

        Raises:
          InputError: all ranks together have fewer than 2 samples, or a time step holds NaN or infinity.
        """
        num_samples = z.shape[0] * num_ranks()
        if num_samples < 2:
            raise InputError(f"a regularizer compares samples: it got {num_samples}, give a batch of at least 2")
        with torch.autocast(z.device.type, enabled=False):
            z = z.float()
            _check_finite(z)
            return self.loss(z, generator)

    def loss(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """Differentiable loss of finite float32 embeddings: (B, T, D) -> ()."""
        raise NotImplementedError

    def statistic(self, value: float, num_samples: int) -> float:
        """The number that the literature quotes: a test statistic, which has a factor N that `value` lacks."""
        return value * num_samples


def _check_finite(z: Tensor) -> None:
    """Raises InputError on every rank if one rank has non-finite embeddings: otherwise the others would wait for it."""
    if num_ranks() == 1 and math.isfinite(z.detach().sum().item()):
        return
    num_bad = (~z.isfinite()).any(-1).sum(0)
    if num_ranks() > 1:
        dist.all_reduce(num_bad)
    counts = num_bad.tolist()
    if any(counts):
        step = next(t for t, count in enumerate(counts) if count)
        raise InputError(
            f"the embeddings of time step {step} are not finite in {counts[step]} of {z.shape[0] * num_ranks()}"
            " samples: lower training.learning_rate, or look for NaN in the data"
        )
