"""Significance tests: sign flips of paired sums, Welch's t over training runs, Holm's correction."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats


class Difference(NamedTuple):
    """A difference of two means with its 95% interval and two-sided p; interval and p are nan where nothing can be
    said."""

    difference: float
    low: float
    high: float
    p: float


def sign_flip_test(sums: NDArray[np.int64]) -> float:
    """Exact two-sided p of the hypothesis that each sum was as likely to have the other sign.

    The sums are those of success (0 or 1) of one policy minus success of another, over all attempts of an episode: its
    pairs, and the seeds they were tried with. The unit is the episode, which may be as hard as it likes. Where each
    episode has one attempt this is McNemar's exact test (1947).

    It says nothing about other training runs: that is what `welch` is for.

    Args:
      sums: (E,) one for each episode.

    Returns:
      1.0 where all are 0.
    """
    sizes = np.abs(sums[sums != 0])
    distribution = np.ones(1)  # of the sum of all signed sizes, from -total to total
    for size in sizes:
        step = np.zeros(2 * size + 1)
        step[0] = step[-1] = 0.5
        distribution = np.convolve(distribution, step)
    total = int(sizes.sum())
    totals = np.abs(np.arange(-total, total + 1))
    return min(float(distribution[totals >= abs(int(sums.sum()))].sum()), 1.0)


def welch(values: Sequence[float], reference: Sequence[float]) -> Difference:
    """Difference of the means over seeds, values - reference, by Welch's t (1947): seed noise may differ by column.

    The unit is the training run. The seeds are not paired: a seed fixes the initial weights and the order of the data,
    and what is left in common after a whole training is little, while pairing would halve the degrees of freedom.

    Interval and p are nan with fewer than two seeds on a side, and where neither side has any spread: seeds that agree
    exactly, as rates of 0 or 1 do, are no estimate of the noise between runs, and least of all one of zero.
    """
    a, b = np.asarray(values, float), np.asarray(reference, float)
    difference = float(a.mean() - b.mean()) if len(a) and len(b) else math.nan
    unknown = Difference(difference, math.nan, math.nan, math.nan)
    if min(len(a), len(b)) < 2 or not math.isfinite(difference):
        return unknown
    if np.ptp(a) == np.ptp(b) == 0:  # without the rounding of a mean, which would pass for noise
        return unknown._replace(difference=float(a[0] - b[0]))
    parts = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    error = math.sqrt(sum(parts))
    freedom = error**4 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    half = float(stats.t.ppf(0.975, freedom)) * error
    p = 2 * float(stats.t.sf(abs(difference) / error, freedom))
    return Difference(difference, difference - half, difference + half, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for how many there are (Holm, 1979); nan stays nan and does not count."""
    corrected = [math.nan] * len(p_values)
    order = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min((len(order) - rank) * p_values[i], 1.0))
        corrected[i] = highest
    return corrected
