"""Linear probes: the share of each state number's variance that a linear map reads from embeddings."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lewm.diagnostics.coordinates import angles_to_points, sum_by_state
from lewm.distributed import one_thread


@one_thread()
def linear_probe_r2(
    z_train: Tensor, states_train: Tensor, z_test: Tensor, states_test: Tensor, angles: Sequence[int] = ()
) -> Tensor:
    """R2 of least squares with an intercept, fitted on one set of embeddings and judged on another.

    An angle is probed by its cosine and its sine: a linear map cannot follow the jump from 2 pi to 0. Its R2 is 1 minus
    the squared residuals of both over the centred squares of both.

    Args:
      z_train, z_test: (N, D) embeddings.
      states_train, states_test: (N, S) simulator states.
      angles: indices of the state numbers that are angles in radians.

    Returns:
      (S,) coefficients of determination on the test set: 1 is perfect, 0 no better than the test set's mean; 0, too,
      for a state number that does not vary there.
    """
    if states_train.shape[1] == 0:  # recordings without states, which LAPACK refuses
        return states_test.new_zeros(0, dtype=torch.float64)
    (targets, owners), (truth, _) = (angles_to_points(states, angles) for states in (states_train, states_test))
    weights = torch.linalg.lstsq(_with_intercept(z_train), targets, driver="gelsd").solution
    residual = sum_by_state((truth - _with_intercept(z_test) @ weights).square().sum(0), owners)
    centred = sum_by_state((truth - truth.mean(0)).square().sum(0), owners)
    rounding = 1e-24 * sum_by_state(truth.square().sum(0), owners)  # what the mean of equal numbers is off by
    return torch.where(centred > rounding, 1 - residual / centred.clamp(min=1e-300), 0.0)


def _with_intercept(z: Tensor) -> Tensor:
    z = z.double()
    return torch.cat([z, torch.ones_like(z[:, :1])], dim=1)
