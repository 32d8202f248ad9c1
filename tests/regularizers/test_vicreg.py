"""VICReg's two terms by pen and paper."""

import math

import pytest
import torch

from lewm.regularizers import VICReg


def value(z, **weights):
    return VICReg(**weights)(z[:, None], generator=torch.Generator()).item()


FOUR_CORNERS = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])  # variance 4/3, no covariance


def test_dimensions_with_enough_variance_and_no_covariance_cost_nothing():
    assert value(FOUR_CORNERS) == 0


def test_the_variance_term_is_what_is_missing_to_the_wanted_standard_deviation():
    expected = 1 - math.sqrt(0.25 * 4 / 3 + 1e-4)
    assert value(0.5 * FOUR_CORNERS, variance_weight=2.0) == pytest.approx(2 * expected, rel=1e-6)


def test_the_covariance_term_is_the_sum_of_squared_covariances_over_the_dimensions():
    line = FOUR_CORNERS[:, :1].expand(-1, 2)  # both covariances are 4/3
    assert value(line, covariance_weight=3.0) == pytest.approx(3 * 2 * (4 / 3) ** 2 / 2, rel=1e-6)


def test_it_does_not_see_the_mean():
    z = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
    assert value(z + 100) == pytest.approx(value(z), abs=1e-4)


def test_it_does_not_tell_a_gaussian_from_another_distribution_of_the_same_covariance():
    assert value(FOUR_CORNERS * math.sqrt(3 / 4)) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("arguments", [{"variance_weight": -1.0}, {"covariance_weight": -0.5}, {"target_std": 0.0}])
def test_arguments_that_mean_nothing_are_refused(arguments):
    key, wrong = next(iter(arguments.items()))
    with pytest.raises(ValueError, match=f"{key}={wrong}"):
        VICReg(**arguments)
