"""Latent geometry: rank correlation of distances between embeddings with distances between states.

A planner's cost is a distance between embeddings, which leads to the goal only as far as it grows with the distance
between the states.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from lewm.diagnostics.coordinates import angles_to_points, sum_by_state


def distance_rank_correlation(
    z: Tensor, states: Tensor, angles: Sequence[int] = (), num_pairs: int = 20000, near_share: float = 0.1
) -> dict[str, float]:
    """Spearman's correlation of distances between embeddings with distances between states, over random pairs.

    Each state number is divided by its standard deviation. Angles that differ by d are the chord 2 sin(d / 2) apart,
    divided by the root of the summed variances of cosine and sine. On average over pairs, every number, angle or not,
    then has the same part in the squared distance, and an angle that varies little counts like any other number.

    Args:
      z: (N, D) embeddings.
      states: (N, S) simulator states.
      angles: indices of the state numbers that are angles in radians.
      num_pairs: random pairs to look at.
      near_share: share of the pairs, those with the nearest states, that count as near.

    Returns:
      "rank_correlation" over all pairs, and "rank_correlation_near" over the near ones, where a cost has to lead the
      last steps to a goal. Embeddings that fold, with a periodic pattern say, lose both. Nothing without states.
    """
    if states.shape[1] == 0:
        return {}
    i, j = np.random.default_rng(0).integers(0, len(z), (2, num_pairs))
    in_latent, in_state = (
        np.linalg.norm(x[i] - x[j], axis=1) for x in (z.numpy(), _scaled_coordinates(states, angles).numpy())
    )
    near = in_state <= np.quantile(in_state, near_share)
    return {
        "rank_correlation": _spearman(in_latent, in_state),
        "rank_correlation_near": _spearman(in_latent[near], in_state[near]),
    }


def _scaled_coordinates(states: Tensor, angles: Sequence[int]) -> Tensor:
    """Coordinates (N, S + number of angles) of (N, S) states; the variances of each state number's add up to 1."""
    coordinates, owners = angles_to_points(states, angles)
    std = sum_by_state(coordinates.var(0, correction=0), owners).sqrt()
    return coordinates / torch.where(std > 0, std, 1.0)[owners]


def _spearman(x: NDArray, y: NDArray) -> float:
    """Spearman's rank correlation; 0 where one of them is constant, which has no ranks."""
    return float(spearmanr(x, y)[0]) if np.ptp(x) > 0 and np.ptp(y) > 0 else 0.0
