import pytest
import torch

from lewm.planning.random_shooting import RandomShooting
from tests.planning.quadratics import Quadratic, generators

BOUNDS = {"low": torch.full((2,), -5.0), "high": torch.full((2,), 5.0)}
SMALL = {"num_samples": 50, "num_iterations": 3, "std": 0.5, "noise_exponent": 0.0}


def shoot(target, start=0.0, **changes):
    cost = Quadratic(target)
    shooting = RandomShooting(**BOUNDS, **SMALL | changes)
    plan = shooting(cost, torch.full_like(target, start), generator=generators(*range(len(target))))
    return plan, cost


def test_every_iteration_draws_around_the_start_with_the_same_spread():
    _, cost = shoot(torch.full((2, 40, 2), 3.0), start=1.0, num_samples=300)
    for candidates in cost.candidates:  # 48,000 numbers: mean and standard deviation are known to 0.002
        assert candidates[:, 1:].mean().item() == pytest.approx(1.0, abs=0.015)
        assert candidates[:, 1:].std().item() == pytest.approx(0.5, abs=0.01)


def test_a_larger_budget_finds_what_is_at_least_as_cheap():
    target = torch.ones(4, 2, 2)
    (few, _), (many, _) = (shoot(target, num_iterations=num_iterations) for num_iterations in (1, 40))
    assert (many.cost <= few.cost).all() and many.cost.sum() < few.cost.sum()


def test_one_action_of_one_number_is_found_by_chance():
    plan, _ = shoot(torch.full((3, 1, 2), 0.4), num_samples=2000)
    assert (plan.actions - 0.4).abs().max() < 0.1
