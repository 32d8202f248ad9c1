"""The learning rate rises, then falls, and is never 0 or negative."""

import pytest

from lewm.training.schedule import learning_rate


def rates(num_steps=200, warmup_fraction=0.1):
    return [learning_rate(step, num_steps, warmup_fraction) for step in range(num_steps)]


def test_the_learning_rate_rises_linearly_to_its_peak():
    assert rates()[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert rates()[20] == max(rates()) == 1


def test_the_learning_rate_falls_as_a_cosine_to_almost_nothing():
    falling = rates()[20:]
    assert falling == sorted(falling, reverse=True)
    assert falling[90] == pytest.approx(0.5)
    assert 0 < falling[-1] < 1e-3


@pytest.mark.parametrize("warmup_fraction", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("num_steps", [1, 2, 7])
def test_the_learning_rate_of_short_runs_is_a_positive_factor(num_steps, warmup_fraction):
    assert all(0 < rate <= 1 for rate in rates(num_steps, warmup_fraction))


def test_without_a_warmup_training_begins_at_the_peak():
    assert rates(warmup_fraction=0)[0] == 1
