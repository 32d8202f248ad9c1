"""Base class of regularizers: float32, all ranks, and the mean over time steps."""

import torch
from torch import Tensor, nn

from lewm.distributed import num_ranks
from lewm.errors import InputError
from lewm.precision import without_autocast


class Regularizer(nn.Module):
    """Distance of the embeddings from a target distribution, as a loss. Subclasses implement `loss`.

    The samples of a time step are those of all ranks: n ranks give the same value as one process with the whole batch.

    Attributes:
      recordable: whether a CUDA graph can record it, which no operation can be part of that the host waits for.
    """

    recordable = True

    @torch.compiler.disable  # its backward passes are written out, and its kernels chosen by size
    def forward(self, z: Tensor, *, generator: torch.Generator) -> Tensor:
        """Mean of the loss over time steps.

        Args:
          z: (B, T, D) embeddings of this rank.
          generator: source of randomness, in the same state on every rank.

        Returns:
          () float32, also inside autocast. It is not finite where the embeddings are not: looking for that here would
          make a GPU wait at each call.

        Raises:
          InputError: all ranks together have fewer than 2 samples.
        """
        num_samples = z.shape[0] * num_ranks()
        if num_samples < 2:
            raise InputError(f"a regularizer compares samples: it got {num_samples}, give a batch of at least 2")
        with without_autocast(z.device.type):
            return self.loss(z.float(), generator)

    def loss(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """Differentiable loss of float32 embeddings: (B, T, D) -> ()."""
        raise NotImplementedError

    def statistic(self, value: float, num_samples: int) -> float:
        """The number that the literature quotes: a test statistic, which has a factor N that `value` lacks."""
        return value * num_samples
