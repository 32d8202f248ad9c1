"""State-affine predictor of SALT (arXiv 2609.33595): the next embedding is an affine map of the last one."""

import math

import torch
from torch import Tensor, nn

from lewm.models.sizes import check_sizes
from lewm.precision import without_autocast

NUM_HALVINGS, DEGREE = 4, 15
"""Of skew_exponential: exact to float32's rounding for matrices of norm up to 32."""


class AffinePredictor(nn.Module):
    """Affine map of an embedding, chosen by the action: z' = A(c) z + B c + b, with c the action embedding.

    A(c) = A0 + sum_r (W_g c)_r N_r, and A0 = U diag(tanh s) V^T with U and V orthogonal, so that A0 never lengthens an
    embedding. At the start s = 3, and B, b, N and the generators of U and V are zero: z' = tanh(3) z, whatever the
    action. A prediction sees one embedding, the newest, and is made in the embeddings' own width: there is no projector
    after it.

    Args:
      embedding_dim: D.
      context: not used; others may see more than one embedding.
      rank: number of matrices N_r that the action mixes.

    Attributes:
      output_dim: D, the width of the action embeddings, too.
      left, right: (D, D), U = exp(left - left^T) and V = exp(right - right^T).
      gains: (D,) s; the singular values of A0 are their tanh.
      mixing: W_g, D -> rank.
      bilinear: the N_r side by side, rank x D -> D.
      action: B and b.

    Raises:
      InputError: a size is too small.
    """

    def __init__(self, embedding_dim: int, context: int, rank: int = 16) -> None:
        super().__init__()
        check_sizes(rank=rank)
        self.output_dim = embedding_dim
        self.left = nn.Parameter(torch.zeros(embedding_dim, embedding_dim))
        self.right = nn.Parameter(torch.zeros(embedding_dim, embedding_dim))
        self.gains = nn.Parameter(torch.full((embedding_dim,), 3.0))
        self.mixing = nn.Linear(embedding_dim, rank, bias=False)
        self.bilinear = nn.Linear(rank * embedding_dim, embedding_dim, bias=False)
        self.action = nn.Linear(embedding_dim, embedding_dim)
        for parameter in (self.bilinear.weight, self.action.weight, self.action.bias):
            nn.init.zeros_(parameter)

    def transition(self) -> Tensor:
        """A0, (D, D) float32."""
        with without_autocast(self.left.device.type):
            u, v = skew_exponential(torch.stack([self.left, self.right]))
            return (u * self.gains.tanh()) @ v.T

    def forward(self, z: Tensor, action_embedding: Tensor) -> Tensor:
        """(B, T, D), (B, T, D) -> (B, T, D); out[:, t] sees step t alone."""
        mixed = self.mixing(action_embedding)[..., None] * z[..., None, :]  # (B, T, rank, D)
        return z @ self.transition().T + self.bilinear(mixed.flatten(-2)) + self.action(action_embedding)


def skew_exponential(generators: Tensor) -> Tensor:
    """Orthogonal matrices exp(W - W^T): (..., D, D) -> (..., D, D).

    By a fixed number of products, scaling and squaring: torch.linalg.matrix_exp chooses the number by the norm, for
    which a GPU waits, and which cannot be recorded in a CUDA graph.
    """
    skew = (generators - generators.mT) / 2**NUM_HALVINGS
    squared = skew @ skew
    fourth = squared @ squared
    powers = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device), skew, squared, squared @ skew

    def terms(lowest: int) -> Tensor:
        """Four terms of the series, without the common factor skew^lowest."""
        return torch.stack([power.expand_as(skew) / math.factorial(lowest + i) for i, power in enumerate(powers)]).sum(
            0
        )

    total = terms(DEGREE - 3)
    for lowest in range(DEGREE - 7, -1, -4):  # Horner's rule in the fourth power
        total = terms(lowest) + fourth @ total
    for _ in range(NUM_HALVINGS):
        total = total @ total
    return total
