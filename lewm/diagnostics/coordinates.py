"""State coordinates in which close means alike: (cos, sin) in place of each angle."""

from collections.abc import Sequence

import torch
from torch import Tensor


def angles_to_points(states: Tensor, angles: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Replaces each angle by its point on the unit circle, so that 0 and 2 pi are the same place.

    Args:
      states: (N, S) simulator states; angles in radians, in any range.
      angles: indices of the state numbers that are angles.

    Returns:
      (N, S + number of angles) float64 coordinates, and the index (S + number of angles,) of the state number that
      each coordinate belongs to.
    """
    states, chosen = states.double(), torch.as_tensor(angles, dtype=torch.long)
    turns = states[:, chosen]
    coordinates = torch.cat([states.index_copy(1, chosen, turns.cos()), turns.sin()], dim=1)
    return coordinates, torch.cat([torch.arange(states.shape[1]), chosen])


def sum_by_state(values: Tensor, owners: Tensor) -> Tensor:
    """Adds up values (C,) of coordinates that belong to the same state number: owners (C,) -> (S,)."""
    num_states = len(owners.unique())
    return values.new_zeros(num_states).index_add(0, owners, values)
