"""SIGReg against its formula, and against the numbers that were measured on the released code."""

import math

import pytest
import torch

from lewm.regularizers import SIGReg

WIDTH = 192


def slow_sigreg(z, directions, num_knots, max_knot):
    """The formula in float64: integrate |ecf(t) - exp(-t^2/2)|^2 exp(-t^2/2) over [-max_knot, max_knot]."""
    knots = torch.linspace(-max_knot, max_knot, 2 * num_knots - 1, dtype=torch.float64)
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
@pytest.mark.parametrize(("num_knots", "max_knot", "num_samples"), [(17, 3.0, 20), (9, 4.0, 700)])
def test_value_and_gradient_are_those_of_the_formula(scale, offset, num_knots, max_knot, num_samples):
    num_directions, seed = 100, 7
    z = scale * torch.randn(num_samples, 2, 12, generator=torch.Generator().manual_seed(0)) + offset
    fast, slow = z.clone().requires_grad_(), z.double().requires_grad_()
    sigreg = SIGReg(num_directions, num_knots, max_knot)
    value = sigreg(fast, generator=torch.Generator().manual_seed(seed))
    expected = slow_sigreg(slow, directions_of(seed, 12, num_directions), num_knots, max_knot)
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


def test_the_expected_score_of_true_gaussians_is_the_integral_of_their_variance():
    # N E|ecf - cf|^2 = 1 - exp(-t^2), whatever N and the directions.
    sigreg = SIGReg(num_directions=64)
    knots = torch.linspace(0, 3, 17)
    expected = (sigreg.integration_weights * (1 - torch.exp(-(knots**2)))).sum().item()
    assert expected == pytest.approx(1.0527, abs=1e-3)


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
