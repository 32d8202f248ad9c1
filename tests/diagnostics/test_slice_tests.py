"""The one-dimensional tests against scipy and against their formulas, and the p-values against their definition."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from lewm.diagnostics import slice_tests
from lewm.diagnostics.slice_tests import (
    anderson_darling,
    ascending,
    cramer_von_mises,
    epps_pulley,
    p_value,
    simulate,
    slice_directions,
    sliced_tests,
    sliced_tests_null,
    squared_w2,
)
from lewm.regularizers import SIGReg
from tests.fake_gpu import fake_gpu


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


SLICES = ascending(torch.stack([randn(100), 2 * randn(100, seed=1), randn(100, seed=2) + 1, randn(100, seed=3) ** 3]))


def test_cramer_von_mises_is_that_of_scipy():
    expected = [stats.cramervonmises(x, stats.norm.cdf).statistic for x in SLICES.numpy()]
    assert cramer_von_mises(SLICES).tolist() == pytest.approx(expected, rel=1e-10)


def test_anderson_darling_is_that_of_scipy_with_known_mean_and_scale():
    known = {"loc": 0, "scale": 1}
    expected = [
        stats.goodness_of_fit(stats.norm, x, known_params=known, statistic="ad", n_mc_samples=1).statistic
        for x in SLICES.numpy()
    ]
    assert anderson_darling(SLICES).tolist() == pytest.approx(expected, rel=1e-8)


def test_epps_pulley_is_the_integral_over_both_halves_of_the_axis():
    knots = torch.linspace(-5, 5, 17, dtype=torch.float64)
    gaussian = torch.exp(-knots.square() / 2)
    ecf = torch.exp(1j * knots * SLICES[..., None]).mean(1)
    expected = 100 * torch.trapezoid((ecf - gaussian).abs().square() * gaussian, knots)
    assert epps_pulley(SLICES, num_knots=9, max_knot=5.0).tolist() == pytest.approx(expected.tolist())


def test_epps_pulley_of_one_dimension_is_the_statistic_of_sigreg():
    sigreg, x = SIGReg(num_directions=8), SLICES[1].float()
    value = sigreg(x[:, None, None], generator=torch.Generator().manual_seed(0)).item()
    assert epps_pulley(x[None])[0].item() == pytest.approx(sigreg.statistic(value, 100), rel=1e-4)


def test_squared_w2_is_the_distance_between_quantile_functions():
    grid = (np.arange(1_000_000) + 0.5) / 1_000_000
    for x, distance in zip(SLICES.numpy(), squared_w2(SLICES).tolist(), strict=True):
        expected = np.mean((np.repeat(x, 10_000) - stats.norm.ppf(grid)) ** 2)
        assert distance == pytest.approx(expected, rel=1e-4)


def test_squared_w2_of_a_constant_is_exact():
    assert squared_w2(torch.full((1, 50), 0.3, dtype=torch.float64)).item() == pytest.approx(1.09)


def test_slices_are_unit_vectors_half_of_them_different_axes_at_most():
    directions = slice_directions(dim=20, num_slices=16)
    assert directions.norm(dim=1).tolist() == pytest.approx([1.0] * 16)
    axes = directions[(directions == 1).any(1)]
    assert len(axes.unique(dim=0)) == 8


def test_one_dimension_has_one_slice():
    assert slice_directions(dim=1, num_slices=16).tolist() == [[1.0]]


def test_slices_along_axes_see_what_sums_of_many_dimensions_hide():
    # Uniform coordinates with mean 0 and variance 1: every random projection of 64 of them is nearly Gaussian.
    z = math.sqrt(3) * (2 * torch.rand(500, 64, generator=torch.Generator().manual_seed(0)) - 1)
    null = sliced_tests_null(500, 64, 64, 99)
    for name, value in sliced_tests(z, slice_directions(64, 64)).items():
        assert p_value(value, null[name]) == 0.01


def test_the_p_value_counts_the_value_as_a_draw_of_the_null():
    null = torch.tensor([3.0, 1.0, 2.0, 4.0])
    values = torch.tensor([0.0, 1.0, 2.5, 4.0, 9.0])
    assert p_value(values, null).tolist() == pytest.approx([1.0, 1.0, 0.6, 0.4, 0.2])


@pytest.mark.parametrize(
    ("statistic", "five_percent"),
    [(cramer_von_mises, 0.461), (anderson_darling, 2.492)],  # limits for large samples (Stephens, 1974, case 0)
)
def test_the_null_has_the_published_critical_values(statistic, five_percent):
    values = statistic(ascending(randn(20_000, 100)))
    assert values.quantile(0.95).item() == pytest.approx(five_percent, rel=0.03)


def test_five_percent_epps_pulley_tests_reject_4_to_6_percent_of_null_samples():
    null, fresh = (epps_pulley(randn(num, 100, seed=seed)) for seed, num in enumerate((20_000, 10_000)))
    assert 0.04 < (p_value(fresh, null) <= 0.05).double().mean() < 0.06


def test_five_percent_tests_of_arrays_reject_as_many_null_arrays():
    directions = slice_directions(6, 16)
    null = sliced_tests_null(50, 6, 16, 999)
    generator = torch.Generator().manual_seed(7)
    found = [sliced_tests(torch.randn(50, 6, generator=generator), directions) for _ in range(1000)]
    for name, draws in null.items():
        p = p_value(torch.tensor([values[name] for values in found]), draws)
        # 4 standard errors: of 1,000 arrays, and of a critical value from 999 draws.
        assert (p <= 0.05).double().mean().item() == pytest.approx(0.05, abs=0.04)
        assert p.mean().item() == pytest.approx(0.5, abs=0.05)


def test_the_null_is_the_same_at_each_call_and_leaves_the_global_generator_alone():
    def measure(z):
        return {"mean": z.mean().item()}

    before = torch.get_rng_state()
    first, second = (simulate(measure, 10, 3, num_draws=5) for _ in range(2))
    assert first["mean"].tolist() == second["mean"].tolist()
    assert len(set(first["mean"].tolist())) == 5
    assert torch.equal(torch.get_rng_state(), before)


def test_a_null_distribution_on_a_gpu_is_waited_for_once(monkeypatch):
    monkeypatch.setattr(slice_tests, "upload", lambda tensor, device: tensor.to(device))  # no memory is pinned here
    sliced_tests_null(20, 3, 4, 1)  # makes constants on the CPU
    with fake_gpu(slice_tests) as copies:
        null = sliced_tests_null(20, 3, 4, 5, "cuda")
        assert set(null) == {"epps_pulley", "cramer_von_mises", "anderson_darling", "sliced_w2"}
        assert all(draws.shape == (5,) and draws.device.type == "cpu" for draws in null.values())
        assert copies.num_back == 1


def test_a_null_distribution_is_that_of_the_tests_that_it_is_for():
    null, directions = sliced_tests_null(20, 3, 4, 5), slice_directions(3, 4)
    for name, draws in simulate(lambda z: sliced_tests(z, directions), 20, 3, num_draws=5).items():
        assert torch.equal(draws, null[name])


def test_slices_are_sorted_alike_by_both_libraries():
    slices = randn(4, 50).float()
    assert torch.equal(ascending(slices), slices.sort(dim=1).values)
