"""Another tracker gets what TensorBoard gets, and the evaluation; without one, nothing outside is touched."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest

import train
from lewm.tracking import read_metrics
from tests.programs import TINY, assert_one_line_error, run_program


class StandIn(ModuleType):
    """What accelerate's trackers and lewm.trackers use of trackio and wandb.

    Attributes:
      begun: arguments of init().
      logged: (step, values) of each call of log().
      settings: hyper-parameters.
      is_finished: whether the run has ended.
    """

    def __init__(self, name):
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        self.begun, self.logged, self.settings, self.is_finished = None, [], {}, False
        self.config = SimpleNamespace(update=lambda values, allow_val_change: self.settings.update(values))

    def init(self, project, **arguments):
        self.begun = {"project": project, **arguments}
        return SimpleNamespace(log=lambda values, step: self.logged.append((step, values)), finish=self.finish)

    def finish(self):
        self.is_finished = True

    def Table(self, columns, data):  # noqa: N802 (their name)
        return columns, data

    def Video(self, path, format):  # noqa: N802
        return path, format


@pytest.fixture
def install(monkeypatch):
    """Function that makes a stand-in for a package."""

    def put(name):
        package = StandIn(name)
        monkeypatch.setitem(sys.modules, name, package)
        return package

    return put


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_a_tracker_gets_the_numbers_the_configuration_and_the_evaluation(tmp_path, two_room_data, install, name):
    package = install(name)
    arguments = (*TINY, f"data.path={two_room_data.path}", f"output_dir={tmp_path}", f"tracker={name}")
    assert run_program(train.main, *arguments) is None
    assert (package.begun["project"], package.begun["name"]) == ("lewm", "tiny")
    assert package.settings["training.num_steps"] == 6 and package.settings["planner.name"] == "icem"
    *steps, (_, evaluation) = package.logged
    assert [{"step": step, **values} for step, values in steps] == read_metrics(tmp_path / "tiny")
    assert 0 <= evaluation["evaluation/strict_success"] <= 1
    columns, rows = evaluation["evaluation/policies"]
    assert columns[0] == "policy" and [row[0] for row in rows] == ["model", "random", "no_op", "replay"]
    (video,) = [value for key, value in evaluation.items() if "pair_" in key]
    assert video[0].startswith(str(tmp_path / "tiny" / "videos")) and video[1] == "mp4"
    assert package.is_finished
    assert run_program(train.main, *arguments, "resume=true") is None
    assert package.begun["resume"] == "allow"


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    arguments = (*TINY, f"data.root={tmp_path}/data", f"output_dir={tmp_path}/runs", "tracker=wandb")
    assert_one_line_error(run_program(train.main, *arguments), "tracker=wandb", "uv pip install wandb")
    assert list(tmp_path.iterdir()) == []


def test_a_tracker_that_does_not_start_is_one_line(tmp_path, two_room_data, install):
    def refuse(**arguments):
        raise RuntimeError("no key:\nlog in")

    install("wandb").init = refuse
    arguments = (*TINY, f"data.path={two_room_data.path}", f"output_dir={tmp_path}", "tracker=wandb")
    assert_one_line_error(run_program(train.main, *arguments), "tracker=wandb does not start (no key: log in)")


def test_no_tracker_is_asked_for_nothing(tmp_path, two_room_data, install):
    packages = [install(name) for name in ("trackio", "wandb")]
    arguments = (*TINY_TRAINING_ALONE, f"data.path={two_room_data.path}", f"output_dir={tmp_path}")
    assert run_program(train.main, *arguments) is None
    assert [package.begun for package in packages] == [None, None]


TINY_TRAINING_ALONE = (*TINY, "training.num_steps=2", "evaluation.num_pairs=2", "evaluation.num_videos=0")


def test_another_tracker_than_these_is_refused(tmp_path):
    assert_one_line_error(
        run_program(train.main, "tracker=mlflow", f"output_dir={tmp_path}"), "none", "trackio", "wandb"
    )
