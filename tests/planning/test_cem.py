import pytest
import torch

from lewm.config import build
from lewm.errors import InputError
from lewm.planning import CEM, PLANNERS

BOUNDS = {"low": torch.full((2,), -5.0), "high": torch.full((2,), 5.0)}
SMALL = {"num_samples": 64, "num_elites": 8, "num_iterations": 8, "std": 1.0, "min_std": 0.05}


def plan_for(target, cost=None, start=None, **changes):
    cem = CEM(**BOUNDS, **SMALL | changes)
    mean = torch.zeros_like(target) if start is None else start
    cost = cost or (lambda candidates: (candidates - target[:, None]).square().sum((2, 3)))
    return cem(cost, mean, generator=[torch.Generator().manual_seed(seed) for seed in range(len(target))])


def test_one_elite_is_enough():
    target = torch.full((1, 2, 2), 0.5)
    plan = plan_for(target, num_elites=1, num_iterations=30)
    assert plan.cost.isfinite().all()
    assert (plan.actions - target).abs().max() < 0.15


def test_one_sample_and_one_elite_return_the_start():
    start = torch.full((1, 2, 2), 0.3)
    plan = plan_for(torch.ones(1, 2, 2), start=start, num_samples=1, num_elites=1)
    torch.testing.assert_close(plan.actions, start)


@pytest.mark.parametrize("changes", [{"num_elites": 65}, {"num_elites": 0}, {"num_iterations": 0}])
def test_numbers_that_make_no_sense_are_refused_with_the_value(changes):
    with pytest.raises(ValueError, match=f"{next(iter(changes))}={next(iter(changes.values()))}"):
        CEM(**BOUNDS, **SMALL | changes)


def test_a_configuration_that_makes_no_sense_is_an_input_error():
    with pytest.raises(InputError, match="num_elites=65"):
        build(PLANNERS, {"name": "cem", **SMALL, "num_elites": 65}, "planner", **BOUNDS)


def test_a_floor_of_the_standard_deviation_keeps_the_search_going():
    target = torch.full((1, 2, 2), 4.0)  # four standard deviations off: without a floor one elite stays on the way
    kept, lost = (plan_for(target, num_elites=2, num_iterations=40, std=0.3, min_std=floor) for floor in (0.3, 1e-9))
    assert kept.cost < 0.2 < lost.cost


def test_the_first_candidates_have_the_standard_deviation_it_was_given():
    seen = []

    def cost(candidates):
        seen.append(candidates)
        return candidates.square().sum((2, 3))

    plan_for(torch.zeros(1, 50, 2), cost, num_samples=400, std=0.7)
    # 40,000 numbers: the standard deviation of their standard deviation is 0.0025.
    assert seen[0].std().item() == pytest.approx(0.7, abs=0.01)


def test_the_mean_is_refitted_to_the_elites():
    seen = []

    def cost(candidates):
        seen.append(candidates)
        return (candidates - 1).square().sum((2, 3))

    plan_for(torch.ones(1, 1, 2), cost, num_iterations=2)
    elites = seen[0][0, cost(seen[0])[0].argsort()[:8]]
    torch.testing.assert_close(seen[1][0, 0], elites.mean(0))


def test_the_gaussian_is_not_refitted_to_candidates_whose_cost_is_not_finite():
    seen, iterations = [], []

    def cost(candidates):
        seen.append(candidates)
        return (candidates - 1).square().sum((2, 3)).masked_fill(candidates[:, :, 0, 0] > 0, torch.nan)

    cem = CEM(**BOUNDS, **SMALL | {"num_samples": 10, "num_elites": 10, "num_iterations": 1})
    generator = [torch.Generator().manual_seed(0)]
    cem(cost, torch.zeros(1, 1, 2), generator=generator, on_iteration=iterations.append)
    finite = seen[0][0, cost(seen[0])[0].isfinite()]
    assert 1 < len(finite) < 10
    torch.testing.assert_close(iterations[0].mean[0], finite.mean(0))
    torch.testing.assert_close(iterations[0].std[0], finite.std(0, correction=0))


def test_without_a_single_finite_cost_the_gaussian_stays():
    iterations = []
    cem = CEM(**BOUNDS, **SMALL)
    cem(
        lambda candidates: torch.full(candidates.shape[:2], torch.nan),
        torch.full((1, 1, 2), 0.3),
        generator=[torch.Generator().manual_seed(0)],
        on_iteration=iterations.append,
    )
    assert (iterations[-1].mean == 0.3).all() and (iterations[-1].std == 1).all()
