"""Six ways to compare mean and covariance with 0 and I."""

import pytest
import torch

from lewm.regularizers.wristband.gaussian_moments import MOMENTS


def samples_of(mean, std, n=400):
    """(n, d) samples of exactly this mean, and exactly this diagonal covariance in its (N-1) form."""
    x = torch.randn(n, len(mean), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x - x.mean(0)
    whitened = x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / (n - 1))).T
    return whitened * torch.tensor(std, dtype=torch.float64) + torch.tensor(mean, dtype=torch.float64)


@pytest.mark.parametrize("name", MOMENTS)
def test_a_batch_of_mean_0_and_covariance_i_has_none(name):
    assert MOMENTS[name](samples_of([0.0] * 5, [1.0] * 5)).item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("w2", (0.5**2 + 1**2) / 2),
        ("mu_only", 0.5**2 / 2),
        ("kl_diag", (0.25 + 4 - 1 - 1.3862943611) / 4),
        ("kl_full", (0.25 + 4 - 1 - 1.3862943611) / 4),
        ("jeff_diag", (0.25 + 0.25 + 4 + 0.25 - 2) / 8),
        ("jeff_full", (0.25 + 0.25 + 4 + 0.25 - 2) / 8),
    ],
)
def test_a_shift_and_a_scale_of_different_dimensions_give_what_pen_and_paper_give(name, expected):
    x = samples_of([0.5, 0.0], [1.0, 2.0])  # kl and jeffreys in halves, all over d = 2
    assert MOMENTS[name](x).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["w2", "kl_full", "jeff_full"])
def test_full_moments_do_not_depend_on_the_axes(name):
    x = samples_of([0.3, -0.2, 0.1], [0.5, 1.0, 2.0])
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    assert MOMENTS[name](x @ rotation).item() == pytest.approx(MOMENTS[name](x).item(), rel=1e-9)


@pytest.mark.parametrize("name", ["kl_diag", "jeff_diag"])
def test_diagonal_moments_do_not_see_correlations(name):
    x = samples_of([0.0, 0.0], [1.0, 1.0])
    correlated = torch.stack([x[:, 0], 0.8 * x[:, 0] + 0.6 * x[:, 1]], 1)
    assert MOMENTS[name](correlated).item() == pytest.approx(0, abs=1e-9)
    assert MOMENTS[name.replace("diag", "full")](correlated) > 0.1


def test_w2_of_fewer_samples_than_dimensions_counts_each_missing_dimension_as_1():
    x = torch.randn(6, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spectrum = torch.linalg.eigvalsh(torch.cov(x.T)).clamp(min=0)
    expected = (x.mean(0).square().sum() + (spectrum.sqrt() - 1).square().sum()) / 20
    assert MOMENTS["w2"](x).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("name", MOMENTS)
@pytest.mark.parametrize("shape", [(2, 5), (6, 20), (40, 8)])
@pytest.mark.parametrize("scale", [0.0, 1e-4, 1.0, 1e4])
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_value_and_gradient_are_finite_at_every_scale(name, shape, scale, offset):
    x = (scale * torch.randn(shape, generator=torch.Generator().manual_seed(0)) + offset).requires_grad_()
    value = MOMENTS[name](x)
    value.backward()
    assert value.isfinite()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", [name for name in MOMENTS if name != "mu_only"])
def test_the_gradient_points_to_the_right_scale(name):
    for scale in (0.5, 2.0):
        x = scale * samples_of([0.0] * 4, [1.0] * 4)
        x.requires_grad_()
        MOMENTS[name](x).backward()
        assert ((x.grad * x).sum() > 0) == (scale > 1)
