"""Goal costs against slow loops, their gradients, and what is refused."""

import itertools
import math

import pytest
import torch

from lewm.errors import InputError
from lewm.planning.build import build_goal_cost
from lewm.planning.costs import GOAL_COSTS, DiscountedDistance, LastDistance, TemporalDistanceCost, WeightedSum
from tests.programs import compose

EPISODES, CANDIDATES, HORIZON, WIDTH, ACTION_DIM = 2, 5, 4, 3, 6
CONFIGS = {
    "last_distance": "last_distance",
    "mean_distance": {"name": "mean_distance"},
    "minimum_distance": {"name": "minimum_distance"},
    "prefix_distance": {"name": "prefix_distance", "num_steps": 2},
    "discounted_distance": {"name": "discounted_distance", "discount": 0.5},
    "control_penalty": {"name": "control_penalty"},
    "temporal_distance": "temporal_distance",
    "temporal_distance over last": {"name": "temporal_distance", "over": "last"},
    "temporal_distance over minimum": {"name": "temporal_distance", "over": "minimum"},
    "sum": {
        "name": "sum",
        "parts": [
            {"weight": 2, "cost": "last_distance"},
            {"weight": 0.25, "cost": {"name": "control_penalty"}},
        ],
    },
}


class CityBlock(torch.nn.Module):
    """A head: the sum of the absolute differences."""

    def forward(self, z, z_goal):
        return (z - z_goal).abs().sum(-1)


HEADS = {"temporal_distance": CityBlock()}


def squared(z, z_goal):
    return sum((a - b) ** 2 for a, b in zip(z, z_goal, strict=True))


def city_block(z, z_goal):
    return sum(abs(a - b) for a, b in zip(z, z_goal, strict=True))


def penalty(actions):
    return sum(number**2 for block in actions for number in block)


SLOW = {
    "last_distance": lambda z, goal, _: squared(z[-1], goal),
    "mean_distance": lambda z, goal, _: sum(squared(z[t], goal) for t in range(HORIZON)) / HORIZON,
    "minimum_distance": lambda z, goal, _: min(squared(z[t], goal) for t in range(HORIZON)),
    "prefix_distance": lambda z, goal, _: squared(z[1], goal),
    "discounted_distance": lambda z, goal, _: sum(0.5**t * squared(z[t], goal) for t in range(HORIZON)),
    "control_penalty": lambda z, goal, actions: penalty(actions),
    "temporal_distance": lambda z, goal, _: sum(city_block(z[t], goal) for t in range(HORIZON)) / HORIZON,
    "temporal_distance over last": lambda z, goal, _: city_block(z[-1], goal),
    "temporal_distance over minimum": lambda z, goal, _: min(city_block(z[t], goal) for t in range(HORIZON)),
    "sum": lambda z, goal, actions: 2 * squared(z[-1], goal) + 0.25 * penalty(actions),
}


@pytest.fixture(params=CONFIGS)
def name(request):
    return request.param


@pytest.fixture
def imagined():
    """Embeddings, goals and actions."""
    generator = torch.Generator().manual_seed(0)
    shapes = (EPISODES, CANDIDATES, HORIZON, WIDTH), (EPISODES, WIDTH), (EPISODES, CANDIDATES, HORIZON, ACTION_DIM)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def test_every_registered_cost_is_tested():
    assert {config if isinstance(config, str) else config["name"] for config in CONFIGS.values()} == set(GOAL_COSTS)


def test_a_cost_is_what_a_slow_loop_says(name, imagined):
    z_next, z_goal, actions = imagined
    costs = build_goal_cost(CONFIGS[name], HEADS)(*imagined)
    assert costs.shape == (EPISODES, CANDIDATES)
    for b, n in itertools.product(range(EPISODES), range(CANDIDATES)):
        slow = SLOW[name](z_next[b, n].tolist(), z_goal[b].tolist(), actions[b, n].tolist())
        assert costs[b, n].item() == pytest.approx(slow, rel=1e-5)


def test_a_step_against_the_gradient_lowers_every_candidate_of_a_cost(name, imagined):
    z_next, z_goal, actions = imagined
    z_next, actions = z_next.requires_grad_(), actions.requires_grad_()
    cost = build_goal_cost(CONFIGS[name], HEADS)
    before = cost(z_next, z_goal, actions)
    gradients = torch.autograd.grad(before.sum(), (z_next, actions), allow_unused=True, materialize_grads=True)
    after = cost(z_next - 1e-3 * gradients[0], z_goal, actions - 1e-3 * gradients[1])
    assert (after < before).all()


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "control_penalty"], indirect=True)
def test_a_cost_of_distance_is_least_at_the_goal(name, imagined):
    z_goal, actions = imagined[1], torch.zeros_like(imagined[2])
    at_goal = z_goal[:, None, None].expand(EPISODES, CANDIDATES, HORIZON, WIDTH)
    cost = build_goal_cost(CONFIGS[name], HEADS)
    assert (cost(at_goal, z_goal, actions) < cost(at_goal + 0.1, z_goal, actions)).all()


def test_costs_of_the_same_configuration_are_equal():
    assert build_goal_cost("mean_distance", {}) == build_goal_cost({"name": "mean_distance"}, {})


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("planning.goal_cost=temporal_distance", TemporalDistanceCost(HEADS["temporal_distance"])),
        ("planning.goal_cost={name: discounted_distance, discount: 0.9}", DiscountedDistance(0.9)),
        (
            "planning.goal_cost={name: sum, parts: [{weight: 2, cost: last_distance}]}",
            WeightedSum(((2.0, LastDistance()),)),
        ),
    ],
)
def test_a_cost_is_given_on_the_command_line_by_name_or_whole(word, expected):
    assert build_goal_cost(compose(word).planning.goal_cost, HEADS) == expected


def test_sums_may_hold_sums(imagined):
    inner = {"name": "sum", "parts": [{"weight": 3, "cost": "last_distance"}]}
    outer = build_goal_cost({"name": "sum", "parts": [{"weight": 2, "cost": inner}]}, {})
    torch.testing.assert_close(outer(*imagined), 6 * build_goal_cost("last_distance", {})(*imagined))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("mean_distanse", ["planning.goal_cost='mean_distanse'", "'mean_distance'"]),
        ({"nam": "sum"}, ["planning.goal_cost=None", "mean_distance"]),
        ({"name": "last_distance", "over": "mean"}, ["last_distance", "'over'"]),
        ({"name": "discounted_distance"}, ["discounted_distance", "'discount'"]),
        ({"name": "discounted_distance", "discount": "half"}, ["discount='half'"]),
        ({"name": "discounted_distance", "discount": 0}, ["discount=0"]),
        ({"name": "temporal_distance", "over": "all"}, ["over='all'", "mean, last, minimum"]),
        ({"name": "sum", "parts": []}, ["parts is empty"]),
        ({"name": "sum"}, ["sum takes parts"]),
        ({"name": "sum", "parts": 3}, ["sum takes parts", "3"]),
        ({"name": "sum", "parts": ["last_distance"]}, ["'last_distance'", "weight"]),
        ({"name": "sum", "parts": [{"weight": "big", "cost": "last_distance"}]}, ["weight='big'"]),
        ({"name": "sum", "parts": [{"weight": math.nan, "cost": "last_distance"}]}, ["weight=nan"]),
        ({"name": "sum", "parts": [{"weight": 1, "cost": "last_distanse"}]}, ["'last_distanse'", "'last_distance'"]),
    ],
)
def test_a_cost_that_cannot_be_built_is_refused_in_one_line_by_name_and_value(config, words):
    with pytest.raises(InputError) as error:
        build_goal_cost(config, HEADS)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_a_cost_whose_head_is_not_there_says_how_to_fit_it():
    with pytest.raises(InputError, match=r"heads=\[temporal_distance\].*lewm train-head head=temporal_distance"):
        build_goal_cost("temporal_distance", {})


def test_a_cost_without_parts_is_refused():
    with pytest.raises(ValueError, match="parts"):
        WeightedSum(())


def test_over_the_last_step_the_head_is_asked_for_that_step_only(imagined):
    asked = []

    def head(z, z_goal):
        asked.append(z.shape)
        return (z - z_goal).sum(-1)

    TemporalDistanceCost(head, over="last")(*imagined)
    assert asked == [(EPISODES, CANDIDATES, WIDTH)]
