"""What the report says of Gaussian samples, of the ways to fail, and of what no report should be asked."""

import math

import numpy as np
import pytest
import torch

from lewm.diagnostics.gaussianity import (
    effective_rank,
    effective_rank_origin,
    gaussianity_report,
    gaussianity_statistics,
    rank_and_std,
    wristband_z,
)
from lewm.diagnostics.slice_tests import simulate, slice_directions
from lewm.errors import InputError
from lewm.regularizers import REGULARIZERS
from scripts.demos.sigreg_demo import failures

FAILURES = ("full collapse", "rank 1", "Student-t(3)", "one axis x5", "shift by 2")
STATISTICS = (
    "epps_pulley",
    "cramer_von_mises",
    "anderson_darling",
    "sliced_w2",
    "w2",
    "wristband_z",
    "effective_rank",
    "effective_rank_origin",
    "latent_predictability",
    "predictability_beyond_prior",
)
BLIND = {
    ("effective_rank", "shift by 2"),  # a covariance has no mean
    ("latent_predictability", "Student-t(3)"),  # independent dimensions, whatever their tails,
    ("latent_predictability", "one axis x5"),  # their scales
    ("latent_predictability", "shift by 2"),  # and their means
}
"""What a statistic cannot see by its definition; effective_rank_origin and predictability_beyond_prior can."""


@pytest.fixture(scope="module")
def measured():
    """Every statistic of 20 Gaussian samples, and of each failure: N = 2048, D = 32."""
    directions = slice_directions(32, 32)
    null = simulate(lambda z: gaussianity_statistics(z, directions), 2048, 32, num_draws=20)
    return null, {name: gaussianity_statistics(z, directions) for name, z in failures(seed=0).items()}


def excess(measured, statistic, name):
    """By how many times the range of the null a value is worse than the worst of the null."""
    null, found = measured
    sign = -1 if statistic.startswith("effective_rank") else 1
    draws = sign * null[statistic]
    return (sign * found[name][statistic] - draws.max().item()) / max((draws.max() - draws.min()).item(), 1e-4)


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_each_statistic_separates_each_failure_that_it_can_see(measured, statistic, failure):
    value = excess(measured, statistic, failure)
    assert value < 1 if (statistic, failure) in BLIND else value > 1


@pytest.mark.parametrize("statistic", STATISTICS)
def test_no_statistic_takes_another_gaussian_sample_for_a_failure(measured, statistic):
    assert excess(measured, statistic, "isotropic Gaussian") < 1


def test_the_statistics_are_all_there(measured):
    assert set(measured[0]) == set(STATISTICS)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_isotropic_data_have_full_effective_rank(scale):
    z = scale * torch.cat([torch.eye(12), -torch.eye(12)]) + 5 * scale
    assert effective_rank(z).item() == pytest.approx(12, rel=1e-3)


def test_gaussian_data_have_nearly_full_effective_rank():
    z = torch.randn(4000, 12, generator=torch.Generator().manual_seed(0))
    assert 11.9 < effective_rank(z) <= 12


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_data_on_a_few_axes_have_their_number_as_effective_rank(rank):
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(12, rank, generator=generator)).Q
    z = torch.cat([torch.eye(rank), -torch.eye(rank)]) @ axes.T
    assert effective_rank(z).item() == pytest.approx(rank, rel=1e-3)


@pytest.mark.parametrize("row", [torch.zeros(4), torch.full((4,), 3.0), torch.tensor([0.1, -1 / 3, 7.7, 1e3])])
@pytest.mark.parametrize("num_samples", [10, 1000])
def test_constant_data_have_effective_rank_0(row, num_samples):
    assert effective_rank(row.expand(num_samples, -1)) == 0


def test_one_dimension_has_effective_rank_1():
    assert effective_rank(torch.randn(10, 1, generator=torch.Generator().manual_seed(0))) == 1


def test_effective_rank_is_the_exponential_of_the_entropy_of_the_spectrum():
    z = torch.cat([torch.eye(3), -torch.eye(3)]) * torch.tensor([1.0, 1.0, 2.0])  # variances 1 : 1 : 4
    entropy = -2 * math.log(1 / 6) / 6 - 4 * math.log(4 / 6) / 6
    assert effective_rank(z).item() == pytest.approx(math.exp(entropy), rel=1e-4)


@pytest.mark.parametrize("dim", [1, 12])
def test_samples_on_a_line_through_the_origin_have_effective_rank_1_around_it(dim):
    row = torch.arange(1.0, dim + 1)
    assert effective_rank_origin(row.expand(10, -1)) == pytest.approx(1, abs=1e-5)
    assert effective_rank_origin(torch.linspace(-2, 3, 10)[:, None] * row) == pytest.approx(1, abs=1e-5)


def test_samples_at_the_origin_have_effective_rank_0_around_it():
    assert effective_rank_origin(torch.zeros(10, 4)) == 0


def test_both_effective_ranks_of_centred_data_are_equal():
    z = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2, 3, 4, 5, 6])
    z = z - z.mean(0)
    assert effective_rank_origin(z).item() == pytest.approx(effective_rank(z).item(), rel=1e-5)


def test_rank_and_std_tell_the_smallest_and_the_median_standard_deviation():
    z = torch.randn(20_000, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 0.1, 2.0, 5.0, 1.0])
    numbers = rank_and_std(z)
    assert numbers["std_min"] == pytest.approx(0.1, rel=0.05)
    assert numbers["std_median"] == pytest.approx(2.0, rel=0.05)
    assert numbers["effective_rank"] == pytest.approx(effective_rank(z).item())


def small(num_samples=60, dim=5, seed=0):
    return torch.randn(num_samples, dim, generator=torch.Generator().manual_seed(seed))


def quick_report(z):
    return gaussianity_report(z, num_slices=16, num_draws=39)


def test_the_report_of_a_gaussian_sample_rejects_nothing():
    numbers = quick_report(small())
    assert all(value > 0.05 for name, value in numbers.items() if name.endswith("_p"))
    assert abs(numbers["wristband_z"]) < 3


def test_each_sliced_test_rejects_a_uniform_sample_with_the_smallest_p_value_that_there_is():
    numbers = quick_report(6 * torch.rand(60, 5, generator=torch.Generator().manual_seed(0)) - 3)
    for name in ("epps_pulley", "cramer_von_mises", "anderson_darling", "sliced_w2"):
        assert numbers[f"{name}_p"] == 1 / 40


def test_w2_is_the_distance_between_gaussians():
    z = torch.cat([torch.eye(3), -torch.eye(3)]).double() * math.sqrt(2.5)  # variances 1 over 6 - 1
    z = torch.cat([z, z]) * math.sqrt(11 / 10) * torch.tensor([1.0, 3.0, 1.0]) + torch.tensor([0.0, 0.0, 2.0])
    assert gaussianity_statistics(z, slice_directions(3, 8))["w2"] == pytest.approx(math.sqrt((3 - 1) ** 2 + 2**2))


def test_wristband_z_is_what_the_regularizer_says():
    regularizer = REGULARIZERS["wristband"]()
    for z in (small(), small(seed=1), 1.2 * small(seed=2)):
        value = regularizer(z[:, None], generator=torch.Generator().manual_seed(0)).item()
        assert wristband_z(z) == pytest.approx(value, rel=1e-5, abs=1e-5)


STRANGE = {
    "zeros": torch.zeros(20, 4),
    "one value": torch.full((20, 4), -7.0),
    "one sample apart": torch.cat([torch.zeros(19, 4), torch.full((1, 4), 1e20)]),
    "huge": 1e30 * small(20, 4),
    "tiny": 1e-30 * small(20, 4),
    "two values": small(2, 4).repeat(10, 1),
    "a dead axis": small(20, 4) * torch.tensor([1.0, 1, 1, 0]),
    "fewer samples than dimensions": small(8, 40),
    "one dimension": small(20, 1),
    "a constant dimension": torch.full((20, 1), 3.0),
    "two dimensions": torch.full((20, 2), 3.0),
    "the largest float64": torch.full((20, 4), torch.finfo(torch.float64).max, dtype=torch.float64),
    "half precision": small(20, 4).bfloat16(),
    "integers": torch.arange(80).reshape(20, 4),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_embeddings_have_finite_numbers(name):
    numbers = quick_report(STRANGE[name])
    assert all(math.isfinite(value) for value in numbers.values()), numbers


def test_the_report_takes_arrays_and_tensors_that_need_a_gradient():
    z = small()
    assert quick_report(z.numpy()) == quick_report(z.clone().requires_grad_()) == quick_report(z)


def test_the_report_changes_neither_its_argument_nor_the_global_generator():
    z = 1e9 * small(30, 3)
    copy, state = z.clone(), torch.get_rng_state()
    quick_report(z)
    assert torch.equal(z, copy)
    assert torch.equal(torch.get_rng_state(), state)


def test_more_rows_than_asked_for_are_replaced_by_so_many_of_them():
    z = small(100, 3)
    few = gaussianity_report(z, num_slices=16, num_draws=39, max_samples=20)
    assert few == gaussianity_report(z, num_slices=16, num_draws=39, max_samples=20)
    assert few["epps_pulley"] != quick_report(z[:20])["epps_pulley"]  # drawn, not the first
    assert few["effective_rank"] < 3


def test_the_report_names_the_first_row_that_is_not_finite():
    z = small()
    z[17, 2], z[31, 0] = math.nan, math.inf
    with pytest.raises(InputError, match="row 17 "):
        gaussianity_report(z)


@pytest.mark.parametrize("shape", [(7, 4), (20,), (20, 3, 4), (20, 0)])
def test_the_report_refuses_what_is_not_a_sample(shape):
    with pytest.raises(InputError, match="give \\(N, D\\) with N at least 8"):
        gaussianity_report(np.zeros(shape))
