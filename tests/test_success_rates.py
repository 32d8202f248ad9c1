"""Success rates and paired differences: hand-computed values, likelihoods, and how often intervals hold the truth."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import multinomial

from lewm.significance import sign_flip_test
from lewm.success_rates import (
    Z,
    effective_size,
    paired_difference,
    second_only_share,
    success_rate,
    tango,
    tango_score,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(48, 50, 0.865, 0.989), (360, 400, 0.867, 0.926), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (1, 1, 0.207, 1.0)],
)
def test_intervals_are_wilsons(successes, trials, low, high):
    rate = wilson(successes, trials)
    assert (rate.successes, rate.trials, rate.rate) == (successes, trials, successes / trials)
    assert (rate.low, rate.high) == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))


def test_no_trials_have_no_rate():
    rate = wilson(0, 0)
    assert rate.trials == 0
    assert np.isnan([rate.rate, rate.low, rate.high]).all()


# Clusters.


def draw_clusters(rng, num_clusters, cluster_size, mean, correlation):
    """(N,) outcomes of a beta-binomial: a cluster's successes correlate; and their (N,) clusters."""
    scale = (1 - correlation) / correlation
    difficulty = rng.beta(mean * scale, (1 - mean) * scale, num_clusters)
    clusters = np.repeat(np.arange(num_clusters), cluster_size)
    return rng.random(len(clusters)) < difficulty[clusters], clusters


def test_a_rate_of_one_pair_an_episode_is_wilsons():
    reached = np.arange(50) < 43
    assert success_rate(reached, np.random.default_rng(0).permutation(50)) == wilson(43, 50)


def test_the_effective_size_is_that_of_rao_and_scott_times_the_quantiles_of_student():
    # Clusters 111 and 10 of rate 0.8: residuals 0.6 and -0.6, so that the variance is 2 x 0.72 / 25 = 0.0576 over
    # clusters, and 0.8 x 0.2 / 4 = 0.04 of independent outcomes. Student's quantiles are 2.7764 (4) and 12.7062 (1).
    size = effective_size(np.array([1, 1, 1, 1, 0]), np.array([7, 7, 7, 2, 2]))
    assert size == pytest.approx(5 / 1.44 * (2.7764 / 12.7062) ** 2, rel=1e-4)


@pytest.mark.parametrize("reached", [0, 1])
def test_a_rate_of_0_or_1_counts_episodes_instead_of_pairs(reached):
    rate, clusters = success_rate(np.full(60, bool(reached)), np.repeat(np.arange(20), 3)), wilson(20 * reached, 20)
    assert (rate.successes, rate.trials, rate.num_clusters, rate.effective_trials) == (60 * reached, 60, 20, 20)
    assert (rate.low, rate.high) == (clusters.low, clusters.high)


def test_outcomes_that_agree_within_each_episode_tell_no_more_than_one_of_them():
    reached = np.repeat(np.arange(40) < 30, 5)
    assert success_rate(reached, np.repeat(np.arange(40), 5)).effective_trials <= 40


def test_outcomes_that_differ_more_within_episodes_than_between_them_count_at_most_for_themselves():
    size = effective_size(np.tile([0, 1], 30), np.repeat(np.arange(30), 2))
    assert 50 < size <= 60  # less than 60 by Student's quantiles of 30 clusters


def test_one_episode_tells_as_much_as_one_pair():
    assert effective_size(np.array([1, 0, 1]), np.zeros(3, int)) == 1


@pytest.mark.parametrize(("num_clusters", "correlation"), [(13, 0.4), (60, 0.4), (40, 0.7)])
def test_intervals_hold_the_rate_of_clustered_outcomes_where_wilsons_do_not(num_clusters, correlation):
    rng, held = np.random.default_rng(0), []
    for _ in range(600):
        reached, clusters = draw_clusters(rng, num_clusters, cluster_size=5, mean=0.7, correlation=correlation)
        rates = success_rate(reached, clusters), wilson(int(reached.sum()), len(reached))
        held.append([rate.low <= 0.7 <= rate.high for rate in rates])
    by_clusters, by_pairs = np.mean(held, axis=0)
    assert by_clusters >= 0.93
    assert by_pairs < 0.85


def test_paired_intervals_and_tests_hold_for_clusters_where_those_of_pairs_do_not():
    """Two policies of equal skill that each find other episodes hard."""
    rng, held, rejected = np.random.default_rng(1), [], []
    for _ in range(600):
        (first, clusters), (second, _) = (draw_clusters(rng, 40, 5, mean=0.7, correlation=0.5) for _ in range(2))
        found = [paired_difference(first, second, each) for each in (clusters, np.arange(len(first)))]
        held.append([each.low <= 0 <= each.high for each in found])
        rejected.append([each.p < 0.05 for each in found])
    assert np.mean(held, axis=0)[0] >= 0.93 and np.mean(held, axis=0)[1] < 0.85
    assert np.mean(rejected, axis=0)[0] <= 0.07 and np.mean(rejected, axis=0)[1] > 0.15


def test_the_test_of_a_paired_difference_is_that_of_the_sums_of_episodes():
    first, second = np.array([1, 1, 0, 1, 0, 1], bool), np.array([0, 0, 1, 0, 0, 1], bool)
    found = paired_difference(first, second, np.array([4, 4, 4, 9, 9, 1]))
    assert found.p == sign_flip_test(np.array([1, 1, 0]))
    assert (found.num_pairs, found.num_clusters) == (6, 3)


# Paired differences of independent pairs.


COUNTS = [(12, 2, 50), (0, 0, 30), (5, 5, 40), (0, 7, 20), (1, 0, 1), (30, 0, 30), (3, 1, 200)]


@pytest.mark.parametrize(("first_only", "second_only", "num_pairs"), COUNTS)
@pytest.mark.parametrize("difference", [-0.5, -0.1, 0.0, 0.15, 0.6])
def test_the_share_of_the_second_alone_maximizes_the_likelihood(first_only, second_only, num_pairs, difference):
    share = np.linspace(max(0.0, -difference), (1 - difference) / 2, 200_001)[1:-1]
    with np.errstate(divide="ignore"):
        logs = np.log(np.stack([share + difference, share, 1 - difference - 2 * share]))
    counts = np.array([first_only, second_only, num_pairs - first_only - second_only])
    likelihood = np.where(counts[:, None] > 0, counts[:, None] * logs, 0.0).sum(0)
    best = share[likelihood.argmax()]
    assert second_only_share(difference, first_only, second_only, num_pairs) == pytest.approx(best, abs=2e-5)


@pytest.mark.parametrize(("first_only", "second_only", "num_pairs"), COUNTS)
def test_an_interval_holds_the_estimate_and_ends_where_the_score_is_1_96(first_only, second_only, num_pairs):
    low, high = tango(first_only, second_only, num_pairs)
    assert -1 <= low <= (first_only - second_only) / num_pairs <= high <= 1
    for end, wanted in ((low, Z), (high, -Z)):
        if abs(end) < 1:
            assert tango_score(end, first_only, second_only, num_pairs) == pytest.approx(wanted, abs=1e-6)


def test_the_score_of_no_difference_is_mcnemars():
    assert tango_score(0.0, 12, 2, 50) == pytest.approx(10 / math.sqrt(14))


@pytest.mark.parametrize("num_pairs", [5, 50, 200])
def test_where_no_pair_tells_them_apart_the_interval_is_that_of_no_events(num_pairs):
    half = Z**2 / (num_pairs + Z**2)
    assert tango(0, 0, num_pairs) == (pytest.approx(-half, abs=1e-9), pytest.approx(half, abs=1e-9))


@pytest.mark.parametrize(("first_only", "second_only", "num_pairs"), COUNTS)
def test_an_interval_turns_around_with_the_order(first_only, second_only, num_pairs):
    low, high = tango(first_only, second_only, num_pairs)
    assert tango(second_only, first_only, num_pairs) == (pytest.approx(-high, abs=1e-9), pytest.approx(-low, abs=1e-9))


@pytest.mark.parametrize(("first", "second"), [(0.2, 0.1), (0.1, 0.1), (0.3, 0.1)])
def test_intervals_hold_the_true_difference_in_about_95_of_100_evaluations(first, second):
    num_pairs, probability = 50, 0.0
    for counts in itertools.product(range(32), range(20)):
        low, high = tango(*counts, num_pairs)
        if low <= first - second <= high:
            every = [*counts, num_pairs - sum(counts)]
            probability += multinomial.pmf(every, num_pairs, [first, second, 1 - first - second])
    assert 0.94 < probability < 0.97


def test_a_paired_difference_counts_the_pairs_that_only_one_solved():
    first, second = np.array([1, 1, 1, 0, 0, 1], bool), np.array([1, 0, 0, 1, 0, 0], bool)
    found = paired_difference(first, second, np.arange(6))
    assert (found.num_pairs, found.first_only, found.second_only) == (6, 3, 1)
    assert found.difference == pytest.approx(2 / 6)
    assert found.p == pytest.approx(10 / 16)  # at most 1 of 4, on both sides


def test_no_pairs_have_no_difference():
    found = paired_difference(np.zeros(0, bool), np.zeros(0, bool), np.zeros(0, int))
    assert np.isnan([found.difference, found.low, found.high, found.p]).all()
