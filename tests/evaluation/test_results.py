"""results.json: strict JSON on disk, nan for rates of nothing when it is read."""

import json
import math

import numpy as np
import pytest

from lewm.errors import InputError
from lewm.evaluation.play import Outcome
from lewm.evaluation.results import summarize
from lewm.files import write_json
from lewm.results import read_results
from tests.evaluation.finished import make_results


def refuse(word):
    raise AssertionError(f"{word} is no JSON")


def test_a_rate_of_no_pairs_is_null_on_disk_and_nan_when_it_is_read(tmp_path):
    results = make_results([True, True], [True, True])
    results["pairs"][0]["final_distance"] = math.inf
    results["diagnostics"]["probe/r2_x"] = math.nan
    write_json(tmp_path / "results.json", results)
    text = (tmp_path / "results.json").read_text()
    assert json.loads(text, parse_constant=refuse)["model"]["strict_success"]["rate"] is None
    read = read_results(tmp_path)
    assert math.isnan(read["model"]["strict_success"]["low"])
    assert math.isnan(read["pairs"][0]["final_distance"]) and math.isnan(read["diagnostics"]["probe/r2_x"])
    assert read["model"]["success"] == results["model"]["success"]


def test_a_pair_that_was_not_reached_has_no_first_success(tmp_path):
    write_json(tmp_path / "results.json", make_results([False], [False]))
    assert read_results(tmp_path / "results.json")["pairs"][0]["first_success"] is None


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"model": {}}', '{"identity": 3}', '{"identity": {}, "pairs": [], "model": {}}']
)
def test_a_file_that_is_no_results_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match=r"results\.json.*give the folder of an evaluation") as error:
        read_results(tmp_path)
    assert "\n" not in str(error.value)


def test_a_summary_counts_the_episodes_of_its_pairs():
    reached, solved = np.array([True, True, False, True]), np.array([False, False, False, True])
    outcome = Outcome(
        reached=reached,
        at_end=np.zeros(4, bool),
        solved_at_start=solved,
        states=np.zeros((4, 3, 2)),
        goal_states=np.zeros((4, 2)),
        first_success=np.where(reached, 1, -1),
        num_steps=np.full(4, 2),
        distances=np.arange(12.0).reshape(4, 3),
    )
    row = summarize(outcome, episodes=[7, 7, 9, 9])
    assert [row["success"][key] for key in ("successes", "trials", "num_clusters")] == [3, 4, 2]
    assert [row["strict_success"][key] for key in ("successes", "trials", "num_clusters")] == [2, 3, 2]
    assert row["strict_success_at_end"]["rate"] == row["success_at_end"]["rate"] == 0
    assert row["final_distance"] == 6.5
