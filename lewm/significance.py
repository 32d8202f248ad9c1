"""Significance: Wilson's intervals, McNemar's and Tango's paired tests, Welch's t over training runs, Holm."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Z = 1.959963984540054
"""97.5% quantile of N(0, 1)."""


class Difference(NamedTuple):
    """A difference of two means with its 95% interval and two-sided p; interval and p are nan where nothing can be
    said."""

    difference: float
    low: float
    high: float
    p: float


def sign_flip_test(differences: NDArray[np.int64]) -> float:
    """Exact two-sided p of the hypothesis that each difference was as likely to have the other sign.

    Two uses, both for successes (0 or 1) of two columns on the same start/goal pairs:

    - (N,) differences of single attempts, one for each seed and pair: McNemar's exact test (1947). It takes attempts
      for independent, which they are not: a pair that is hard is so for every seed.
    - (P,) sums of a pair's differences over the seeds: the unit is the pair, which may be as hard as it likes. With one
      seed both are the same. This is the one that the page's verdicts use.

    Neither says anything about other training runs: that is what `welch` is for.

    Args:
      differences: (N,) of integers.

    Returns:
      1.0 where all are 0.
    """
    sizes = np.abs(differences[differences != 0])
    distribution = np.ones(1)  # of the sum of all signed sizes, from -total to total
    for size in sizes:
        step = np.zeros(2 * size + 1)
        step[0] = step[-1] = 0.5
        distribution = np.convolve(distribution, step)
    total = int(sizes.sum())
    sums = np.abs(np.arange(-total, total + 1))
    return min(float(distribution[sums >= abs(int(differences.sum()))].sum()), 1.0)


def welch(values: Sequence[float], reference: Sequence[float]) -> Difference:
    """Difference of the means over seeds, values - reference, by Welch's t (1947): seed noise may differ by column.

    The unit is the training run. The seeds are not paired: a seed fixes the initial weights and the order of the data,
    and what is left in common after a whole training is little, while pairing would halve the degrees of freedom.
    """
    a, b = np.asarray(values, float), np.asarray(reference, float)
    difference = float(a.mean() - b.mean()) if len(a) and len(b) else math.nan
    if min(len(a), len(b)) < 2 or not math.isfinite(difference):
        return Difference(difference, math.nan, math.nan, math.nan)
    if np.ptp(a) == np.ptp(b) == 0:  # without the rounding of a mean, which would pass for noise
        return Difference(*3 * (float(a[0] - b[0]),), p=float(a[0] == b[0]))
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


class Rate(NamedTuple):
    """A share of successes with its 95% interval (Wilson, 1927), all between 0 and 1."""

    successes: int
    trials: int
    rate: float
    low: float
    high: float


def wilson(successes: int, trials: int) -> Rate:
    """The success rate of `trials` attempts; nan without any."""
    if trials == 0:
        return Rate(0, 0, math.nan, math.nan, math.nan)
    rate = successes / trials
    centre = (rate + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z * math.sqrt(rate * (1 - rate) / trials + Z**2 / (4 * trials**2)) / (1 + Z**2 / trials)
    return Rate(successes, trials, rate, max(centre - half, 0.0), min(centre + half, 1.0))


class PairedDifference(NamedTuple):
    """Success of the first minus success of the second.

    Attributes:
      num_pairs: pairs of start and goal.
      first_only, second_only: pairs that only one of them solved.
      difference, low, high: of the rates, with its 95% interval (Tango, 1998).
      p: two-sided, of McNemar's exact test (1947).
    """

    num_pairs: int
    first_only: int
    second_only: int
    difference: float
    low: float
    high: float
    p: float


def paired_difference(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> PairedDifference:
    """(N,) bool outcomes of two policies on the same pairs; nan without pairs."""
    difference = first.astype(np.int64) - second.astype(np.int64)
    num_pairs, first_only, second_only = len(difference), int((difference > 0).sum()), int((difference < 0).sum())
    if num_pairs == 0:
        return PairedDifference(0, 0, 0, *4 * (math.nan,))
    low, high = tango(first_only, second_only, num_pairs)
    rate = (first_only - second_only) / num_pairs
    return PairedDifference(num_pairs, first_only, second_only, rate, low, high, sign_flip_test(difference))


def tango(first_only: int, second_only: int, num_pairs: int) -> tuple[float, float]:
    """The 95% score interval of a difference of paired proportions (Tango, Statistics in Medicine 17, 1998).

    It holds the differences whose score statistic is within 1.96, and so excludes 0 where McNemar's asymptotic test
    rejects. Unlike Wald's it holds more than 0 where no pair tells the two apart.
    """
    estimate = (first_only - second_only) / num_pairs

    def score(difference: float) -> float:
        return tango_score(difference, first_only, second_only, num_pairs)

    low = -1.0 if score(-1.0) <= Z else _bisect(lambda x: score(x) - Z, -1.0, estimate)
    high = 1.0 if score(1.0) >= -Z else _bisect(lambda x: score(x) + Z, estimate, 1.0)
    return low, high


def tango_score(difference: float, first_only: int, second_only: int, num_pairs: int) -> float:
    """The score statistic of a true difference: how many standard errors the observed one is above it."""
    numerator = first_only - second_only - num_pairs * difference
    share = second_only_share(difference, first_only, second_only, num_pairs)
    variance = num_pairs * (2 * share + difference * (1 - difference))
    if variance <= 0:
        return 0.0 if numerator == 0 else math.copysign(math.inf, numerator)
    return numerator / math.sqrt(variance)


def second_only_share(difference: float, first_only: int, second_only: int, num_pairs: int) -> float:
    """The likeliest probability that only the second one solves a pair, given the true difference."""
    a = 2 * num_pairs
    b = (2 * num_pairs - first_only + second_only) * difference - first_only - second_only
    c = -second_only * difference * (1 - difference)
    return (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)


def _bisect(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function is 0, between low, where it is positive, and high, where it is not."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2
