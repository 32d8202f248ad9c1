"""Success rates and their paired differences, with 95% intervals that hold for several pairs of one episode.

Pairs of start and goal from one recorded episode share its door, its block and its route: they are a cluster, and
succeed or fail together more often than independent ones. Intervals are those of an effective number of independent
attempts (Rao & Scott, Biometrics 48, 1992), and tests are of the sums over episodes. Where each episode has one pair,
both are those of independent attempts exactly.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lewm.significance import sign_flip_test

Z = 1.959963984540054
"""97.5% quantile of N(0, 1)."""


def effective_size(values: NDArray[Any], clusters: NDArray[np.int64]) -> float:
    """Number of independent values that would tell as much about the mean as these, at most as many as there are.

    It is n / (design effect) x (t_{n-1} / t_{m-1})^2 for n values of m clusters. The design effect is the variance of
    the mean as a ratio estimator over clusters, over that of n independent values (Rao & Scott, 1992), and never below
    1. The ratio of the 97.5% quantiles of Student's t (Korn & Graubard, Survey Methodology 24, 1998) is for the few
    clusters that the variance is estimated from. Both are 1 where each value has a cluster of its own.

    Values that are all equal, as those of a rate of 0 or 1, show nothing of how alike the values of a cluster are: the
    number of clusters is returned, as if a cluster's values always agreed.

    Args:
      values: (n,) numbers.
      clusters: (n,) the cluster of each.
    """
    num_values = len(values)
    _, index = np.unique(clusters, return_inverse=True)
    num_clusters = int(index.max(initial=-1)) + 1
    if num_clusters == num_values:
        return float(num_values)
    independent = values.var() / (num_values - 1)
    if num_clusters < 2 or independent == 0:
        return float(num_clusters)
    residuals = np.bincount(index, weights=values - values.mean())
    clustered = num_clusters / (num_clusters - 1) * np.square(residuals).sum() / num_values**2
    quantiles = stats.t.ppf(0.975, [num_values - 1, num_clusters - 1])
    return float(num_values / max(clustered / independent, 1.0) * (quantiles[0] / quantiles[1]) ** 2)


class Rate(NamedTuple):
    """A success rate with its 95% interval.

    Attributes:
      successes, trials: counts.
      num_clusters: episodes that the trials are from.
      effective_trials: independent trials that would tell as much; see effective_size.
      rate, low, high: between 0 and 1, the interval by Wilson (1927) for effective_trials.
    """

    successes: int
    trials: int
    num_clusters: int
    effective_trials: float
    rate: float
    low: float
    high: float


def success_rate(reached: NDArray[Any], clusters: NDArray[np.int64]) -> Rate:
    """Rate of (N,) outcomes, each 0 or 1, of attempts in (N,) clusters; nan without any."""
    size = effective_size(np.asarray(reached, float), clusters)
    return _rate(int(reached.sum()), len(reached), len(np.unique(clusters)), size)


def wilson(successes: int, trials: int) -> Rate:
    """Rate of independent trials; nan without any."""
    return _rate(successes, trials, trials, float(trials))


def _rate(successes: int, trials: int, num_clusters: int, size: float) -> Rate:
    if trials == 0:
        return Rate(0, 0, 0, 0.0, math.nan, math.nan, math.nan)
    rate = successes / trials
    centre = (rate + Z**2 / (2 * size)) / (1 + Z**2 / size)
    half = Z * math.sqrt(rate * (1 - rate) / size + Z**2 / (4 * size**2)) / (1 + Z**2 / size)
    low = centre - half if successes else 0.0  # exactly: rounding would leave 1e-17
    high = centre + half if successes < trials else 1.0
    return Rate(successes, trials, num_clusters, size, rate, max(low, 0.0), min(high, 1.0))


class PairedDifference(NamedTuple):
    """Success of the first policy minus success of the second on the same pairs.

    Attributes:
      num_pairs: pairs of start and goal.
      num_clusters: episodes that they are from.
      first_only, second_only: pairs that only one of them solved.
      difference, low, high: difference of the rates with its 95% interval (Tango, 1998), for the effective number of
        pairs; see effective_size.
      p: two-sided, of the exact sign-flip test of the sums over episodes; McNemar's where each has one pair.
    """

    num_pairs: int
    num_clusters: int
    first_only: int
    second_only: int
    difference: float
    low: float
    high: float
    p: float


def paired_difference(first: NDArray[Any], second: NDArray[Any], clusters: NDArray[np.int64]) -> PairedDifference:
    """Difference of (N,) bool outcomes of two policies on the same pairs, of (N,) clusters; nan without pairs."""
    difference = first.astype(np.int64) - second.astype(np.int64)
    num_pairs, first_only, second_only = len(difference), int((difference > 0).sum()), int((difference < 0).sum())
    if num_pairs == 0:
        return PairedDifference(0, 0, 0, 0, *4 * (math.nan,))
    scale = effective_size(difference, clusters) / num_pairs
    low, high = tango(scale * first_only, scale * second_only, scale * num_pairs)
    sums = cluster_sums(difference, clusters)
    rate = (first_only - second_only) / num_pairs
    return PairedDifference(num_pairs, len(sums), first_only, second_only, rate, low, high, sign_flip_test(sums))


def cluster_sums(values: NDArray[np.int64], clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) integers of (N,) clusters -> (number of clusters,) their sums."""
    _, index = np.unique(clusters, return_inverse=True)
    sums: NDArray[np.int64] = np.bincount(index, weights=values).astype(np.int64)
    return sums


def tango(first_only: float, second_only: float, num_pairs: float) -> tuple[float, float]:
    """The 95% score interval of a difference of paired proportions (Tango, Statistics in Medicine 17, 1998).

    It holds the differences whose score statistic is within 1.96, and so excludes 0 where McNemar's asymptotic test
    rejects. Unlike Wald's it holds more than 0 where no pair tells the two apart. Counts may be fractions.
    """
    estimate = (first_only - second_only) / num_pairs

    def score(difference: float) -> float:
        return tango_score(difference, first_only, second_only, num_pairs)

    low = -1.0 if score(-1.0) <= Z else _bisect(lambda x: score(x) - Z, -1.0, estimate)
    high = 1.0 if score(1.0) >= -Z else _bisect(lambda x: score(x) + Z, estimate, 1.0)
    return low, high


def tango_score(difference: float, first_only: float, second_only: float, num_pairs: float) -> float:
    """The score statistic of a true difference: how many standard errors the observed one is above it."""
    numerator = first_only - second_only - num_pairs * difference
    share = second_only_share(difference, first_only, second_only, num_pairs)
    variance = num_pairs * (2 * share + difference * (1 - difference))
    if variance <= 0:
        return 0.0 if numerator == 0 else math.copysign(math.inf, numerator)
    return numerator / math.sqrt(variance)


def second_only_share(difference: float, first_only: float, second_only: float, num_pairs: float) -> float:
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
