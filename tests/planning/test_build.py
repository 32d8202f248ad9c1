"""Control from its configuration; what cannot be built is refused by name and value."""

from dataclasses import replace

import pytest
import torch

from lewm.models.rollout.build import build_rollout
from lewm.planning.build import build_mpc
from lewm.planning.costs import GOAL_COSTS, LastDistance
from lewm.planning.latent_planners import Amortized, Guarded, Search, Seeded
from lewm.training.model_spec import build_model
from tests.programs import TINY, compose, refusal

FRAME_SIZE, ACTION_DIM = 48, 10


@pytest.fixture(scope="module")
def config():
    return compose(*TINY)


@pytest.fixture(scope="module")
def model(config):
    return build_model(config.model, FRAME_SIZE, ACTION_DIM)


def mpc_of(model, config, planner=None, heads=None, **planning):
    bound = torch.arange(1.0, ACTION_DIM + 1)
    planner, planning = config.planner | (planner or {}), replace(config.planning, **planning)
    rollout = build_rollout(model, planning, "cpu")
    return build_mpc(model, rollout, planner, planning, -bound, 2 * bound, seed=5, heads=heads)


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


HEADS = {"inverse_dynamics": torch.nn.Identity()}


@pytest.mark.parametrize(
    ("word", "kind"), [("none", Search), ("amortized", Amortized), ("seeded", Seeded), ("guarded", Guarded)]
)
def test_the_use_of_a_proposal_chooses_the_latent_planner_of_that_name(model, config, word, kind):
    planner = mpc_of(model, config, heads=HEADS, proposal=word).planner
    assert type(planner) is kind and kind.name == word


def test_a_proposal_keeps_to_the_bounds_and_the_window_of_the_search(model, config):
    proposal = mpc_of(model, config, heads=HEADS, proposal="seeded", window=2).planner.proposal
    assert (proposal.window, proposal.head) == (2, HEADS["inverse_dynamics"])
    assert (proposal.low[2], proposal.high[2]) == (-3, 6)


@pytest.mark.parametrize(("former", "word"), [("alone", "amortized"), ("initial", "seeded")])
def test_a_former_word_for_the_use_of_a_proposal_is_refused_with_the_new_one(model, config, former, word):
    message = refusal(mpc_of, model, config, heads=HEADS, proposal=former)
    assert f"planning.proposal={former}" in message and f"planning.proposal={word}" in message


def test_an_unknown_use_of_a_proposal_is_refused_with_a_suggestion(model, config):
    message = refusal(mpc_of, model, config, heads=HEADS, proposal="guardet")
    assert "planning.proposal='guardet'" in message and "'guarded'" in message


@pytest.mark.parametrize("word", ["amortized", "seeded", "guarded"])
def test_a_proposal_without_its_head_says_how_to_fit_it(model, config, word):
    message = refusal(mpc_of, model, config, proposal=word)
    assert f"planning.proposal={word}" in message and "lewm train-head head=inverse_dynamics" in message
