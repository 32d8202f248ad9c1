"""Temporal contrast: which frame of many belongs to this one (InfoNCE, arXiv 1807.03748)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lewm.errors import InputError
from lewm.models.sizes import check_sizes
from lewm.precision import without_autocast


class TemporalContrast(nn.Module):
    """Loss term that is small where frames of one clip are nearer to one another than to those of other clips.

    Each frame of the first half of a clip belongs to the frame half a clip later. It has to be told from the second
    halves of all other clips of the batch by its distance after a linear map: a cross-entropy, and likewise backwards.
    What moves slowly, like a block that is pushed, tells such frames apart, so embeddings have to show all of it.

    Args:
      embedding_dim: D.
      output_dim: size of the space in which distances are taken.
      weight: weight of the term in the training loss.

    Raises:
      InputError: a size is too small, or the weight is negative.
    """

    def __init__(self, embedding_dim: int, output_dim: int, weight: float) -> None:
        super().__init__()
        check_sizes(output_dim=output_dim)
        if not 0 <= weight < math.inf:
            raise InputError(f"weight={weight} must be a number of at least 0")
        self.weight = weight
        self.map = nn.Linear(embedding_dim, output_dim, bias=False)

    def loss(self, z: Tensor) -> Tensor:
        """Term of the training loss, weight included: (B, T, D) embeddings, T at least 2 -> () float32.

        With more than one process, frames are told from those of the same process.
        """
        with without_autocast(z.device.type):
            num_clips, half = len(z), z.shape[1] // 2
            x = self.map(z.float())
            first, second = x[:, :half].flatten(0, 1), x[:, half : 2 * half].flatten(0, 1)
            logits = 2 * first @ second.T - first.square().sum(1, keepdim=True) - second.square().sum(1)
            pairs = torch.arange(num_clips * half, device=z.device)
            same_clip = (pairs // half)[:, None] == pairs // half
            logits = logits.masked_fill(same_clip & (pairs[:, None] != pairs), -math.inf)
            return self.weight * 0.5 * (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs))
