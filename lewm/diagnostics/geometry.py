"""Whether distances between embeddings say how far apart the states are: what a planner's cost lives on."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr


def distance_rank_correlation(
    z: NDArray, states: NDArray, num_pairs: int = 20000, near_share: float = 0.1
) -> dict[str, float]:
    """Spearman's correlation of distances between embeddings and between states, over random pairs.

    Args:
      z: (N, D) embeddings.
      states: (N, S) simulator states; each dimension is divided by its standard deviation.
      num_pairs: random pairs to look at.
      near_share: share of the pairs, those with the nearest states, that count as near.

    Returns:
      "rank_correlation" over all pairs, and "rank_correlation_near" over the near ones, where a cost has to lead the
      last steps to a goal. Embeddings that fold, with a periodic pattern say, lose both. Nothing without states.
    """
    if states.shape[1] == 0:
        return {}
    spread = states.std(0)
    scaled = states / np.where(spread > 0, spread, 1)
    i, j = np.random.default_rng(0).integers(0, len(z), (2, num_pairs))
    in_latent, in_state = (np.linalg.norm(x[i] - x[j], axis=1) for x in (z, scaled))
    near = in_state <= np.quantile(in_state, near_share)
    return {
        "rank_correlation": _spearman(in_latent, in_state),
        "rank_correlation_near": _spearman(in_latent[near], in_state[near]),
    }


def _spearman(x: NDArray, y: NDArray) -> float:
    """0 where one of them is constant, which has no ranks."""
    return float(spearmanr(x, y)[0]) if np.ptp(x) > 0 and np.ptp(y) > 0 else 0.0
