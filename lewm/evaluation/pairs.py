"""Pairs of start and goal, read from the dataset that their manifest points to."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lewm.data.episodes import Episodes
from lewm.evaluation.manifest import Manifest


class Pairs(NamedTuple):
    """States and actions of P pairs.

    Attributes:
      numbers: (P,) positions of the pairs in their manifest.
      start_states, goal_states: (P, S).
      recorded_actions: (P, offset, a) raw actions from start to goal.
      past_states: (P, T-1, S) states before the start, one model step apart.
      past_actions: (P, T-1, K, a) raw actions that followed each of them.
    """

    numbers: NDArray[np.int64]
    start_states: NDArray[np.float64]
    goal_states: NDArray[np.float64]
    recorded_actions: NDArray[np.float32]
    past_states: NDArray[np.float64]
    past_actions: NDArray[np.float32]


def read_pairs(
    manifest: Manifest, data: Episodes, numbers: NDArray[np.int64] | None = None, num_past: int = 0, frameskip: int = 1
) -> Pairs:
    """Reads pairs from the dataset that they were drawn from.

    Args:
      manifest: the pairs.
      data: its dataset.
      numbers: (P,) those to read; None for all.
      num_past: T-1, frames before the start, which each of these pairs must have.
      frameskip: K, env steps from one frame to the next.
    """
    assert manifest.dataset_hash == data.content_hash
    numbers = np.arange(len(manifest)) if numbers is None else numbers
    episodes, steps = np.array(manifest.episodes)[numbers], np.array(manifest.steps)[numbers]
    assert (steps >= num_past * frameskip).all()
    frames, actions = data.index.frame_rows(episodes, steps), data.index.action_rows(episodes, steps)
    before = frameskip * np.arange(-num_past, 0)
    past = actions[:, None, None] + before[:, None] + np.arange(frameskip)
    return Pairs(
        numbers=numbers,
        start_states=data.states[frames],
        goal_states=data.states[frames + manifest.offset],
        recorded_actions=data.actions[actions[:, None] + np.arange(manifest.offset)],
        past_states=data.states[frames[:, None] + before],
        past_actions=data.actions[past],
    )


def in_batches(
    manifest: Manifest, batch_size: int, context: int, frameskip: int
) -> list[tuple[NDArray[np.int64], int]]:
    """Cuts a manifest into batches whose pairs have equally many frames before the start, at most context - 1.

    Returns:
      For each batch the (B,) numbers of its pairs, and how many frames before their starts there are.
    """
    num_past = np.minimum(np.array(manifest.steps) // frameskip, context - 1)
    batches = []
    for num in np.unique(num_past)[::-1].tolist():
        numbers = np.flatnonzero(num_past == num)
        batches += [(numbers[i : i + batch_size], num) for i in range(0, len(numbers), batch_size)]
    return batches
