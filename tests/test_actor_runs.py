"""A run with an actor and a contrast from end to end: training, evaluation by its plans, and the run folder."""

import json

import pytest

import train
from lewm.run import Run
from scripts import plan
from tests.programs import TINY, run_program

PLANNER = ("planner=guarded", "planning.context=2")


@pytest.fixture(scope="module", params=["intent", "path"])
def run(request, two_room_data, tmp_path_factory):
    """The folder of a run whose model was trained with an actor and a contrast."""
    folder = tmp_path_factory.mktemp("runs")
    words = (
        *TINY,
        *PLANNER,
        f"actor={request.param}",
        "model.actor.hidden_dim=16",
        "contrast=temporal",
        "evaluation.split=validation",
    )
    assert run_program(train.main, *words, f"data.path={two_room_data.path}", f"output_dir={folder}") is None
    return folder / "tiny"


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_losses_of_the_actor_and_of_the_contrast_are_logged_and_are_part_of_the_total(run):
    logged = [values for values in read_lines(run / "metrics.jsonl") if "loss/actor" in values]
    assert len(logged) == 6
    for values in logged:
        terms = values["loss/prediction"] + values["regularizer/weight"] * values["loss/regularizer"]
        assert values["loss/total"] == pytest.approx(terms + values["loss/actor"] + values["loss/contrast"], rel=1e-4)
        assert values["loss/actor"] != 0 and values["loss/contrast"] > 0


def test_its_weights_are_saved_with_the_models_and_come_back(run):
    model = Run.open(run).model
    assert model.actor is not None and model.actor.mlp[0].out_features == 16
    assert model.contrast is not None
    assert not any(parameter.isnan().any() for parameter in model.actor.parameters())


def test_the_run_is_evaluated_by_a_search_around_the_actor_and_then_by_the_actor_alone(run):
    guarded = json.loads((run / "results.json").read_text())
    assert run_program(plan.main, f"run={run}", "planner=actor", "name=alone", "device=cpu", "num_threads=1") is None
    alone = json.loads((run / "alone" / "results.json").read_text())
    names = [results["identity"]["policy"]["planner"]["name"] for results in (guarded, alone)]
    assert names == ["guarded", "actor"]
    assert guarded["model"]["success"]["trials"] == alone["model"]["success"]["trials"] == 4
