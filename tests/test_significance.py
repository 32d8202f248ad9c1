"""Tests of tests: hand-computed and scipy's values, and how often they find what is not there."""

import math

import numpy as np
import pytest
from scipy import stats

from lewm.significance import holm, sign_flip_test, welch


def test_single_attempts_give_mcnemars_exact_test():
    differences = np.array([1] * 9 + [-1] * 2 + [0] * 50)
    assert sign_flip_test(differences) == pytest.approx(stats.binomtest(2, 11).pvalue)


def test_sums_over_seeds_give_the_share_of_sign_flips_that_are_as_extreme():
    # Flips of (3, 1, -1): the sums 3, 1, 5, 3 and their negatives; |sum| >= 3 in 6 of 8.
    assert sign_flip_test(np.array([3, 0, 1, -1])) == pytest.approx(6 / 8)


def test_sign_flips_agree_with_scipys_permutation_test():
    differences = np.random.default_rng(0).integers(-3, 4, 12)
    expected = stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
    assert sign_flip_test(differences) == pytest.approx(expected)


def test_equal_outcomes_differ_with_probability_one():
    assert sign_flip_test(np.zeros(5, int)) == 1.0


def test_welch_agrees_with_scipy():
    a, b = [1.0, 2.5, 2.0], [4.0, 3.5, 5.5, 4.2]
    expected = stats.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval()
    assert welch(a, b) == pytest.approx((np.mean(a) - np.mean(b), interval.low, interval.high, expected.pvalue))


@pytest.mark.parametrize(("values", "reference"), [([2.0], [1.0, 1.5]), ([1.5, 2.5], [1.25])])
def test_one_seed_on_a_side_gives_a_difference_without_an_interval(values, reference):
    found = welch(values, reference)
    assert found.difference == 0.75
    assert all(math.isnan(value) for value in found[1:])


@pytest.mark.parametrize(("values", "difference"), [([1.0, 1.0], 0.9), ([0.1, 0.1, 0.1], 0.0)])
def test_seeds_that_agree_exactly_are_no_estimate_of_noise(values, difference):
    found = welch(values, [0.1, 0.1])
    assert found.difference == difference
    assert all(math.isnan(value) for value in found[1:])


def test_spread_on_one_side_is_an_estimate_of_noise():
    expected = stats.ttest_1samp([0.4, 0.6], 1.0)
    assert welch([1.0, 1.0], [0.4, 0.6]).p == pytest.approx(expected.pvalue)


def test_holm_multiplies_the_smallest_by_the_count_and_keeps_the_order():
    assert holm([0.04, 0.01, math.nan, 0.03]) == pytest.approx([0.06, 0.03, math.nan, 0.06], nan_ok=True)


def test_holm_stays_at_one():
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_the_test_by_pairs_finds_five_percent_of_nothing():
    """Two columns of equal skill on pairs of unequal difficulty, where three seeds solve the same pairs."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(1000):
        difficulty = rng.beta(0.5, 0.5, 60)
        first, second = (rng.random(60) < difficulty for _ in range(2))
        differences = np.repeat((first.astype(int) - second)[:, None], 3, axis=1)
        found.append((sign_flip_test(differences.sum(1)) < 0.05, sign_flip_test(differences.reshape(-1)) < 0.05))
    by_pair, by_attempt = np.mean(found, axis=0)
    assert 0.02 < by_pair < 0.065  # three standard errors around 5%, and lower, as the sums are discrete
    assert by_attempt > 0.15


def test_welch_finds_five_percent_of_nothing_at_three_seeds():
    rng = np.random.default_rng(2)
    p = np.array([welch(rng.normal(size=3), 3 * rng.normal(size=3)).p for _ in range(2000)])
    assert 0.02 < np.mean(p < 0.05) < 0.075


def test_holm_keeps_false_alarms_of_a_family_at_five_percent():
    rng = np.random.default_rng(3)
    families = [holm(list(rng.random(4))) for _ in range(4000)]
    assert 0.04 < np.mean([min(family) < 0.05 for family in families]) < 0.06
