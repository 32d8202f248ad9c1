import csv
import json
import subprocess

import pytest

from lewm.config.command_line import check_overrides
from lewm.config.schema import RESERVED, FolderName
from lewm.run import Run
from scripts import planner_study
from tests.programs import TINY, compose
from tests.runs import save_run, spec_of


@pytest.mark.parametrize(
    ("component", "count"),
    [
        ({"name": "cem", "num_samples": 7, "num_elites": 2, "num_iterations": 3, "std": 1.0, "min_std": 0.05}, 22),
        ({"name": "random_shooting", "num_samples": 7, "num_iterations": 3, "std": 1.0, "noise_exponent": 0.0}, 21),
    ],
)
def test_every_sequence_that_a_plan_imagines_is_counted(component, count):
    assert planner_study.count_evaluations(component) == count


@pytest.fixture
def run(tmp_path):
    """A run folder with random weights."""
    config = compose(*TINY)
    spec = spec_of(config)
    return save_run(tmp_path / "run", config, spec, spec.build_model()).path


def finished(folder, successes, weights_hash):
    folder.mkdir(parents=True, exist_ok=True)
    rate = {"successes": successes, "trials": 10, "rate": successes / 10, "low": 0.0, "high": 1.0}
    model = {"strict_success": rate, "strict_success_at_end": rate}
    planning = {"milliseconds_per_plan_median": 1.5}
    identity = {"weights_hash": weights_hash}
    results = {"identity": identity, "model": model, "planning": planning, "baselines": {"random": model}}
    results |= {"protocol": {"split": "validation"}, "source": {}, "pairs": [], "already_solved": 0.0}
    (folder / "results.json").write_text(json.dumps(results))


def finish_all(run, weights_hash=None):
    weights_hash = weights_hash or Run.open(run).checkpoint.weights_hash
    for successes, budget in enumerate(planner_study.BUDGETS["cem"]):
        cell = f"planners_cem_{budget['num_samples']}x{budget['num_iterations']}"
        finished(run / cell, successes, weights_hash)


@pytest.fixture
def asked(monkeypatch):
    """What scripts/plan.py was asked for, which refuses here."""
    words = []

    def refuse(command, check):
        words.append(command)
        raise subprocess.CalledProcessError(2, command)

    monkeypatch.setattr(planner_study.subprocess, "run", refuse)
    return words


def test_what_is_evaluated_already_is_not_evaluated_again(run, capsys, asked):
    finish_all(run)
    planner_study.main([str(run), "--planners", "cem"])
    rows = list(csv.DictReader((run / "planners" / "planners.csv").read_text().splitlines()))
    assert [int(row["successes"]) for row in rows] == [0, 1, 2, 3]
    assert [int(row["evaluations"]) for row in rows] == [65, 257, 769, 9001]
    assert (run / "planners" / "planners.png").stat().st_size > 1000
    assert "9,001" in capsys.readouterr().out and asked == []


@pytest.mark.parametrize(("weights_hash", "overrides"), [("other", []), (None, ["evaluation.offset=50"])])
def test_what_was_evaluated_with_other_weights_or_settings_does_not_count(run, asked, weights_hash, overrides):
    finish_all(run, weights_hash)
    with pytest.raises(SystemExit, match=r"`lewm plan` has refused"):
        planner_study.main([str(run), *overrides, "--planners", "cem"])
    assert len(asked) == 1
    words = [str(word) for word in asked[0] if "=" in str(word)]
    check_overrides("plan", words)
    name = next(word.removeprefix("name=") for word in words if word.startswith("name="))
    assert FolderName(RESERVED).allows(name)
    assert asked[0][len(asked[0]) - len(overrides) :] == overrides
    assert "evaluation.split=validation" in asked[0]


def test_budgets_that_are_all_too_large_are_refused(run):
    with pytest.raises(SystemExit, match="--most 10 leaves no budget"):
        planner_study.main([str(run), "--most", "10"])


def test_a_run_that_is_not_there_is_refused_in_one_line(tmp_path):
    with pytest.raises(SystemExit) as error:
        planner_study.main([str(tmp_path / "absent")])
    assert "holds no checkpoint" in str(error.value)
