"""The learning rate rises, then falls, and is never 0 or negative; by steps, or by the clock."""

import pytest
import torch

from lewm.training import schedule as schedule_module
from lewm.training.schedule import Schedule, learning_rate
from tests.programs import compose


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


class Clock:
    """A clock that is set by hand."""

    seconds = 0.0

    def perf_counter(self):
        return self.seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(schedule_module, "time", clock)
    return clock


def schedule(*overrides, seconds=0.0):
    words = ("training.num_steps=100", "training.warmup_fraction=0.1", *overrides)
    return Schedule(compose(*words).training, torch.device("cpu"), seconds)


def test_without_a_time_limit_the_schedule_goes_by_steps(clock):
    by_steps = schedule("training.final_weight_fraction=3")
    for step in (0, 5, 50, 99):
        clock.seconds += 1000
        by_steps.advance(step)
        assert by_steps.rate_factor == learning_rate(step, 100, 0.1)
        assert by_steps.weight_factor == pytest.approx(1 + 2 * step / 100)
        assert not by_steps.is_over
    by_steps.advance(100)
    assert by_steps.is_over


def test_with_a_time_limit_it_goes_by_the_clock_where_that_is_ahead(clock):
    by_clock = schedule("training.max_seconds=20")
    clock.seconds = 10
    by_clock.advance(7)
    assert by_clock.position == 50
    assert by_clock.rate_factor == learning_rate(50, 100, 0.1)
    assert by_clock.expected_steps(7) == 14
    by_clock.advance(60)
    assert by_clock.position == 60
    clock.seconds = 20
    by_clock.advance(61)
    assert by_clock.is_over


def test_the_seconds_of_an_interrupted_process_count(clock):
    resumed = schedule("training.max_seconds=20", seconds=15)
    clock.seconds = 5
    assert resumed.seconds == 20
    resumed.advance(3)
    assert resumed.is_over


@pytest.mark.parametrize("position", [0.0, 0.4, 9.7, 10.0, 99.99, 100.0])
def test_between_two_steps_the_learning_rate_is_between_theirs(position):
    rates_ = [learning_rate(step, 100, 0.1) for step in (position - 0.01, position, position + 0.01)]
    assert 0 <= min(rates_) <= max(rates_) <= 1
    assert max(rates_) - min(rates_) < 0.01
