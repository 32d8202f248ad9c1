"""Wristband against reference values, its z-score against true Gaussian batches, its gradient far off scale."""

import json
import math
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch

from lewm.errors import InputError
from lewm.regularizers import Wristband
from lewm.regularizers.wristband import gaussian_moments, terms
from lewm.regularizers.wristband import wristband as wristband_module
from lewm.regularizers.wristband.terms import (
    ALPHA_SQUARED,
    BETA,
    on_the_wristband,
    pairwise_repulsion,
    radial_loss,
    spectral_repulsion,
)
from lewm.regularizers.wristband.wristband import num_draws
from tests.fake_gpu import fake_gpu

REFERENCE = Path(__file__).parent / "reference"
VALUES = json.loads((REFERENCE / "wristband_values.json").read_text())["cases"]
NULL = json.loads((REFERENCE / "wristband_null.json").read_text())


def arguments_of(keywords):
    """Our arguments for those of the reference values."""
    arguments = {"repulsion": "spectral" if keywords.get("spectral") else keywords.get("reduction", "per_point")}
    renamed = {"angular": "metric", "lambda_ang": "angular_weight", "moment": "moment"}
    return arguments | {renamed[key]: value for key, value in keywords.items() if key in renamed}


@pytest.mark.parametrize("case", VALUES, ids=lambda case: f"{case['n']}x{case['d']} {case['kw']}")
def test_components_and_gradient_are_those_of_the_reference(case):
    x = np.random.default_rng(case["seed"]).standard_normal((case["n"], case["d"])) * case["scale"] + case["shift"]
    x = torch.tensor(x, requires_grad=True)
    components = Wristband(**arguments_of(case["kw"])).components(x)
    for name, value in components._asdict().items():
        assert value.item() == pytest.approx(case["expected"][name], rel=1e-8), name
    (components.repulsion + 0.1 * components.radial + components.moment).backward()
    expected = case["expected"]["grad_norm_of_repulsion_plus_0.1_radial_plus_moment"]
    assert x.grad.norm().item() == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("case", NULL, ids=lambda case: f"{case['kind']} {case['n']}x{case['d']}")
def test_the_null_distribution_is_that_of_the_reference_within_sampling_error(case):
    calibration = Wristband(repulsion=case["kind"]).draw_calibration(case["n"], case["d"])
    reps = num_draws(case["n"], case["d"])
    for name in ("repulsion", "radial", "moment"):
        mean, std = case["mean"][name], case["std"][name]
        standard_error = std * math.sqrt(1 / case["reps"] + 1 / reps)
        assert abs(getattr(calibration.mean, name) - mean) < 4 * standard_error, name
        # The relative error of a standard deviation is 1 / sqrt(2 n) for a normal variable, more for a skewed one.
        spread = 2 if name == "radial" else 1
        tolerance = 4 * spread * math.sqrt(1 / (2 * case["reps"]) + 1 / (2 * reps))
        assert abs(getattr(calibration.std, name) / std - 1) < tolerance, name


def naive_repulsion(x, metric, reduction):
    """The formula, pair by pair."""
    n, d = x.shape
    u, t = x / x.norm(dim=1, keepdim=True), torch.special.gammainc(torch.tensor(d / 2.0), x.square().sum(1) / 2)
    sums = []
    for i in range(n):
        total = 0.0
        for j in range(n):
            cosine = (u[i] @ u[j]).clamp(-1, 1)
            squared = 2 - 2 * cosine if metric == "chordal" else cosine.acos() ** 2
            radial = sum(torch.exp(-BETA * x**2) for x in (t[i] - t[j], t[i] + t[j], t[i] + t[j] - 2))
            total = total + torch.exp(-BETA * ALPHA_SQUARED[metric] * squared) * radial
        sums.append(total - 1)
    sums = torch.stack(sums)
    if reduction == "global":
        return (sums.sum() / (3 * n**2 - n)).log() / BETA
    return (sums / (3 * n - 1)).log().mean() / BETA


@pytest.mark.parametrize("metric", ["chordal", "geodesic"])
@pytest.mark.parametrize("reduction", ["per_point", "global"])
@pytest.mark.parametrize("d", [2, 7])
def test_pairwise_repulsion_is_its_formula(metric, reduction, d):
    x = 1.2 * torch.randn(13, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.3
    u, t, _ = on_the_wristband(x)
    expected = naive_repulsion(x, metric, reduction)
    assert pairwise_repulsion(u, t, metric, reduction).item() == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize("metric", ["chordal", "geodesic"])
@pytest.mark.parametrize("reduction", ["per_point", "global"])
def test_the_gradient_of_pairwise_repulsion_is_that_of_its_differences(metric, reduction):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, 4, generator=generator, dtype=torch.float64, requires_grad=True)

    def value(x):
        u, t, _ = on_the_wristband(x)
        return pairwise_repulsion(u, t, metric, reduction)

    assert torch.autograd.gradcheck(value, x, eps=1e-6, atol=1e-8, rtol=1e-5)


def test_many_points_are_summed_like_few(monkeypatch):
    x = torch.randn(100, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, t, _ = on_the_wristband(x)
    at_once = pairwise_repulsion(u, t, "chordal", "per_point")
    monkeypatch.setattr("lewm.regularizers.wristband.terms._CHUNK", 700)
    torch.testing.assert_close(pairwise_repulsion(u, t, "chordal", "per_point"), at_once, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("d", "scale", "shift"), [(8, 1.0, 0.0), (32, 1.1, 0.0), (64, 1.0, 0.1)])
def test_spectral_repulsion_is_the_low_harmonics_of_the_pairwise_kernel(d, scale, shift):
    """Second check: the mean kernel over all ordered pairs, itself and all mirror images included."""
    x = scale * torch.randn(400, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + shift
    u, t, _ = on_the_wristband(x)
    cosine = (u @ u.T).flatten()
    # Degrees 0 and 1 of the sphere's kernel, by projecting it on the density of a coordinate of a uniform direction.
    grid = torch.linspace(-1, 1, 200_001, dtype=torch.float64)
    density = (1 - grid.square()).clamp(min=0) ** ((d - 3) / 2)
    kernel = torch.exp(2 * BETA * ALPHA_SQUARED["chordal"] * (grid - 1))
    degree_0 = (kernel * density).sum() / density.sum()
    degree_1 = (kernel * grid * density).sum() / (grid.square() * density).sum()
    images = [t[:, None] - t + 2 * k for k in range(-4, 5)] + [t[:, None] + t + 2 * k for k in range(-4, 5)]
    interval = sum(torch.exp(-BETA * image.square()) for image in images).flatten()
    mean_kernel = ((degree_0 + degree_1 * cosine) * interval).mean()
    uniform = degree_0 * math.sqrt(math.pi / BETA)
    expected = (mean_kernel / uniform).log() / BETA
    assert spectral_repulsion(u, t, num_waves=30).item() == pytest.approx(expected.item(), rel=1e-6, abs=1e-9)
    assert spectral_repulsion(u, t).item() == pytest.approx(expected.item(), abs=1e-4)


@pytest.mark.parametrize("d", [1, 2, 192])
def test_spectral_and_pairwise_order_samples_alike(d):
    """Both fall as a cap of directions is opened to the whole sphere."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, max(d, 3), generator=generator)
    values = []
    for shift in (0.8, 0.4, 0.2, 0.0):
        u, t, _ = on_the_wristband(x + shift)
        values.append((pairwise_repulsion(u, t, "chordal", "global").item(), spectral_repulsion(u, t).item()))
    for column in zip(*values, strict=True):
        assert list(column) == sorted(column, reverse=True)


@pytest.mark.parametrize(
    ("repulsion", "n", "d"),
    [
        ("per_point", 8, 3),
        ("per_point", 17, 40),
        ("per_point", 128, 192),
        ("global", 64, 8),
        ("spectral", 17, 40),
        ("spectral", 200, 5),
    ],
)
def test_the_value_is_a_true_z_score_at_every_size(repulsion, n, d):
    wristband, num_batches = Wristband(repulsion=repulsion), 200
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(n, num_batches, d, generator=generator)
    calibration = wristband.draw_calibration(n, d)
    with torch.no_grad():
        values = torch.stack([wristband.z_score(x, calibration) for x in z.unbind(1)])
    draws = num_draws(n, d)
    assert abs(values.mean()) < 4 * math.sqrt(1 / num_batches + 1 / draws)
    assert abs(values.std() - 1) < 4 * 1.5 * math.sqrt(1 / (2 * num_batches) + 1 / (2 * draws))


def test_one_dimension_has_a_z_score():
    wristband = Wristband()
    values = [wristband(seeded(64, 1, seed, t=1), generator=torch.Generator()) for seed in range(200)]
    assert abs(torch.stack(values).mean()) < 0.3
    assert wristband(3 * seeded(64, 1, 0, t=1), generator=torch.Generator()) > 10


def seeded(n, d, seed, t=2):
    return torch.randn(n, t, d, generator=torch.Generator().manual_seed(seed))


def test_the_calibration_is_a_function_of_the_size_alone():
    torch.manual_seed(1)
    first = Wristband().draw_calibration(24, 6)
    torch.manual_seed(2)
    torch.randn(5)
    assert Wristband().draw_calibration(24, 6) == first


def test_calibrating_leaves_the_generators_alone():
    generator = torch.Generator().manual_seed(0)
    before, global_before = generator.get_state(), torch.get_rng_state()
    Wristband()(seeded(24, 6, 0), generator=generator)
    assert torch.equal(generator.get_state(), before)
    assert torch.equal(torch.get_rng_state(), global_before)


def test_another_batch_shape_is_calibrated_anew():
    wristband = Wristband()
    for n in (32, 20, 32, 7):
        assert abs(wristband(seeded(n, 6, n, t=60), generator=torch.Generator())) < 1.0
    assert len(wristband.state_dict()["_extra_state"]) == 3


def test_the_calibration_is_in_the_state_dict(monkeypatch):
    trained, z = Wristband(), seeded(32, 6, 0)
    value = trained(z, generator=torch.Generator())
    restored = Wristband()
    restored.load_state_dict(trained.state_dict())
    monkeypatch.setattr(Wristband, "draw_calibration", None)  # would raise
    assert torch.equal(restored(z, generator=torch.Generator()), value)


@pytest.mark.parametrize(("n", "d"), [(16, 4), (512, 192), (2048, 192), (100_000, 2)])
def test_a_calibration_draws_hundreds_of_batches(n, d):
    assert 256 <= num_draws(n, d) <= 1000


def test_values_count_null_standard_deviations():
    wristband, x = Wristband(), seeded(256, 16, 3)
    gaussian, wider, widest = (wristband(scale * x, generator=torch.Generator()).item() for scale in (1.0, 1.1, 1.3))
    assert abs(gaussian) < 3 < wider < widest


def exact_deviate(squared_norm, d):
    """Phi^-1 of the chi-squared probability, with 50 digits."""
    with mpmath.workdps(50):
        a, half = mpmath.mpf(d) / 2, mpmath.mpf(squared_norm) / 2
        lower = mpmath.gammainc(a, 0, half, regularized=True)
        sign = -1 if lower < 0.5 else 1
        tail = lower if sign < 0 else mpmath.gammainc(a, half, mpmath.inf, regularized=True)
        guess = mpmath.sqrt(-2 * mpmath.log(tail)) if tail < 1e-5 else 1
        return sign * float(mpmath.findroot(lambda w: mpmath.log(mpmath.erfc(w / mpmath.sqrt(2)) / 2 / tail), guess))


@pytest.mark.parametrize("d", [2, 16, 192])
@pytest.mark.parametrize("scale", [1e-2, 0.1, 0.5, 0.99, 1.0, 1.5, 3.0, 100.0])
def test_radii_are_normal_deviates_at_every_scale(d, scale):
    squared_norm = d * scale**2
    x = torch.full((1, d), scale, dtype=torch.float64, requires_grad=True)
    deviate = on_the_wristband(x).w
    deviate.sum().backward()
    assert deviate.item() == pytest.approx(exact_deviate(squared_norm, d), abs=1e-3)
    step = 1e-4 * squared_norm
    slope = (exact_deviate(squared_norm + step, d) - exact_deviate(squared_norm - step, d)) / (2 * step)
    assert x.grad[0, 0].item() == pytest.approx(2 * scale * slope, rel=1e-4)


@pytest.mark.parametrize("scale", [0.5, 1.5, 3.0, 10.0, 1e-3])
def test_the_radial_term_pulls_towards_the_right_radius_in_float32_at_192_dimensions(scale):
    x = (scale * seeded(128, 192, 0, t=1)[:, 0]).requires_grad_()
    points = on_the_wristband(x)
    radial_loss(points.t, points.w).backward()
    outwards = (x.grad * x).sum(1) / x.norm(dim=1).detach()  # slope of the loss in each radius
    assert (outwards.sign() == math.copysign(1, scale - 1)).all()
    assert outwards.abs().min() > 1e-3


def test_a_step_along_the_radial_gradient_mends_the_scale():
    x = (3 * seeded(128, 192, 0, t=1)[:, 0]).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        points = on_the_wristband(x)
        radial_loss(points.t, points.w).backward()
        optimizer.step()
    assert x.norm(dim=1).mean().item() == pytest.approx(math.sqrt(192), rel=0.01)


@pytest.mark.parametrize(
    "arguments",
    [
        {"repulsion": "all"},
        {"metric": "euclidean"},
        {"moment": "w3"},
        {"repulsion": "spectral", "metric": "geodesic"},
        {"radial_weight": -0.1},
        {"repulsion_weight": 0.0, "radial_weight": 0.0, "moment_weight": 0.0},
    ],
)
def test_arguments_that_mean_nothing_are_refused_with_their_value(arguments):
    with pytest.raises(ValueError, match=f"{next(reversed(arguments.values()))}"):
        Wristband(**arguments)


@pytest.mark.parametrize("d", [1, 2])
def test_spectral_repulsion_of_fewer_than_3_dimensions_is_refused(d):
    with pytest.raises(InputError, match=f"at least 3 dimensions, not {d}"):
        Wristband(repulsion="spectral")(seeded(8, d, 0), generator=torch.Generator())


@pytest.mark.parametrize("d", [2, 12])
def test_where_no_radius_is_in_a_tail_nothing_is_mended(d):
    x = seeded(50, d, 0, t=1)[:, 0]
    s = x.square().sum(1)
    w, slope = torch.randn(50, dtype=torch.float64), torch.rand(50, dtype=torch.float64)
    mended, mended_slope = terms._mend_tails(w, slope, s, s.double() / 2, d / 2)
    assert torch.equal(mended, w)
    assert torch.equal(mended_slope, slope)


@pytest.mark.parametrize("repulsion", ["per_point", "spectral"])
def test_a_value_never_waits_for_the_gpu(repulsion):
    """But for the eigenvalues of the covariance, whose routine waits by itself."""
    regularizer = Wristband(repulsion=repulsion)
    calibration = regularizer.draw_calibration(20, 4)
    with fake_gpu(terms, wristband_module, gaussian_moments) as copies:
        x = torch.randn(20, 4, device="cuda", requires_grad=True)
        assert regularizer.z_score(x, calibration).is_cuda
        assert copies.num_back == 0
