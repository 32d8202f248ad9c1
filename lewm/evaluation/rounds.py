"""Order in which pairs are drawn: rounds over the episodes, so that few pairs are from as many episodes as possible."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

AreOpen = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""(N,) places -> (N,) whether they may be drawn."""


def draw_in_rounds(
    episodes: NDArray[np.int64], num_drawn: int, rng: np.random.Generator, are_open: AreOpen | None = None
) -> NDArray[np.int64]:
    """Draws places without replacement, one of each episode in every round.

    Each round takes, of every episode that has any left, the first open one of its places in a random order; the
    episodes of a round are in a random order too. The first n places are those that a draw of n gives.

    Args:
      episodes: (N,) the episode that each place is in.
      num_drawn: places to draw.
      rng: random numbers; as many are drawn for each num_drawn.
      are_open: tells the places that may be drawn; all by default. Only those that come to their turn are asked for.

    Returns:
      (num_drawn,) numbers of places, fewer if there are not so many open ones.
    """
    waiting: dict[int, list[int]] = {}
    for place in rng.permutation(len(episodes)).tolist():
        waiting.setdefault(int(episodes[place]), []).append(place)
    turns = rng.random(len(episodes))
    drawn: list[int] = []
    while waiting and len(drawn) < num_drawn:
        drawn += sorted(_one_of_each(waiting, are_open), key=turns.__getitem__)
    return np.array(drawn[:num_drawn], np.int64)


def _one_of_each(waiting: dict[int, list[int]], are_open: AreOpen | None) -> list[int]:
    """Takes places out of each episode's list up to its first open one, and returns these; empty lists are removed."""
    found, asked = list[int](), list(waiting)
    while asked:
        places = [waiting[episode].pop() for episode in asked]
        is_open = [True] * len(places) if are_open is None else are_open(np.array(places, np.int64)).tolist()
        found += [place for place, each in zip(places, is_open, strict=True) if each]
        asked = [episode for episode, each in zip(asked, is_open, strict=True) if not each and waiting[episode]]
    for episode in [episode for episode, places in waiting.items() if not places]:
        del waiting[episode]
    return found
