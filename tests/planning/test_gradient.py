import math

import pytest
import torch

from lewm.planning.gradient import Gradient
from tests.planning.quadratics import Broken, Quadratic, generators

BOUNDS = {"low": torch.full((2,), -5.0), "high": torch.full((2,), 5.0)}
SMALL = {"num_samples": 3, "num_iterations": 20, "std": 1.0, "noise_exponent": 0.0, "learning_rate": 0.1}
TARGET = torch.tensor([[[1.0, -2.0], [0.5, 0.0]], [[0.0, 0.0], [-1.0, 3.0]]])


def search(cost, bounds=BOUNDS, **changes):
    planner = Gradient(**bounds, **SMALL | changes)
    return planner(cost, torch.zeros_like(cost.target), generator=generators(0, 1))


def adam_on_a_parabola(value, target, num_steps, learning_rate):
    """The places that Adam visits on (value - target)^2, by the formulas of Kingma and Ba, for one number."""
    places, mean, square = [value], 0.0, 0.0
    for step in range(1, num_steps + 1):
        slope = 2 * (value - target)
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        value -= learning_rate * (mean / (1 - 0.9**step)) / (math.sqrt(square / (1 - 0.999**step)) + 1e-8)
        places.append(value)
    return places


def test_every_candidate_takes_the_steps_of_adam():
    cost = Quadratic(TARGET)
    search(cost)
    path = torch.stack(cost.candidates).double()  # (steps + 1, B, N, H, A)
    goals = TARGET[:, None].expand(path.shape[1:]).flatten().tolist()
    for taken, goal in zip(path.flatten(1).unbind(1), goals, strict=True):
        expected = torch.tensor(adam_on_a_parabola(taken[0].item(), goal, 20, 0.1), dtype=torch.float64)
        torch.testing.assert_close(taken, expected, rtol=1e-4, atol=1e-5)


def test_a_step_over_a_bound_ends_on_it():
    bounds = {"low": torch.tensor([-0.15, -5.0]), "high": torch.tensor([0.15, 5.0])}
    cost = Quadratic(TARGET)
    plan = search(cost, bounds, num_samples=1)
    assert cost.candidates[1][0, 0, 0, 0].item() == pytest.approx(0.1)
    assert cost.candidates[2][0, 0, 0, 0].item() == pytest.approx(0.15)
    assert plan.actions[0, 0, 0].item() == pytest.approx(0.15)


class TwoValleys(Quadratic):
    """A shallow valley at -1 beside the search's start, a deep one at +2."""

    def judge(self, z_next, candidates):
        near, far = (candidates + 1).square().sum((2, 3)) + 1, (candidates - 2).square().sum((2, 3))
        return torch.minimum(near, far)


def test_further_starts_find_a_valley_that_the_first_does_not():
    cost = TwoValleys(torch.zeros(2, 1, 2))
    one, many = (search(cost, num_samples=num, num_iterations=60, std=2.0) for num in (1, 30))
    assert (one.cost > 0.9).all()
    assert (many.cost < 0.01).all()


def test_a_candidate_that_left_what_the_cost_knows_starts_again_near_the_best():
    cost = Broken(torch.full((2, 2, 2), 3.0), torch.nan, limit=1.0)
    search(cost, num_samples=4, std=0.1, num_iterations=60)
    last = cost.candidates[-1]
    assert (last[..., 0, 0] < 1.5).all()  # not at 3, where nothing has a cost
    assert (last.flatten(2)[:, :, 1:] - 3).abs().mean() < 0.5  # the others go on


def test_a_cost_without_a_gradient_is_one_clear_error():
    def cost(candidates):
        return candidates.detach().square().sum((2, 3))

    planner = Gradient(**BOUNDS, **SMALL)
    with pytest.raises(ValueError, match="the cost has no gradient"):
        planner(cost, torch.zeros(1, 2, 2), generator=generators(0))


@pytest.mark.parametrize("learning_rate", [0.0, -1.0, math.inf, math.nan])
def test_a_learning_rate_that_makes_no_sense_is_refused(learning_rate):
    with pytest.raises(ValueError, match=f"learning_rate={learning_rate} must be positive"):
        Gradient(**BOUNDS, **SMALL | {"learning_rate": learning_rate})
