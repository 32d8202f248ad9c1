"""What every registered planner promises, on costs whose optimum is known."""

from dataclasses import fields

import pytest
import torch

from lewm.config import build
from lewm.errors import InputError
from lewm.planning import PLANNERS
from tests.planning.quadratics import Broken, Quadratic, generators
from tests.registries import PLANNER_CONFIGS

EPISODES, HORIZON, WIDTH = 3, 4, 2
LOW, HIGH = torch.tensor([-2.0, -1.0]), torch.tensor([2.0, 1.5])
SEARCHING = [name for name, config in PLANNER_CONFIGS.items() if config["name"] not in ("random_shooting", "guarded")]
"""Those that learn from the costs. Random shooting has promises of its own, in test_random_shooting.py."""

WITH_ELITES = [name for name, config in PLANNER_CONFIGS.items() if "num_elites" in config]
AMPLE = {"num_samples": 128, "num_iterations": 40}
"""A budget for what is harder than the quadratics that the configured ones are enough for."""

NOT_FINITE = [torch.nan, torch.inf, -torch.inf]


def make_planner(name, low=LOW, high=HIGH, **changes):
    return build(PLANNERS, PLANNER_CONFIGS[name] | changes, "planner", low=low, high=high)


def smallest(name, **changes):
    """One candidate for each iteration."""
    ones = {key: 1 for key in ("num_samples", "num_elites", "num_kept") if key in PLANNER_CONFIGS[name]}
    return make_planner(name, **ones, **changes)


@pytest.fixture(params=PLANNER_CONFIGS)
def planner(request):
    return make_planner(request.param)


@pytest.fixture(params=SEARCHING)
def searching(request):
    return make_planner(request.param)


@pytest.fixture
def target():
    """(B, H, A) well inside the bounds."""
    return 0.8 * (2 * torch.rand(EPISODES, HORIZON, WIDTH, generator=torch.Generator().manual_seed(0)) - 1)


@pytest.fixture
def mean():
    return torch.zeros(EPISODES, HORIZON, WIDTH)


def within_bounds(actions):
    return (actions >= LOW).all() and (actions <= HIGH).all()


def test_every_registered_planner_has_a_configuration():
    assert {config["name"] for config in PLANNER_CONFIGS.values()} == set(PLANNERS) - {"actor"}


def test_it_finds_an_optimum_inside_the_bounds(searching, target, mean):
    plan = searching(Quadratic(target), mean, generator=generators(1, 2, 3))
    assert plan.actions.shape == (EPISODES, HORIZON, WIDTH)
    assert plan.cost.shape == (EPISODES,)
    assert (plan.actions - target).abs().max() < 0.2
    assert (plan.cost < 0.05 * target.square().sum((1, 2))).all()


@pytest.mark.parametrize("name", SEARCHING)
def test_it_finds_the_bounds_when_the_optimum_is_beyond_them(name, mean):
    target = torch.tensor([[9.0, -9.0]]).expand(EPISODES, HORIZON, WIDTH)
    plan = make_planner(name, std=1.0)(Quadratic(target), mean, generator=generators(1, 2, 3))
    corner = torch.stack([HIGH[0], LOW[1]]).expand_as(target)
    start, best = (Quadratic(target)(actions[:, None])[:, 0] for actions in (mean, corner))
    assert (plan.cost - best < 0.1 * (start - best)).all()


@pytest.mark.parametrize("start", [0.0, 100.0])
def test_it_shows_the_cost_nothing_outside_the_bounds(planner, mean, start):
    cost = Quadratic(torch.full_like(mean, 9.0))
    plan = planner(cost, mean + start, generator=generators(1, 2, 3))
    assert all(within_bounds(actions) for actions in (*cost.candidates, plan.actions))


@pytest.mark.parametrize("name", PLANNER_CONFIGS)
def test_bounds_of_each_raw_action_of_a_block_are_its_bounds(name, mean):
    bounds = torch.tensor([[-0.3], [-0.1]]), torch.tensor([[0.4], [0.2]])  # two raw actions of one number
    cost = Quadratic(torch.full_like(mean, 9.0))
    plan = make_planner(name, *bounds)(cost, mean, generator=generators(1, 2, 3))
    shown = torch.cat(cost.candidates, 1)
    assert (shown.amax((0, 1, 2)) == torch.tensor([0.4, 0.2])).all()
    assert (shown.amin((0, 1, 2)) >= torch.tensor([-0.3, -0.1])).all()
    assert (plan.actions <= torch.tensor([0.4, 0.2])).all()


@pytest.mark.parametrize("name", SEARCHING)
def test_bounds_may_be_infinite(name, target, mean):
    planner = make_planner(name, torch.full((2,), -torch.inf), torch.full((2,), torch.inf))
    assert (planner(Quadratic(target), mean, generator=generators(1, 2, 3)).actions - target).abs().max() < 0.2


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


@pytest.mark.parametrize("name", SEARCHING)
@pytest.mark.parametrize("value", NOT_FINITE)
def test_a_cost_that_is_not_finite_loses(name, mean, value):
    target = torch.ones(EPISODES, HORIZON, WIDTH)
    plan = make_planner(name, **AMPLE)(Broken(target, value, limit=0.25), mean, generator=generators(1, 2, 3))
    assert plan.cost.isfinite().all()
    assert (plan.actions[:, 0, 0] <= 0.25).all()
    assert (plan.actions[:, 1:] - 1).abs().max() < 0.3


@pytest.mark.parametrize("value", NOT_FINITE)
def test_costs_that_are_finite_nowhere_still_give_a_plan_inside_the_bounds(planner, target, mean, value):
    plan = planner(Broken(target, value), mean, generator=generators(1, 2, 3))
    assert (plan.cost == torch.inf).all()
    assert within_bounds(plan.actions)


@pytest.mark.parametrize("value", NOT_FINITE)
def test_an_episode_without_finite_costs_does_not_disturb_the_others(planner, target, mean, value):
    plan = planner(Broken(target, value, episodes=slice(1, 2)), mean, generator=generators(1, 2, 3))
    undisturbed = planner(Quadratic(target), mean, generator=generators(1, 2, 3))
    torch.testing.assert_close(plan.actions[[0, 2]], undisturbed.actions[[0, 2]])


def test_it_does_not_write_into_its_start(planner, target, mean):
    planner(Quadratic(target), mean, generator=generators(1, 2, 3))
    assert (mean == 0).all()


def test_it_plans_without_gradients_around_it_and_leaves_none(planner, target, mean):
    with torch.no_grad():
        without = planner(Quadratic(target), mean, generator=generators(1, 2, 3))
    with_them = planner(Quadratic(target), mean, generator=generators(1, 2, 3))
    assert torch.equal(without.actions, with_them.actions)
    assert not (with_them.actions.requires_grad or with_them.cost.requires_grad)


def test_it_reports_every_iteration(planner, target, mean):
    seen = []
    plan = planner(Quadratic(target), mean, generator=generators(1, 2, 3), on_iteration=seen.append)
    assert [iteration.index for iteration in seen] == list(range(planner.num_iterations))
    for iteration in seen:
        assert iteration.costs.shape[0] == EPISODES and iteration.costs.shape[1] <= planner.num_samples
        assert iteration.mean.shape == mean.shape and within_bounds(iteration.mean)
        assert iteration.std is None or (iteration.std.shape == mean.shape and (iteration.std > 0).all())
    best = torch.stack([iteration.best_cost for iteration in seen] + [plan.cost])
    assert (best.diff(dim=0) <= 0).all()


@pytest.mark.parametrize("value", NOT_FINITE)
def test_what_it_reports_of_a_cost_that_is_not_finite_is_inf(planner, target, mean, value):
    seen = []
    planner(Broken(target, value, limit=0.25), mean, generator=generators(1, 2, 3), on_iteration=seen.append)
    costs = torch.cat([iteration.costs for iteration in seen], dim=1)
    assert (costs.isfinite() | (costs == torch.inf)).all() and (costs == torch.inf).any()


def test_a_listener_does_not_change_the_plan(planner, target, mean):
    heard = planner(Quadratic(target), mean, generator=generators(1, 2, 3), on_iteration=lambda iteration: None)
    assert torch.equal(heard.actions, planner(Quadratic(target), mean, generator=generators(1, 2, 3)).actions)


@pytest.mark.parametrize("name", PLANNER_CONFIGS)
def test_one_candidate_and_one_iteration_are_enough(name, target, mean):
    plan = smallest(name, num_iterations=1)(Quadratic(target), mean, generator=generators(1, 2, 3))
    assert (plan.cost <= target.square().sum((1, 2))).all()
    assert within_bounds(plan.actions)


@pytest.mark.parametrize("name", PLANNER_CONFIGS)
def test_a_horizon_of_one_step_of_one_number_is_enough(name):
    planner = make_planner(name, low=torch.tensor([-1.0]), high=torch.tensor([1.0]))
    target = torch.full((2, 1, 1), 0.5)
    plan = planner(Quadratic(target), torch.zeros(2, 1, 1), generator=generators(1, 2))
    assert (plan.actions - target).abs().max() < 0.05


@pytest.mark.parametrize("name", WITH_ELITES)
def test_one_elite_without_a_floor_of_the_spread_is_safe(name, target, mean):
    kept = {"num_kept": 1} if "num_kept" in PLANNER_CONFIGS[name] else {}
    planner = make_planner(name, num_elites=1, min_std=0.0, **kept)
    cost = Quadratic(target)
    plan = planner(cost, mean, generator=generators(1, 2, 3))
    assert torch.cat(cost.candidates, 1).isfinite().all()
    assert (plan.cost <= target.square().sum((1, 2))).all()


@pytest.mark.parametrize("name", WITH_ELITES)
@pytest.mark.parametrize("num_elites", [0, 400])
def test_elites_that_the_samples_cannot_give_are_one_clear_error(name, num_elites):
    with pytest.raises(InputError, match=rf"num_elites={num_elites} must be between 1 and num_samples=\d+"):
        make_planner(name, num_elites=num_elites)


@pytest.mark.parametrize("name", PLANNER_CONFIGS)
@pytest.mark.parametrize(("key", "value"), [("num_samples", 0), ("num_iterations", 0), ("std", 0), ("std", -1.0)])
def test_numbers_that_make_no_sense_are_one_clear_error(name, key, value):
    with pytest.raises(InputError, match=f"{key}={value} must be"):
        make_planner(name, **{key: value})


@pytest.mark.parametrize("name", sorted(PLANNERS.keys() - {"actor"}))
def test_no_hyper_parameter_has_a_default_beside_the_one_in_its_configuration(name):
    config = next(config for config in PLANNER_CONFIGS.values() if config["name"] == name)
    assert {field.name for field in fields(PLANNERS[name])} == set(config) - {"name"} | {"low", "high"}


@pytest.mark.parametrize("name", [name for name, config in PLANNER_CONFIGS.items() if "noise_exponent" in config])
@pytest.mark.parametrize("value", [11.0, float("nan")])
def test_a_colour_that_numbers_cannot_hold_is_one_clear_error(name, value):
    with pytest.raises(InputError, match=f"noise_exponent={value} must be between -10 and 10"):
        make_planner(name, noise_exponent=value)


def test_a_guarded_search_shows_the_plan_that_it_starts_from_first_and_stays_near_it(target, mean):
    cost = Quadratic(target)
    make_planner("guarded")(cost, mean + 0.1, generator=generators(1, 2, 3))
    first = cost.candidates[0]
    assert torch.equal(first[:, 0], mean + 0.1)
    assert (first - first[:, :1]).std() < 0.3
