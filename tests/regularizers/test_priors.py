"""Priors have the moments that they say, and MMD finds the prior among them."""

import math

import pytest
import torch
from scipy import stats

from lewm.config import build
from lewm.errors import InputError
from lewm.regularizers import MMD
from lewm.regularizers.priors import PRIORS, build_prior

BIMODAL = {
    "name": "mixture",
    "components": [{"name": "normal", "mean": -0.9, "std": 0.436}, {"name": "normal", "mean": 0.9, "std": 0.436}],
}
COMPONENTS = {
    "normal": {"name": "normal"},
    "uniform": {"name": "uniform"},
    "laplace": {"name": "laplace"},
    "bimodal": BIMODAL,
    "blocks": {"name": "blocks", "blocks": [{"name": "uniform", "dim": 2}, {"name": "laplace", "dim": 1}]},
}
DIM = 3


def draw(component, n, seed=0):
    return build_prior(component).sample(n, DIM, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", COMPONENTS)
def test_priors_have_mean_0_and_covariance_i_by_default(name):
    x = draw(COMPONENTS[name], 100_000)
    assert x.shape == (100_000, DIM) and x.dtype == torch.float32
    assert x.mean(0).abs().max() < 0.02
    assert (torch.cov(x.T) - torch.eye(DIM)).abs().max() < 0.03


@pytest.mark.parametrize(
    ("component", "distribution"),
    [
        ({"name": "normal", "mean": 1.0, "std": 2.0}, stats.norm(1, 2)),
        ({"name": "uniform", "low": -1.0, "high": 3.0}, stats.uniform(-1, 4)),
        ({"name": "laplace", "mean": 0.5, "scale": 2.0}, stats.laplace(0.5, 2)),
    ],
)
def test_priors_have_the_distribution_of_their_parameters(component, distribution):
    assert stats.kstest(draw(component, 5000).flatten().numpy(), distribution.cdf).pvalue > 0.01


def test_a_mixture_weighs_its_components():
    x = draw(BIMODAL | {"weights": [3.0, 1.0]}, 20_000)
    assert (x < 0).float().mean().item() == pytest.approx(0.75 * 0.98 + 0.25 * 0.02, abs=0.01)


def test_dimensions_of_a_mixture_are_independent():
    x = draw(BIMODAL, 20_000).sign()
    assert (x[:, 0] * x[:, 1]).mean().abs() < 0.03


def test_blocks_have_their_own_priors():
    x = draw(COMPONENTS["blocks"], 5000).numpy()
    assert abs(x[:, :2]).max() <= math.sqrt(3) + 1e-6
    assert stats.kstest(x[:, 2], stats.laplace(0, math.sqrt(0.5)).cdf).pvalue > 0.01


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_same_generator_gives_the_same_samples(name):
    assert torch.equal(draw(COMPONENTS[name], 10, seed=3), draw(COMPONENTS[name], 10, seed=3))
    assert not torch.equal(draw(COMPONENTS[name], 10, seed=3), draw(COMPONENTS[name], 10, seed=4))


def mmd(prior, z, seed=0):
    return MMD(prior)(z[:, None], generator=torch.Generator().manual_seed(seed)).item()


@pytest.mark.parametrize("truth", COMPONENTS)
def test_mmd_is_smallest_for_the_prior_that_the_embeddings_come_from(truth):
    z = draw(COMPONENTS[truth], 700, seed=1)
    distances = {name: sum(mmd(COMPONENTS[name], z, seed) for seed in range(2)) for name in COMPONENTS}
    assert min(distances, key=distances.get) == truth


@pytest.mark.parametrize("name", COMPONENTS)
def test_following_the_gradient_of_mmd_reaches_the_prior(name):
    z = (0.2 * torch.randn(200, 1, DIM, generator=torch.Generator().manual_seed(0)) + 1).requires_grad_()
    regularizer, optimizer = MMD(COMPONENTS[name]), torch.optim.Adam([z], lr=0.05)
    for seed in range(100):
        optimizer.zero_grad()
        regularizer(z, generator=torch.Generator().manual_seed(seed)).backward()
        optimizer.step()
    wanted = draw(COMPONENTS[name], 20_000, seed=5).numpy()
    for dimension in range(DIM):
        distance = stats.ks_2samp(z.detach()[:, 0, dimension].numpy(), wanted[:, dimension]).statistic
        assert distance < 0.12


def test_mmd_is_its_formula():
    z = torch.randn(5, 2, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value = MMD()(z, generator=torch.Generator().manual_seed(1))
    wanted = build_prior({"name": "normal"}).sample(10, DIM, torch.Generator().manual_seed(1)).double().view(2, 5, DIM)

    def mean_kernel(x, y):
        kernels = [
            s * 2 * DIM / (s * 2 * DIM + (a - b).square().sum()) for a in x for b in y for s in (0.1, 0.3, 1, 3, 10)
        ]
        return sum(kernels) / len(kernels)

    steps = [
        mean_kernel(z[:, t], z[:, t]) + mean_kernel(wanted[t], wanted[t]) - 2 * mean_kernel(z[:, t], wanted[t])
        for t in range(2)
    ]
    assert value.item() == pytest.approx(sum(steps).item() / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("component", "words"),
    [
        ({"name": "normall"}, "'normal'"),
        ({"name": "normal", "sd": 1.0}, "'sd'"),
        ({"name": "mixture", "components": []}, "needs components"),
        (BIMODAL | {"weights": [1.0]}, r"\[1.0\]"),
        ({"name": "blocks", "blocks": [{"name": "normal"}]}, "dim"),
        ({"name": "mixture", "components": [{"name": "gauss"}]}, "'gauss'"),
    ],
)
def test_a_prior_that_means_nothing_is_refused(component, words):
    with pytest.raises(InputError, match=words):
        build(PRIORS, component, "prior")


def test_blocks_that_do_not_add_up_to_the_embedding_are_refused():
    with pytest.raises(InputError, match=r"the blocks of the prior have 3 dimensions, the embeddings 5"):
        mmd(COMPONENTS["blocks"], torch.zeros(4, 5))
