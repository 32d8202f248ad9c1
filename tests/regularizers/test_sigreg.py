"""SIGReg against its formula, and against the numbers that were measured on the released code."""

import math

import pytest
import torch
from omegaconf import OmegaConf

from lewm.config import CONFIGS
from lewm.regularizers import SIGReg

WIDTH = 192


QUADRATURES = {
    "LeWM and LeJEPA": ((17, 3.0, 0.0), torch.linspace(-3, 3, 33, dtype=torch.float64)),
    "the blog": ((9, 5.0, 0.0), torch.linspace(-5, 5, 17, dtype=torch.float64)),
    "the demo": ((64, 4.0, 0.2), torch.linspace(0.2, 4, 64, dtype=torch.float64)),
}
"""Arguments of SIGReg, and all knots of the integral."""


def slow_sigreg(z, directions, knots):
    """The formula in float64: |ecf(t) - exp(-t^2/2)|^2 exp(-t^2/2), integrated over the knots."""
    gaussian = torch.exp(-(knots**2) / 2)
    total = torch.zeros((), dtype=torch.float64)
    for step in range(z.shape[1]):
        projections = z[:, step] @ directions
        ecf = torch.exp(1j * knots * projections[..., None]).mean(0)
        total = total + torch.trapezoid((ecf - gaussian).abs().square() * gaussian, knots).mean()
    return total / z.shape[1]


def directions_of(seed, width, num_directions):
    directions = torch.randn(width, num_directions, generator=torch.Generator().manual_seed(seed))
    return (directions / directions.norm(dim=0)).double()


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 0.3, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("offset", [0.0, 0.5])
@pytest.mark.parametrize("quadrature", QUADRATURES)
@pytest.mark.parametrize("num_samples", [20, 300])
def test_value_and_gradient_are_those_of_the_formula(scale, offset, quadrature, num_samples):
    num_directions, seed = 50, 7
    arguments, knots = QUADRATURES[quadrature]
    z = scale * torch.randn(num_samples, 2, 12, generator=torch.Generator().manual_seed(0)) + offset
    fast, slow = z.clone().requires_grad_(), z.double().requires_grad_()
    sigreg = SIGReg(num_directions, *arguments)
    value = sigreg(fast, generator=torch.Generator().manual_seed(seed))
    expected = slow_sigreg(slow, directions_of(seed, 12, num_directions), knots)
    value.backward()
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert (fast.grad - slow.grad).norm() < 1e-5 * slow.grad.norm()


def test_directions_differ_from_call_to_call_of_one_generator():
    z = torch.randn(32, 1, 16, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    sigreg = SIGReg(num_directions=16)
    assert sigreg(z, generator=generator) != sigreg(z, generator=generator)


def test_it_is_the_mean_over_time_steps():
    z = torch.randn(32, 4, 16, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.5, 1, 2, 4])[:, None]
    sigreg = SIGReg(num_directions=64)

    def value(part):
        return sigreg(part, generator=torch.Generator().manual_seed(0))

    steps = torch.stack([value(z[:, t : t + 1]) for t in range(4)])
    torch.testing.assert_close(value(z), steps.mean())


def familiar_statistic(make, num_samples, num_seeds):
    """Mean over seeds of value x N, and the scatter of one batch."""
    sigreg = SIGReg()
    values = []
    for seed in range(num_seeds):
        generator = torch.Generator().manual_seed(seed)
        z = make(num_samples, generator)
        values.append(num_samples * sigreg(z[:, None], generator=generator))
    values = torch.stack(values)
    return values.mean().item(), values.std(correction=0).item()


def gaussian(num_samples, generator):
    return torch.randn(num_samples, WIDTH, generator=generator)


@pytest.mark.parametrize(("num_samples", "num_seeds"), [(8, 64), (32, 48), (128, 32), (512, 12)])
def test_true_gaussians_score_1_05_to_1_07_at_every_batch_size(num_samples, num_seeds):
    mean, _ = familiar_statistic(gaussian, num_samples, num_seeds)
    # One batch scatters by 0.06, of which the mean over the seeds keeps 0.06 / sqrt(num_seeds); 3 of these are allowed.
    slack = 3 * 0.06 / math.sqrt(num_seeds)
    assert 1.05 - slack < mean < 1.07 + slack


def numbers_of_a_preset(name):
    """Its weight, and value x N expected for Gaussian embeddings: N E|ecf - cf|^2 = 1 - exp(-t^2), whatever N."""
    config = OmegaConf.to_container(OmegaConf.load(CONFIGS / "regularizer" / f"{name}.yaml"))["regularizer"]
    sigreg = SIGReg(**{key: value for key, value in config.items() if key not in ("name", "weight")})
    knots = torch.linspace(config.get("min_knot", 0.0), config["max_knot"], config["num_knots"])
    knots = knots if config.get("min_knot") else knots[1:]
    # The value is a mean of squares of root_weight x difference, over real and imaginary parts of all knots.
    expected = sigreg.root_weight[:, 0].square() @ (1 - torch.exp(-(knots**2))) / (2 * len(knots))
    return config["weight"], expected.item()


@pytest.mark.parametrize(
    ("preset", "expected"),
    [("sigreg", 1.0525), ("sigreg_paper", 1.0525), ("sigreg_blog", 1.0594), ("sigreg_demo", 0.5269)],
)
def test_the_expected_score_of_true_gaussians_is_the_integral_of_their_variance(preset, expected):
    assert numbers_of_a_preset(preset)[1] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("preset", ["sigreg_demo", "sigreg_blog"])
def test_other_quadratures_press_as_hard_as_the_default(preset):
    weight, expected = numbers_of_a_preset(preset)
    default_weight, default_expected = numbers_of_a_preset("sigreg")
    assert weight * expected == pytest.approx(default_weight * default_expected, rel=0.01)


@pytest.mark.parametrize("num_samples", [8, 128])
def test_a_collapse_to_0_scores_0_402_n(num_samples):
    mean, _ = familiar_statistic(lambda n, _: torch.zeros(n, WIDTH), num_samples, num_seeds=1)
    assert mean / num_samples == pytest.approx(0.402, abs=5e-4)


@pytest.mark.parametrize(("scale", "expected"), [(0.5, 19.7), (2.0, 32.0)])
def test_wrong_scales_score_what_the_released_code_scores(scale, expected):
    mean, scatter = familiar_statistic(lambda n, generator: scale * gaussian(n, generator), 128, num_seeds=8)
    # The expected number may come from a single batch: it carries the scatter of one.
    assert abs(mean - expected) < 3 * scatter


@pytest.mark.parametrize(
    ("rank", "expected"), [(96, 1.20), (48, 1.56), (24, 2.21), (12, 3.44), (6, 5.9), (3, 10.4), (1, 21.7)]
)
def test_rank_deficient_gaussians_score_what_the_released_code_scores(rank, expected):
    def flat(num_samples, generator):
        axes = torch.linalg.qr(torch.randn(WIDTH, rank, generator=generator)).Q
        return math.sqrt(WIDTH / rank) * torch.randn(num_samples, rank, generator=generator) @ axes.T

    mean, scatter = familiar_statistic(flat, 128, num_seeds=8)
    assert abs(mean - expected) < min(3 * scatter, 0.15 * expected)


def test_its_constants_are_not_in_a_checkpoint():
    assert list(SIGReg().state_dict()) == []


def demo_samples(name, generator):
    """The batches of the public demonstration's table, N = 2048, D = 32."""
    z = torch.randn(2048, 32, generator=generator)
    if name == "Gaussian":
        return z
    if name == "collapse to .3":
        return torch.full_like(z, 0.3)
    if name == "rank 1":
        return z[:, :1] * torch.randn(32, generator=generator)
    if name == "Student-t(3)":
        chi_squared = torch.randn(3, 2048, 32, generator=generator).square().sum(0)
        return z / (chi_squared / 3).sqrt()
    if name == "one axis x 5":
        return z * torch.tensor([5.0] + [1.0] * 31)
    return z + 2.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Gaussian", 0.000281),
        ("collapse to .3", 0.246),
        ("rank 1", 0.081),
        ("Student-t(3)", 0.047),
        ("one axis x 5", 0.026),
        ("shift by 2", 0.480),
    ],
)
def test_the_demo_s_quadrature_gives_the_demo_s_table(name, expected):
    sigreg = SIGReg(1024, *QUADRATURES["the demo"][0])
    values = []
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        values.append(sigreg(demo_samples(name, generator)[:, None], generator=generator))
    values = torch.stack(values)
    # The expected number comes from a single batch: it carries the scatter of one.
    assert abs(values.mean().item() - expected) < min(3 * values.std().item(), 0.15 * expected)


@pytest.mark.parametrize("arguments", [(0, 17, 3.0, 0.0), (8, 1, 3.0, 0.0), (8, 17, 3.0, -0.1), (8, 17, 3.0, 3.0)])
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="must be at least"):
        SIGReg(*arguments)
