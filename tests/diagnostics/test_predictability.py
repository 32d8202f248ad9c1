"""The Latent Predictability Score on dependence that is known, and both scores on what they are blind to."""

import pytest
import torch

from lewm.diagnostics.predictability import _predict_from_others, latent_predictability, predictability_beyond_prior

SCORES = (latent_predictability, predictability_beyond_prior)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_each_dimension_is_regressed_on_all_others_but_itself():
    fit, judge = randn(60, 2, 5), randn(7, 2, 5, seed=1)
    mean, std, ridge = fit.mean(0), fit.std(0), 10 / 60
    known, asked = (fit - mean) / std, (judge - mean) / std
    predicted = _predict_from_others(fit, judge)
    for dim in range(5):
        others = [other for other in range(5) if other != dim]
        x = known[:, :, others].flatten(1)
        gram = x.T @ x / 60 + ridge * torch.eye(8, dtype=x.dtype)
        weights = torch.linalg.solve(gram, x.T @ known[:, :, dim] / 60)
        expected = mean[:, dim] + std[:, dim] * (asked[:, :, others].flatten(1) @ weights)
        assert torch.allclose(predicted[:, :, dim], expected, atol=1e-12)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(("num_samples", "dim"), [(2000, 8), (200, 64), (1000, 1)])
def test_gaussian_samples_are_not_predictable(score, num_samples, dim):
    assert score(randn(num_samples, dim)) < 0.005


@pytest.mark.parametrize("score", SCORES)
def test_copies_of_one_dimension_are_determined(score):
    assert score(randn(2000, 1).repeat(1, 6)) > 0.99


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("constant", [0.0, 0.3, -1e6])
def test_a_constant_is_determined(score, constant):
    assert score(torch.full((50, 4), constant, dtype=torch.float64)) == pytest.approx(1)


def test_correlated_dimensions_have_their_r2():
    shared = randn(20_000, 1)
    z = 0.6**0.5 * shared + 0.4**0.5 * randn(20_000, 2, seed=1)  # correlation 0.6
    assert latent_predictability(z) == pytest.approx(0.36, abs=0.02)


def test_a_dimension_that_is_the_size_of_another_is_predictable():
    z = randn(5000, 4)
    z[:, 1] = z[:, 0].abs()
    assert latent_predictability(z) > 0.99 / 4


def test_the_score_on_the_axes_ignores_shift_and_scale():
    z = randn(500, 3) @ randn(3, 3, seed=1)
    moved = z * torch.tensor([0.1, 1.0, 20.0]) + torch.tensor([0.0, 5.0, -3.0])
    assert latent_predictability(z) > 0.1
    assert latent_predictability(moved) == pytest.approx(latent_predictability(z), rel=1e-9)


def product(z):
    return torch.cat([z[:, :2], z[:, :1] * z[:, 1:2], z[:, 3:]], 1)


@pytest.mark.parametrize(
    "change",
    [lambda z: z + 0.5, lambda z: 1.3 * z, lambda z: 0.8 * z, lambda z: z * torch.linspace(0.5, 2, 6), product],
    ids=["shift", "stretch", "shrinkage", "unequal scales", "product"],
)
def test_the_score_in_a_turned_basis_sees_what_the_score_on_the_axes_cannot(change):
    z = change(randn(4000, 6))
    assert latent_predictability(z) < 0.005
    assert predictability_beyond_prior(z) > 0.01
