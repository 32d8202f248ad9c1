"""What every registered regularizer promises."""

import pytest
import torch

from lewm.config import build
from lewm.regularizers import REGULARIZERS
from tests.registries import REGULARIZER_CONFIGS

BATCH, STEPS, WIDTH = 64, 3, 16


def test_every_registered_regularizer_has_a_configuration():
    assert {config["name"] for config in REGULARIZER_CONFIGS.values()} == set(REGULARIZERS)


@pytest.fixture(scope="module", params=REGULARIZER_CONFIGS)
def value_of(request):
    """The regularizer of a configuration as a function of z and a seed."""
    regularizer = build(REGULARIZERS, REGULARIZER_CONFIGS[request.param], "regularizer")
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


def test_values_are_never_negative(value_of, gaussian):
    for scale in (0.0, 0.1, 1.0, 10.0):
        assert value_of(scale * gaussian) >= 0


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
def test_gaussian_embeddings_cost_less_than_collapsed_ones(value_of, gaussian, make_worse):
    assert 3 * value_of(gaussian) < value_of(make_worse(gaussian))


def test_steps_that_collapse_to_different_points_are_collapsed(value_of):
    points = torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(1))
    gaussian_at_each_step = points[:, None]
    collapsed_at_each_step = points[None].expand(BATCH, -1, -1)  # over all steps together the samples are the same
    assert 3 * value_of(gaussian_at_each_step) < value_of(collapsed_at_each_step)


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


def test_following_the_gradient_makes_it_smaller(value_of):
    generator = torch.Generator().manual_seed(0)
    z = (0.3 * torch.randn(BATCH, 1, WIDTH, generator=generator) + 0.5).requires_grad_()
    optimizer = torch.optim.Adam([z], lr=0.05)
    start = value_of(z).item()
    for step in range(60):
        optimizer.zero_grad()
        value_of(z, seed=step).backward()
        optimizer.step()
    assert value_of(z, seed=1000).item() < 0.2 * start


def test_a_value_carries_no_factor_of_the_batch_size(value_of):
    z = 0.1 * torch.randn(32, 1, WIDTH, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(value_of(z.repeat(4, 1, 1)), value_of(z), rtol=0.1, atol=0)
