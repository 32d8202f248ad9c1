import csv
import json

import pytest

from scripts import planner_study


@pytest.mark.parametrize(
    ("component", "count"),
    [
        ({"name": "cem", "num_samples": 7, "num_elites": 2, "num_iterations": 3, "std": 1.0, "min_std": 0.05}, 22),
        ({"name": "random_shooting", "num_samples": 7, "num_iterations": 3, "std": 1.0, "noise_exponent": 0.0}, 21),
    ],
)
def test_every_sequence_that_a_plan_imagines_is_counted(component, count):
    assert planner_study.count_evaluations(component) == count


def finished(folder, successes):
    folder.mkdir(parents=True)
    rate = {"successes": successes, "trials": 10, "rate": successes / 10, "low": 0.0, "high": 1.0}
    model = {"strict_success": rate, "strict_success_at_end": rate}
    planning = {"milliseconds_per_plan_median": 1.5}
    results = {"model": model, "planning": planning, "floors": {"random": model}}
    (folder / "results.json").write_text(json.dumps(results))


def test_what_is_evaluated_already_is_not_evaluated_again(tmp_path, capsys):
    for successes, budget in enumerate(planner_study.BUDGETS["cem"]):
        finished(tmp_path / "planners" / f"cem_{budget['num_samples']}x{budget['num_iterations']}", successes)
    planner_study.main([str(tmp_path), "--planners", "cem"])
    rows = list(csv.DictReader((tmp_path / "planners" / "planners.csv").read_text().splitlines()))
    assert [int(row["successes"]) for row in rows] == [0, 1, 2, 3]
    assert [int(row["evaluations"]) for row in rows] == [65, 257, 769, 9001]
    assert (tmp_path / "planners" / "planners.png").stat().st_size > 1000
    assert "9,001" in capsys.readouterr().out


def test_a_run_that_is_not_there_is_refused_in_one_line(tmp_path):
    with pytest.raises(SystemExit) as error:
        planner_study.main([str(tmp_path / "absent")])
    assert "is no run folder" in str(error.value)
