"""What every registered planner promises, on costs whose optimum is known."""

import pytest
import torch

from lewm.config import build
from lewm.planning import PLANNERS
from tests.registries import PLANNER_CONFIGS

EPISODES, HORIZON, WIDTH = 3, 4, 2
LOW, HIGH = torch.tensor([-2.0, -1.0]), torch.tensor([2.0, 1.5])


def make_planner(name, **changes):
    return build(PLANNERS, PLANNER_CONFIGS[name] | changes, "planner", low=LOW, high=HIGH)


@pytest.fixture(params=PLANNER_CONFIGS)
def planner(request):
    return make_planner(request.param)


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


class Quadratic:
    """Squared distance to `target` (B, H, A); remembers the candidates it was shown and what they cost."""

    def __init__(self, target):
        self.target, self.candidates, self.costs = target, [], []

    def __call__(self, candidates):
        assert candidates.ndim == 4 and candidates.shape[0] == len(self.target)
        costs = self._cost(candidates)
        self.candidates.append(candidates.detach().clone())
        self.costs.append(costs.detach().clone())
        return costs

    def _cost(self, candidates):
        return (candidates - self.target[:, None]).square().sum((2, 3))


class WithoutHalf(Quadratic):
    """nan for candidates whose first number is above a quarter."""

    def _cost(self, candidates):
        return super()._cost(candidates).masked_fill(candidates[:, :, 0, 0] > 0.25, torch.nan)


@pytest.fixture
def target():
    """(B, H, A) well inside the bounds."""
    return 0.8 * (2 * torch.rand(EPISODES, HORIZON, WIDTH, generator=torch.Generator().manual_seed(0)) - 1)


@pytest.fixture
def mean():
    return torch.zeros(EPISODES, HORIZON, WIDTH)


def test_every_registered_planner_has_a_configuration():
    assert {config["name"] for config in PLANNER_CONFIGS.values()} == set(PLANNERS)


def test_it_finds_an_optimum_inside_the_bounds(planner, target, mean):
    plan = planner(Quadratic(target), mean, generator=generators(1, 2, 3))
    assert plan.actions.shape == (EPISODES, HORIZON, WIDTH)
    assert plan.cost.shape == (EPISODES,)
    assert (plan.actions - target).abs().max() < 0.2
    assert (plan.cost < 0.05 * target.square().sum((1, 2))).all()


def test_it_finds_the_bounds_when_the_optimum_is_beyond_them(planner, mean):
    target = torch.tensor([[9.0, -9.0]]).expand(EPISODES, HORIZON, WIDTH)
    plan = planner(Quadratic(target), mean, generator=generators(1, 2, 3))
    corner = torch.stack([HIGH[0], LOW[1]]).expand_as(target)
    start, best = (Quadratic(target)(actions[:, None])[:, 0] for actions in (mean, corner))
    assert (plan.cost - best < 0.1 * (start - best)).all()


@pytest.mark.parametrize("start", [0.0, 100.0])
def test_it_shows_the_cost_nothing_outside_the_bounds(planner, mean, start):
    cost = Quadratic(torch.full_like(mean, 9.0))
    plan = planner(cost, mean + start, generator=generators(1, 2, 3))
    for actions in (*cost.candidates, plan.actions):
        assert (actions >= LOW).all() and (actions <= HIGH).all()


def test_its_plan_is_a_function_of_the_generators(planner, target, mean):
    first, again, other = (
        planner(Quadratic(target), mean, generator=generators(*seeds)) for seeds in ((1, 2, 3), (1, 2, 3), (4, 5, 6))
    )
    assert torch.equal(first.actions, again.actions) and torch.equal(first.cost, again.cost)
    assert not torch.equal(first.actions, other.actions)


def test_the_plan_of_an_episode_does_not_depend_on_its_neighbours(planner, target, mean):
    together = planner(Quadratic(target), mean, generator=generators(1, 2, 3))
    alone = planner(Quadratic(target[1:2]), mean[1:2], generator=generators(2))
    reordered = planner(Quadratic(target[[1, 0]]), mean[[1, 0]], generator=generators(2, 1))
    torch.testing.assert_close(alone.actions[0], together.actions[1])
    torch.testing.assert_close(reordered.actions, together.actions[[1, 0]])


def test_it_returns_the_cheapest_candidate_ever_shown(planner, target, mean):
    cost = Quadratic(target)
    plan = planner(cost, mean, generator=generators(1, 2, 3))
    assert torch.equal(plan.cost, torch.cat(cost.costs, 1).amin(1))
    torch.testing.assert_close(Quadratic(target)(plan.actions[:, None])[:, 0], plan.cost)


def test_its_plan_is_never_worse_than_where_the_search_starts(planner, target):
    plan = planner(Quadratic(target), target.clone(), generator=generators(1, 2, 3))
    assert (plan.cost == 0).all()
    assert torch.equal(plan.actions, target)


def test_a_cost_of_nan_loses(planner, mean):
    target = torch.ones(EPISODES, HORIZON, WIDTH)
    plan = planner(WithoutHalf(target), mean, generator=generators(1, 2, 3))
    assert plan.cost.isfinite().all()
    assert (plan.actions[:, 0, 0] <= 0.25).all()
    assert (plan.actions[:, 1:] - 1).abs().max() < 0.3


def test_costs_that_are_nan_everywhere_still_give_a_plan_inside_the_bounds(planner, mean):
    plan = planner(lambda candidates: torch.full(candidates.shape[:2], torch.nan), mean, generator=generators(1, 2, 3))
    assert not (plan.cost < torch.inf).any()
    assert (plan.actions >= LOW).all() and (plan.actions <= HIGH).all()


def test_one_episode_of_nan_does_not_disturb_the_others(planner, target, mean):
    def cost(candidates):
        costs = Quadratic(target)(candidates)
        costs[1] = torch.nan
        return costs

    plan = planner(cost, mean, generator=generators(1, 2, 3))
    undisturbed = planner(Quadratic(target), mean, generator=generators(1, 2, 3))
    torch.testing.assert_close(plan.actions[[0, 2]], undisturbed.actions[[0, 2]])


def test_it_does_not_write_into_its_start(planner, target, mean):
    planner(Quadratic(target), mean, generator=generators(1, 2, 3))
    assert (mean == 0).all()
