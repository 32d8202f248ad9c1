"""Linear probes: what they read, what they do not, and that they learn nothing from the set they are judged on."""

import math

import pytest
import torch

from lewm.diagnostics.probing import linear_probe_r2


def randn(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def uniform_angles(num_samples, seed=0):
    """(N, 1) in [0, 2 pi)."""
    return 2 * math.pi * torch.rand(num_samples, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_linear_probe_reads_exact_linear_data_perfectly():
    z, weights = randn(300, 6, seed=0), randn(6, 3, seed=1)
    states = z @ weights + torch.tensor([100.0, -3.0, 0.0])
    r2 = linear_probe_r2(z[:200], states[:200], z[200:], states[200:])
    torch.testing.assert_close(r2, torch.ones(3, dtype=torch.float64), atol=1e-6, rtol=0)


def test_a_linear_probe_reads_nothing_from_noise():
    z, states = randn(4000, 6, seed=0), randn(4000, 2, seed=1)
    r2 = linear_probe_r2(z[:3000], states[:3000], z[3000:], states[3000:])
    assert r2.abs().max() < 0.03  # of 6 weights fitted to 3000 samples, about -0.002


def test_a_linear_probe_tells_each_state_apart():
    z = randn(2000, 4, seed=0)
    states = torch.stack([z[:, 0], z[:, 1] + randn(2000, seed=1), randn(2000, seed=2)], dim=1)
    r2 = linear_probe_r2(z[:1500], states[:1500], z[1500:], states[1500:])
    assert r2.tolist() == pytest.approx([1.0, 0.5, 0.0], abs=0.08)


def test_a_linear_probe_is_fitted_on_the_training_set_alone():
    z = randn(400, 1, seed=0)
    states = torch.cat([z[:200], -z[200:]])  # the test set follows another law
    r2 = linear_probe_r2(z[:200], states[:200], z[200:], states[200:])
    assert r2.item() == pytest.approx(-3, abs=0.1)  # 1 - 2^2, and more for the mean; 1 if fitted on the test set


def test_r2_is_relative_to_the_mean_of_the_test_set():
    z = torch.zeros(4, 1)  # the probe answers the training set's mean, 1
    r2 = linear_probe_r2(z, torch.tensor([[0.0], [0.0], [2.0], [2.0]]), z, torch.tensor([[0.0], [0.0], [4.0], [8.0]]))
    assert r2.item() == pytest.approx(1 - (1 + 1 + 9 + 49) / (9 + 9 + 1 + 25))


@pytest.mark.parametrize("shift", [0.0, -math.pi, 20 * math.pi])
def test_a_cos_sin_code_of_an_angle_is_read_perfectly_whatever_range_it_is_kept_in(shift):
    angle = uniform_angles(400)
    z, states = torch.cat([angle.cos(), angle.sin()], 1), angle + shift
    r2 = linear_probe_r2(z[:300], states[:300], z[300:], states[300:], angles=[0])
    assert r2.tolist() == pytest.approx([1.0], abs=1e-9)


def test_a_code_of_the_cosine_alone_is_half_of_an_angle():
    angle = uniform_angles(4000)
    r2 = linear_probe_r2(angle[:3000].cos(), angle[:3000], angle[3000:].cos(), angle[3000:], angles=[0])
    assert r2.item() == pytest.approx(0.5, abs=0.03)


def test_an_angle_that_stays_near_one_place_counts_both_parts_by_how_much_they_vary():
    angle = 0.1 * randn(4000, 1, seed=0).double()  # the sine varies, the cosine hardly
    r2 = linear_probe_r2(angle[:3000], angle[:3000], angle[3000:], angle[3000:], angles=[0])
    assert r2.item() > 0.98


def test_angles_leave_the_other_state_numbers_as_they_are():
    angle, z = uniform_angles(400), randn(400, 5, seed=1).double()
    others = z[:, :2] + 0.3 * randn(400, 2, seed=2)
    without = linear_probe_r2(z[:300], others[:300], z[300:], others[300:])
    states = torch.stack([others[:, 0], angle[:, 0], others[:, 1]], 1)
    with_angle = linear_probe_r2(z[:300], states[:300], z[300:], states[300:], angles=[1])
    torch.testing.assert_close(with_angle[[0, 2]], without)
    assert with_angle[1].abs() < 0.1


@pytest.mark.parametrize("z", [torch.zeros(100, 4), torch.full((100, 4), 7.0)])
def test_collapsed_embeddings_tell_nothing_and_do_no_harm(z):
    states = randn(100, 2, seed=0)
    r2 = linear_probe_r2(z, states, z, states, angles=[1])
    torch.testing.assert_close(r2, torch.zeros(2, dtype=torch.float64), atol=1e-6, rtol=0)


def test_state_numbers_that_do_not_vary_have_r2_0():
    z, states = randn(99, 4, seed=0), torch.full((99, 2), 0.1, dtype=torch.float64)  # whose mean is not exactly 0.1
    assert linear_probe_r2(z, states, z, states, angles=[1]).tolist() == [0.0, 0.0]


def test_recordings_without_states_have_no_r2():
    z = randn(10, 4, seed=0)
    assert linear_probe_r2(z, torch.zeros(10, 0), z, torch.zeros(10, 0)).shape == (0,)


def test_fewer_samples_than_dimensions_still_give_numbers():
    z, states = randn(20, 50, seed=0), randn(20, 2, seed=1)
    assert linear_probe_r2(z[:10], states[:10], z[10:], states[10:]).isfinite().all()
