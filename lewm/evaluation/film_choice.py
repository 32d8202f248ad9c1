"""Choice of the pairs that are filmed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def failures_first(reached: Sequence[bool], solved_at_start: Sequence[bool]) -> list[int]:
    """Numbers of all pairs: failures, then those reached, then those that were solved at the start."""
    return sorted(range(len(reached)), key=lambda i: (solved_at_start[i], reached[i], i))


def choose_films(reached: NDArray[np.bool_], solved_at_start: NDArray[np.bool_], num_films: int) -> list[int]:
    """Pairs to film, none that is solved at the start: failures first, but up to a quarter of them are successes."""
    order = [i for i in failures_first(list(reached), list(solved_at_start)) if not solved_at_start[i]]
    failed, successes = [i for i in order if not reached[i]], [i for i in order if reached[i]]
    num_failed = min(len(failed), max(num_films - min(len(successes), num_films // 4), 0))
    return failed[:num_failed] + successes[: num_films - num_failed]
