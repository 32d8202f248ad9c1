"""scripts/plan.py plans as the run did, but for what the command line chooses."""

import json
from dataclasses import replace

import pytest

import train
from lewm.errors import InputError
from lewm.run import Run
from scripts import plan
from tests.programs import TINY, assert_one_line_error, run_program

SEARCH = ("planner=mppi", "planner.num_iterations=1", "planning.horizon=2", "planning.goal_cost=minimum_distance")
EVALUATION = ("evaluation.num_pairs=2", "evaluation.offset=12", "evaluation.budget=5", "evaluation.num_videos=0")


@pytest.fixture(scope="module")
def run(tmp_path_factory, two_room_data):
    """The folder of a tiny run that was evaluated with another planner and another planning than plan.yaml's."""
    folder = tmp_path_factory.mktemp("runs")
    own = ("planner.num_elites", "planner.num_kept", "planner.num_iterations")
    words = [word for word in TINY if not word.startswith(own)]
    arguments = (*SEARCH, *words, f"data.path={two_room_data.path}", f"output_dir={folder}")
    assert run_program(train.main, *arguments) is None
    return folder / "tiny"


def acts(folder):
    """What was evaluated last in a folder."""
    return json.loads((folder / "results.json").read_text())["identity"]["policy"]


def planned(run, *overrides):
    code = run_program(plan.main, f"run={run}", "device=cpu", "num_threads=1", *EVALUATION, *overrides)
    assert code is None
    return acts(run / "plan")


def test_it_plans_as_the_run_did(run):
    assert planned(run) == acts(run)
    assert acts(run)["planner"]["name"] == "mppi"
    assert acts(run)["planning"]["goal_cost"] == {"name": "minimum_distance"}


def test_single_keys_change_what_the_run_did(run):
    found = planned(run, "planner.num_samples=5", "planning.horizon=3", "planning.goal_cost=last_distance")
    trained = acts(run)
    assert found["planner"] == trained["planner"] | {"num_samples": 5}
    assert found["planning"] == trained["planning"] | {"horizon": 3, "goal_cost": {"name": "last_distance"}}


def test_a_chosen_planner_leaves_the_runs_planning(run):
    found = planned(run, "planner=random_shooting", "planner.num_samples=5")
    assert found["planner"]["name"] == "random_shooting"
    assert found["planning"] == acts(run)["planning"]


def test_a_protocol_is_no_runs(run):
    assert plan.as_trained({"run": str(run), "protocol": "lewm"}) == {}
    assert plan.as_trained({"run": str(run), "protocol": None}).keys() == {"planner", "planning"}


def test_what_the_command_line_chooses_is_not_the_runs(run):
    assert plan.as_trained({"run": str(run), "planner": "cem"}).keys() == {"planning"}
    assert plan.as_trained({"run": str(run), "planner": "cem", "planning": "mpc"}) == {}


def test_a_sweep_over_runs_has_to_choose(run):
    with pytest.raises(InputError, match=r"choose planner= and planning="):
        plan.as_trained({"run": [str(run), "elsewhere"]})
    assert plan.as_trained({"run": [str(run), "elsewhere"], "planner": "cem", "planning": "mpc"}) == {}


def test_a_key_of_another_planner_is_refused(run):
    code = run_program(plan.main, f"run={run}", "planner.noise_exponant=1")
    assert_one_line_error(code, "planner.noise_exponant", "did you mean 'planner.noise_exponent'")


def test_a_planner_beside_a_head_that_acts_alone_is_refused(run, monkeypatch):
    config = Run.open(run).config
    acting_alone = replace(config, planning=replace(config.planning, proposal="alone"))
    monkeypatch.setattr(Run, "config", acting_alone)
    code = run_program(plan.main, f"run={run}", "planner=cem")
    assert_one_line_error(code, "planner=cem", "planning.proposal=alone", "planning=mpc")
