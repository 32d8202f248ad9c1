"""What every registered regularizer promises."""

import pytest
import torch

from lewm.config import build
from lewm.errors import InputError
from lewm.regularizers import REGULARIZERS
from tests.registries import REGULARIZER_CONFIGS

BATCH, STEPS, WIDTH = 64, 3, 16


def test_every_registered_regularizer_has_a_configuration():
    assert {config["name"] for config in REGULARIZER_CONFIGS.values()} == set(REGULARIZERS)


@pytest.fixture(scope="module", params=REGULARIZER_CONFIGS)
def value_of(request):
    return value_function(request.param)


@pytest.fixture(scope="module", params=[name for name in REGULARIZER_CONFIGS if name != "none"])
def pressure_of(request):
    """Of the regularizers that want something; `none` is always 0."""
    return value_function(request.param)


def value_function(name):
    """The regularizer of a configuration as a function of z and a seed."""
    regularizer = build(REGULARIZERS, REGULARIZER_CONFIGS[name], "regularizer")
    return lambda z, seed=0: regularizer(z, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def gaussian():
    return torch.randn(BATCH, STEPS, WIDTH, generator=torch.Generator().manual_seed(1))


def test_its_value_is_one_float32_number(value_of, gaussian):
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        value = value_of(gaussian.to(dtype))
        assert value.shape == () and value.dtype == torch.float32


def test_the_same_generator_gives_the_same_value(value_of, gaussian):
    assert torch.equal(value_of(gaussian, seed=3), value_of(gaussian, seed=3))


@pytest.mark.parametrize("name", [name for name in REGULARIZER_CONFIGS if not name.startswith("wristband")])
def test_values_but_for_z_scores_are_never_negative(name, gaussian):
    for scale in (0.0, 0.1, 1.0, 10.0):
        assert value_function(name)(scale * gaussian) >= 0


def test_autocast_changes_nothing(value_of, gaussian):
    outside = value_of(gaussian)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(value_of(gaussian), outside)


def test_it_does_not_write_into_the_embeddings(value_of, gaussian):
    before = gaussian.clone()
    value_of(gaussian)
    assert torch.equal(gaussian, before)


@pytest.mark.parametrize(
    "make_worse",
    [
        torch.zeros_like,
        lambda z: z[:1].expand_as(z),
        lambda z: 1e-2 * z,
        lambda z: z[..., :1] * WIDTH**0.5 * torch.nn.functional.normalize(torch.ones(WIDTH), dim=0),
    ],
    ids=["collapsed to 0", "collapsed to a point", "nearly collapsed", "of rank 1"],
)
def test_gaussian_embeddings_cost_less_than_collapsed_ones(pressure_of, gaussian, make_worse):
    assert 3 * pressure_of(gaussian) < pressure_of(make_worse(gaussian))


def test_steps_that_collapse_to_different_points_are_collapsed(pressure_of):
    points = torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(1))
    gaussian_at_each_step = points[:, None]
    collapsed_at_each_step = points[None].expand(BATCH, -1, -1)  # over all steps together the samples are the same
    assert 3 * pressure_of(gaussian_at_each_step) < pressure_of(collapsed_at_each_step)


def test_the_order_of_the_samples_does_not_matter(value_of, gaussian):
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(value_of(gaussian[order]), value_of(gaussian), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e-4, 1e-2, 1.0, 1e2, 1e4])
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_value_and_gradient_are_finite_at_every_scale(value_of, gaussian, scale, offset):
    z = (scale * gaussian + offset).requires_grad_()
    value = value_of(z)
    value.backward()
    assert value.isfinite()
    assert z.grad.isfinite().all()


def test_following_the_gradient_makes_it_smaller(pressure_of):
    generator = torch.Generator().manual_seed(0)
    z = (0.3 * torch.randn(BATCH, 1, WIDTH, generator=generator) + 0.5).requires_grad_()
    optimizer = torch.optim.Adam([z], lr=0.05)
    start = pressure_of(z).item()
    for step in range(60):
        optimizer.zero_grad()
        pressure_of(z, seed=step).backward()
        optimizer.step()
    assert pressure_of(z, seed=1000).item() < 0.2 * start


@pytest.mark.parametrize("name", [name for name in REGULARIZER_CONFIGS if not name.startswith("wristband")])
def test_a_value_but_for_z_scores_carries_no_factor_of_the_batch_size(name):
    value_of, z = value_function(name), 0.1 * torch.randn(32, 1, WIDTH, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(value_of(z.repeat(4, 1, 1)), value_of(z), rtol=0.1, atol=0)


def test_no_regularizer_is_0_with_a_gradient_of_0(gaussian):
    z = gaussian.clone().requires_grad_()
    value = value_function("none")(z)
    value.backward()
    assert value == 0
    assert torch.equal(z.grad, torch.zeros_like(z))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_the_value_of_an_embedding_that_is_not_finite_is_not_finite(value_of, gaussian, bad):
    z = gaussian.clone()
    z[3, 2, 5] = bad
    assert not value_of(z).isfinite()


def test_a_single_sample_is_an_error_that_says_so(value_of, gaussian):
    with pytest.raises(InputError, match=r"it got 1, .* at least 2"):
        value_of(gaussian[:1])


def test_two_samples_are_enough(value_of, gaussian):
    z = gaussian[:2].clone().requires_grad_()
    value = value_of(z)
    value.backward()
    assert value.isfinite()
    assert z.grad.isfinite().all()


def test_one_zero_among_the_samples_gives_a_finite_gradient(value_of, gaussian):
    z = gaussian.clone()
    z[0] = 0
    z.requires_grad_()
    value_of(z).backward()
    assert z.grad.isfinite().all()
    assert z.grad.norm() < 1e3
