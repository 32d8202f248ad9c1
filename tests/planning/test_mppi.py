import pytest
import torch

from lewm.planning.mppi import MPPI
from tests.planning.quadratics import Broken, Quadratic, generators

BOUNDS = {"low": torch.full((2,), -5.0), "high": torch.full((2,), 5.0)}
SMALL = {"num_samples": 50, "num_iterations": 3, "std": 1.0, "std_decay": 1.0, "temperature": 0.7, "relative": False}
SMALL |= {"noise_exponent": 0.0}
TARGET = torch.tensor([[[1.0, -1.0], [0.5, 0.0]], [[0.0, 0.0], [-1.0, 1.0]]])


def search(cost, **changes):
    seen = []
    mppi = MPPI(**BOUNDS, **SMALL | changes)
    mppi(cost, torch.zeros_like(cost.target), generator=generators(0, 1), on_iteration=seen.append)
    return seen


def softmax_average(costs, candidates, temperature):
    weights = torch.exp(-(costs - costs.min()) / temperature)
    return (weights[:, None, None] * candidates).sum(0) / weights.sum()


def test_the_mean_moves_to_the_softmax_average_of_the_candidates():
    cost = Quadratic(TARGET)
    for index, iteration in enumerate(search(cost)):
        for row in range(2):
            average = softmax_average(cost.costs[index][row], cost.candidates[index][row], 0.7)
            torch.testing.assert_close(iteration.mean[row], average)


def test_a_relative_temperature_is_in_standard_deviations_of_the_costs():
    cost = Quadratic(TARGET)
    first = search(cost, relative=True)[0]
    for row in range(2):
        costs = cost.costs[0][row]
        average = softmax_average(costs, cost.candidates[0][row], 0.7 * costs.std(correction=0))
        torch.testing.assert_close(first.mean[row], average)


class Scaled(Quadratic):
    def judge(self, z_next, candidates):
        return 1000 * super().judge(z_next, candidates) + 7


def test_with_a_relative_temperature_the_unit_of_the_cost_does_not_matter():
    plain, scaled = (search(cost, relative=True)[-1].mean for cost in (Quadratic(TARGET), Scaled(TARGET)))
    torch.testing.assert_close(scaled, plain, rtol=1e-3, atol=1e-4)


def test_a_candidate_whose_cost_is_not_finite_has_no_weight():
    cost = Broken(TARGET, torch.nan, limit=0.0)
    first = search(cost, relative=True)[0]
    for row in range(2):
        finite = cost.costs[0][row].isfinite()
        costs, candidates = cost.costs[0][row][finite], cost.candidates[0][row][finite]
        average = softmax_average(costs, candidates, 0.7 * costs.std(correction=0))
        torch.testing.assert_close(first.mean[row], average)


class Flat(Quadratic):
    def judge(self, z_next, candidates):
        return 0 * super().judge(z_next, candidates) + 3


def test_equal_costs_have_equal_weights():
    cost = Flat(TARGET)
    first = search(cost, relative=True)[0]
    torch.testing.assert_close(first.mean, cost.candidates[0].mean(1))


def test_a_low_temperature_takes_the_cheapest():
    cost = Quadratic(TARGET)
    first = search(cost, temperature=1e-6)[0]
    best = cost.costs[0].argmin(1)
    torch.testing.assert_close(first.mean, cost.candidates[0][torch.arange(2), best])


def test_the_spread_decays_from_one_iteration_to_the_next():
    cost = Quadratic(torch.zeros(2, 40, 2))
    search(cost, num_samples=400, std_decay=0.5)
    stds = torch.stack([(candidates[:, 1:] - candidates[:, :1]).std() for candidates in cost.candidates[:3]])
    # 64,000 numbers: their standard deviation is known to 0.3%.
    torch.testing.assert_close(stds, torch.tensor([1.0, 0.5, 0.25]), rtol=0.015, atol=0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"std_decay": 1.1}, "std_decay=1.1"),
        ({"std_decay": 0.0}, "std_decay=0.0"),
        ({"temperature": 0}, "temperature=0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        MPPI(**BOUNDS, **SMALL | changes)
