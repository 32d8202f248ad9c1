"""scripts/plan.py plans as the run did, but for what the command line chooses."""

import json
import shutil
from dataclasses import replace

import pytest

import train
from lewm.config import save
from lewm.errors import InputError
from lewm.run import Run
from scripts import plan
from tests.programs import TINY, assert_one_line_error, run_program

SEARCH = ("planner=mppi", "planner.num_iterations=1", "planning.horizon=2", "planning.goal_cost=minimum_distance")
EVALUATION = ("evaluation.num_pairs=2", "evaluation.offset=12", "evaluation.budget=5", "evaluation.num_videos=0")


@pytest.fixture(scope="module")
def run(tmp_path_factory, two_room_data):
    """The folder of a tiny run whose seed, planner, planning and evaluation are not those of plan.yaml."""
    folder = tmp_path_factory.mktemp("runs")
    own = ("planner.num_elites", "planner.num_kept", "planner.num_iterations")
    words = [word for word in TINY if not word.startswith(own)]
    arguments = (
        *SEARCH,
        *words,
        "seed=3",
        "evaluation.start=rest",
        f"data.path={two_room_data.path}",
        f"output_dir={folder}",
    )
    assert run_program(train.main, *arguments) is None
    return folder / "tiny"


def acts(folder):
    """What was evaluated last in a folder."""
    return json.loads((folder / "results.json").read_text())["identity"]["policy"]


def planned(run, *overrides):
    assert run_plan(run, *EVALUATION, *overrides) is None
    return acts(run / "plan")


def run_plan(run, *overrides):
    return run_program(plan.main, f"run={run}", "device=cpu", "num_threads=1", *overrides)


def test_it_plans_as_the_run_did(run):
    assert planned(run) == acts(run)
    assert acts(run)["planner"]["name"] == "mppi"
    assert acts(run)["planning"]["goal_cost"] == {"name": "minimum_distance"}


def test_single_keys_change_what_the_run_did(run):
    found = planned(run, "planner.num_samples=5", "planning.horizon=3", "planning.goal_cost=last_distance")
    trained = acts(run)
    assert found["planner"] == trained["planner"] | {"num_samples": 5}
    assert found["planning"] == trained["planning"] | {"horizon": 3, "goal_cost": {"name": "last_distance"}}


def test_the_evaluation_is_that_of_the_run(run):
    assert run_plan(run, "name=same") is None
    trained, found = (json.loads((folder / "results.json").read_text()) for folder in (run, run / "same"))
    assert found["protocol"] == trained["protocol"]
    assert (found["protocol"]["budget"], found["protocol"]["start"]) == (10, "rest")
    assert found["pairs"] == trained["pairs"]


def test_single_keys_change_the_evaluation_of_the_run(run):
    assert run_plan(run, "name=short", "policy=no_op", "evaluation.budget=5") is None
    protocol = json.loads((run / "short" / "results.json").read_text())["protocol"]
    assert (protocol["budget"], protocol["offset"], protocol["start"]) == (5, 12, "rest")


def test_a_chosen_evaluation_is_not_the_runs(run):
    words = ("evaluation=held_out", "evaluation.num_pairs=2", "evaluation.offset=12", "evaluation.num_videos=0")
    assert run_plan(run, "name=chosen", "policy=no_op", *words) is None
    protocol = json.loads((run / "chosen" / "results.json").read_text())["protocol"]
    assert (protocol["budget"], protocol["start"]) == (50, "recorded")


def test_the_seed_is_that_of_the_run_unless_it_is_given(run):
    assert planned(run)["seed"] == acts(run)["seed"] == 3
    assert planned(run, "policy=no_op", "seed=5")["seed"] == 5


def test_a_protocol_changes_the_evaluation_of_the_run(run):
    """The protocol's keys are its own, and the others the run's."""
    words = ("evaluation.num_pairs=2", "evaluation.offset=12", "policy=no_op", "name=paper")
    assert run_plan(run, "protocol=lewm", *words) is None
    results = json.loads((run / "paper" / "results.json").read_text())
    assert (results["protocol"]["budget"], results["protocol"]["start"]) == (50, "recorded")
    assert len(list((run / "paper" / "videos").iterdir())) == 1  # evaluation.num_videos of the run; 8 by default


def test_a_chosen_planner_leaves_the_runs_planning(run):
    found = planned(run, "planner=random_shooting", "planner.num_samples=5")
    assert found["planner"]["name"] == "random_shooting"
    assert found["planning"] == acts(run)["planning"]


def test_a_protocol_is_no_runs(run):
    assert plan.as_trained({"run": str(run), "protocol": "lewm"}).keys() == {"evaluation"}
    assert plan.as_trained({"run": str(run), "protocol": None}).keys() == {"planner", "planning", "evaluation"}


def test_what_the_command_line_chooses_is_not_the_runs(run):
    assert plan.as_trained({"run": str(run), "planner": "cem"}).keys() == {"planning", "evaluation"}
    assert plan.as_trained({"run": str(run), "planner": "cem", "planning": "mpc", "evaluation": "held_out"}) == {}


def test_a_sweep_over_runs_has_to_choose_where_they_differ(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "other")
    config = Run.open(run).config
    save(replace(config, planner=config.planner | {"num_samples": 9}, seed=4), other / "config.yaml")
    with pytest.raises(InputError, match=r"differ: choose planner=$"):
        plan.as_trained({"run": [str(run), str(other)]})
    inherited = plan.as_trained({"run": [str(run), str(other)], "planner": "cem"})
    assert inherited == plan.as_trained({"run": str(run), "planner": "cem"})


def test_a_key_of_another_planner_is_refused(run):
    code = run_program(plan.main, f"run={run}", "planner.noise_exponant=1")
    assert_one_line_error(code, "planner.noise_exponant", "did you mean 'planner.noise_exponent'")


def test_a_planner_beside_a_head_that_acts_without_a_search_is_refused(run, monkeypatch):
    config = Run.open(run).config
    acting = replace(config, planning=replace(config.planning, proposal="amortized"))
    monkeypatch.setattr(Run, "config", acting)
    code = run_program(plan.main, f"run={run}", "planner=cem")
    assert_one_line_error(code, "planner=cem", "planning.proposal=amortized", "planning=mpc")
