import pytest
import torch

from lewm.planning.noise import colour, draw_coloured, draw_normal
from tests.planning.quadratics import generators

NUM_STEPS = 64


def white(num_steps, num=20000):
    return torch.randn(num, num_steps, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("exponent", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_the_power_of_the_noise_falls_with_frequency_as_asked_for(exponent):
    noise = colour(white(NUM_STEPS), exponent)
    power = torch.fft.rfft(noise).abs().square().mean(0)[1:-1].log()
    frequency = torch.fft.rfftfreq(NUM_STEPS)[1:-1].double().log()
    centred = frequency - frequency.mean()
    slope = (centred * power).sum() / centred.square().sum()
    # 20,000 sequences: the logarithm of each of 31 powers is known to 0.007, their slope to about 0.002.
    assert slope.item() == pytest.approx(-exponent, abs=0.01)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 2.0, 4.0])
@pytest.mark.parametrize("num_steps", [1, 2, 5, 15])
def test_its_standard_deviation_is_1_at_every_step(exponent, num_steps):
    # The standard deviation of 20,000 numbers is known to 0.005.
    assert (colour(white(num_steps), exponent).std(0) - 1).abs().max() < 0.02


def test_an_exponent_of_0_leaves_white_noise_as_it_is():
    noise = white(15, num=3)
    torch.testing.assert_close(colour(noise, 0.0), noise)


def correlation(noise, step, other):
    """Between two steps (h, a) and (h', a') of (B, N, H, A) noise."""
    first, second = noise[:, :, *step].flatten(), noise[:, :, *other].flatten()
    return torch.corrcoef(torch.stack([first, second]))[0, 1].item()


def test_within_a_block_each_raw_action_is_correlated_with_the_next_one_of_its_dimension():
    mean, low = torch.zeros(1, 3, 8), torch.zeros(4, 2)  # 3 blocks of 4 raw actions of 2 numbers
    noise = draw_coloured(5000, generators(0), mean, low, exponent=2.0)
    within, across = correlation(noise, (1, 0), (1, 2)), correlation(noise, (0, 6), (1, 0))
    assert within > 0.7
    assert within == pytest.approx(across, abs=0.03)  # the next raw action is the next one, in whatever block
    assert correlation(noise, (1, 0), (1, 1)) == pytest.approx(0, abs=0.05)


def test_without_raw_actions_the_numbers_of_a_block_are_independent():
    noise = draw_coloured(5000, generators(0), torch.zeros(1, 12, 8), torch.zeros(8), exponent=2.0)
    assert correlation(noise, (1, 0), (1, 2)) == pytest.approx(0, abs=0.05)
    assert correlation(noise, (1, 0), (2, 0)) > 0.7


def test_each_row_comes_from_its_own_generator():
    together = draw_normal((4, 2), generators(1, 2), torch.zeros(1))
    assert torch.equal(together[1:], draw_normal((4, 2), generators(2), torch.zeros(1)))
    assert not torch.equal(together[0], together[1])


def test_no_sequences_are_no_noise():
    assert draw_coloured(0, generators(1, 2), torch.zeros(2, 3, 4), torch.zeros(4), 1.0).shape == (2, 0, 3, 4)
