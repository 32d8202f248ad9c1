"""How far embeddings are from N(0, I), and whether they collapsed: numbers to log, not to train on."""

import torch
from torch import Tensor


def effective_rank(z: Tensor) -> Tensor:
    """exp of the entropy of the normalized covariance spectrum (Roy and Vetterli, 2007).

    Args:
      z: (N, D) embeddings.

    Returns:
      () between 1, all variance on one axis, and D, isotropic; 0 if there is no variance at all.
    """
    spectrum = torch.linalg.eigvalsh(torch.cov(z.float().T).reshape(z.shape[1], -1)).clamp(min=0)
    total = spectrum.sum()
    rounding = 1e-11 * z.float().square().sum(1).mean()  # what is left of constant embeddings
    if total <= rounding:
        return total.new_zeros(())
    return torch.special.entr(spectrum / total).sum().exp()


def spread(z: Tensor) -> dict[str, float]:
    """(N, D) -> effective rank, and the smallest and the median standard deviation of a dimension."""
    std = z.float().std(0)
    return {"effective_rank": effective_rank(z).item(), "std_min": std.min().item(), "std_median": std.median().item()}
