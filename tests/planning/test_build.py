"""Control from its configuration; what cannot be built is refused by name and value."""

from dataclasses import replace

import pytest
import torch

from lewm.config import read_yaml
from lewm.config.loading import CONFIGS
from lewm.models.rollout.build import build_rollout
from lewm.planning import NoSearch
from lewm.planning.build import build_mpc
from lewm.planning.costs import GOAL_COSTS, LastDistance
from lewm.planning.latent_planners import Amortized, Cheaper, Search, Seeded
from lewm.training.model_spec import build_model
from tests.programs import TINY, compose, refusal

FRAME_SIZE, ACTION_DIM = 48, 10


@pytest.fixture(scope="module")
def config():
    return compose(*TINY)


@pytest.fixture(scope="module")
def model(config):
    return build_model(config.model, FRAME_SIZE, ACTION_DIM)


def mpc_of(model, config, planner=None, heads=None, actor=None, **planning):
    bound = torch.arange(1.0, ACTION_DIM + 1)
    planner, planning = config.planner | (planner or {}), replace(config.planning, **planning)
    rollout = build_rollout(model, planning, "cpu")
    return build_mpc(model, rollout, planner, planning, -bound, 2 * bound, seed=5, heads=heads, actor=actor)


def test_a_controller_has_the_arguments_of_its_configuration(model, config):
    mpc = mpc_of(model, config, horizon=4, num_executed=2, context=3, batch_size=7, goal_cost="last_distance")
    assert (mpc.horizon, mpc.context, mpc.rollout.batch_size, mpc.seed) == (4, 3, 7, 5)
    assert mpc.goal_cost == LastDistance()
    assert mpc.planner.search.num_samples == config.planner["num_samples"]
    assert (mpc.planner.search.low[2], mpc.planner.search.high[2]) == (-3, 6)


@pytest.mark.parametrize("name", ["last_distance", "mean_distance", "minimum_distance", "control_penalty"])
def test_a_goal_cost_without_arguments_can_be_chosen_by_name(model, config, name):
    assert mpc_of(model, config, goal_cost=name).goal_cost == GOAL_COSTS[name]()


@pytest.mark.parametrize(
    ("planner", "planning", "words"),
    [
        ({}, {"num_executed": 3, "horizon": 2}, ["planning.num_executed=3", "planning.horizon=2"]),
        ({}, {"num_executed": 0}, ["planning.num_executed=0"]),
        ({}, {"num_executed": -1}, ["planning.num_executed=-1"]),
        ({}, {"horizon": 0}, ["planning.horizon=0"]),
        ({}, {"horizon": 0, "num_executed": 0}, ["planning.horizon=0"]),
        ({}, {"context": 4}, ["planning.context=4", "3 frames"]),
        ({}, {"context": 0}, ["context=0"]),
        ({}, {"batch_size": 0}, ["batch_size=0"]),
        ({}, {"goal_cost": "mean_distanse"}, ["planning.goal_cost='mean_distanse'", "mean_distance"]),
        ({"num_elites": 7}, {}, ["num_elites=7", "num_samples=6"]),
        ({"num_elites": 0}, {}, ["num_elites=0"]),
        ({"num_samples": 0}, {}, ["num_samples=0"]),
        ({"num_iterations": 0}, {}, ["num_iterations=0"]),
        ({"name": "cam"}, {}, ["planner", "'cam'", "'cem'"]),
        ({"num_eletes": 3}, {}, ["'num_eletes'", "'num_elites'"]),
    ],
)
def test_planning_that_cannot_be_done_is_refused_by_name_and_value(model, config, planner, planning, words):
    message = refusal(mpc_of, model, config, planner, **planning)
    for word in words:
        assert word in message


HEADS = {"inverse_dynamics": lambda z, z_goal: z_goal}


@pytest.mark.parametrize(
    ("word", "kind"), [("none", Search), ("amortized", Amortized), ("seeded", Seeded), ("cheaper", Cheaper)]
)
def test_the_use_of_a_proposal_chooses_the_latent_planner_of_that_name(model, config, word, kind):
    planner = mpc_of(model, config, heads=HEADS, proposal=word).planner
    assert type(planner) is kind and kind.name == word


def test_a_proposal_keeps_to_the_bounds_and_the_window_of_the_search(model, config):
    proposal = mpc_of(model, config, heads=HEADS, proposal="seeded", window=2).planner.proposal
    assert proposal.window == 2
    assert torch.equal(
        proposal.law(torch.ones(1, 2, 3), torch.ones(1, 1, 3), torch.full((1, 3), 7.0)), torch.full((1, 3), 7.0)
    )
    assert (proposal.low[2], proposal.high[2]) == (-3, 6)


@pytest.mark.parametrize(("former", "word"), [("alone", "amortized"), ("initial", "seeded"), ("guarded", "cheaper")])
def test_a_former_word_for_the_use_of_a_proposal_is_refused_with_the_new_one(model, config, former, word):
    message = refusal(mpc_of, model, config, heads=HEADS, proposal=former)
    assert f"planning.proposal={former}" in message and f"planning.proposal={word}" in message


def test_an_unknown_use_of_a_proposal_is_refused_with_a_suggestion(model, config):
    message = refusal(mpc_of, model, config, heads=HEADS, proposal="cheeper")
    assert "planning.proposal='cheeper'" in message and "'cheaper'" in message


@pytest.mark.parametrize("word", ["amortized", "seeded", "cheaper"])
def test_a_proposal_without_its_head_says_how_to_fit_it(model, config, word):
    message = refusal(mpc_of, model, config, proposal=word)
    assert f"planning.proposal={word}" in message and "lewm train-head head=inverse_dynamics" in message


def law(z, past_actions, z_goal):
    return z_goal


@pytest.mark.parametrize(("name", "kind"), [("actor", Amortized), ("guarded", Seeded)])
def test_a_planner_around_an_action_law_needs_no_other_key(model, config, name, kind):
    component = read_yaml(CONFIGS / "planner" / f"{name}.yaml")["planner"]
    planner = mpc_of(model, replace(config, planner=component), actor=law).planner
    assert type(planner) is kind and planner.proposal.law is law


def test_the_actor_that_was_trained_with_the_model_comes_before_a_head(model, config):
    assert mpc_of(model, config, heads=HEADS, actor=law, proposal="seeded").planner.proposal.law is law


def test_a_planner_around_an_action_law_says_what_it_lacks(model, config):
    message = refusal(mpc_of, model, replace(config, planner={"name": "actor"}))
    assert "inverse_dynamics" in message and "planner=actor" in message


def test_a_planner_without_a_search_plans_what_it_is_given_at_an_unknown_cost():
    mean = torch.ones(2, 3, 4)
    plan = NoSearch(-torch.ones(4), torch.ones(4))(lambda candidates: 1 / 0, mean, generator=[])
    assert torch.equal(plan.actions, mean) and plan.cost.isnan().all() and plan.cost.shape == (2,)


@pytest.mark.parametrize("proposal", ["none", "seeded", "cheaper"])
def test_without_a_search_the_law_acts_whatever_the_proposal_is_for(model, config, proposal):
    planner = mpc_of(model, replace(config, planner={"name": "actor"}), actor=law, proposal=proposal).planner
    assert type(planner) is Amortized
