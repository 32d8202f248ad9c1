"""scripts/speedrun.py on a small world, and its parts with a stand-in for train.py and a clock that is set."""

import json
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from lewm.config import SpeedrunConfig, read_run_config
from lewm.run import Run
from scripts import speedrun
from scripts.speedrun import COLUMNS, markdown_header, markdown_row
from tests.programs import TINY, assert_one_line_error, compose, refusal, run_program

QUIET = Console(quiet=True)


class Clock:
    """A clock that stands still unless it is told how many seconds have passed."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(speedrun, "time", clock)
    return clock


@pytest.fixture
def started_now(monkeypatch):
    """The program has just been started; pytest was long ago."""
    monkeypatch.setattr(speedrun, "process_age", lambda: 2.0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a speedrun that has ended, and what it printed."""
    folder = tmp_path_factory.mktemp("speedrun")
    heads = "heads=[{name: inverse_dynamics, num_steps: 40, max_frames: 400, hidden_dim: 8}]"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speedrun, "process_age", lambda: 2.0)
        assert (
            run_program(speedrun.main, *TINY, f"output_dir={folder}", heads, "minutes=9", "evaluation.num_workers=1")
            is None
        )
    return folder / "tiny"


def row_of(run_dir):
    (line,) = (run_dir / "board.jsonl").read_text().splitlines()
    return json.loads(line)


def test_a_speedrun_collects_trains_fits_heads_and_plays(finished):
    run = Run.open(finished)
    assert run.step == 6
    assert "inverse_dynamics" in run.heads
    assert (finished / "results.json").exists()
    assert len(list((finished / "data" / "two_room").iterdir())) == 2  # episodes to train on, and test episodes


def test_its_row_has_what_was_done_and_how_long_each_part_took(finished):
    row, results = row_of(finished), json.loads((finished / "results.json").read_text())
    assert (row["env"], row["steps"], row["frames"], row["split"]) == ("two_room", 6, 6 * 8 * 4, "test")
    assert row["success"] == results["model"]["success"]
    assert (row["success"]["trials"], row["commit"]) == (4, results["identity"]["commit"])
    parts = ("start", "collect", "rehearse", "prepare", "train", "heads", "evaluate")
    assert tuple(part for part in row["seconds"] if part != "total") == parts
    assert all(row["seconds"][part] > 0 for part in parts)
    assert row["seconds"]["total"] == pytest.approx(sum(row["seconds"][part] for part in parts), abs=2)
    assert row["frames_per_second"] == pytest.approx(row["frames"] / row["seconds"]["train"])
    assert row["machine"]["gpu"] is None
    assert row["machine"]["num_cores"] >= 1


def test_its_training_gets_what_is_left_of_the_budget(finished):
    row, limit = row_of(finished), read_run_config(finished / "config.yaml").training.max_seconds
    before = sum(row["seconds"][part] for part in ("start", "collect", "rehearse"))
    assert 1 < limit < 9 * 60 - before


def test_nothing_of_the_rehearsal_is_left(finished):
    assert [path.name for path in finished.parent.iterdir()] == ["tiny"]


def test_a_second_speedrun_of_that_name_is_refused(finished, started_now):
    code = run_program(speedrun.main, *TINY, f"output_dir={finished.parent}")
    assert_one_line_error(code, "begins with nothing", "name=", "tiny")


def test_data_that_were_there_before_have_no_seconds(finished, tmp_path, started_now, capsys):
    words = (f"output_dir={tmp_path}", f"data.root={finished}/data", "reserve=20", "evaluation.num_workers=1")
    assert run_program(speedrun.main, *TINY, *words, "training.num_steps=2", "minutes=1") is None
    row = row_of(tmp_path / "tiny")
    assert (row["seconds"]["collect"], row["steps"]) == (None, 2)
    assert read_run_config(tmp_path / "tiny" / "config.yaml").training.max_seconds < 60 - 20
    printed = capsys.readouterr().out
    assert all(line in printed for line in (*markdown_header(), markdown_row(row)))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("minutes=0.1", "reserve=6"), ("minutes=0.1", "nothing for the training", "6 s are kept")),
        (("minutes=0",), ("minutes=0",)),
        (("reserve=-1",), ("reserve=-1",)),
        (("env=recorded", "data.path=data/mine"), ("env=recorded", "another env=")),
        (("resume=true",), ("no resume=true",)),
        (("trainin.num_steps=5",), ("trainin.num_steps", "training.num_steps")),
    ],
)
def test_a_mistake_is_one_line(words, said, finished, tmp_path, started_now):
    plain = [word for word in TINY if not (words[0] == "env=recorded" and word.startswith("env."))]
    code = run_program(speedrun.main, *plain, f"output_dir={tmp_path}", f"data.root={finished}/data", *words)
    assert_one_line_error(code, *said)
    assert not (tmp_path / "tiny" / "config.yaml").exists()


def test_several_processes_are_refused(monkeypatch, tmp_path, started_now):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert_one_line_error(run_program(speedrun.main, f"output_dir={tmp_path}"), "without accelerate launch")


def test_a_wanted_limit_of_the_training_is_kept():
    assert speedrun.max_seconds(600, 100, 80, None) == 420
    assert speedrun.max_seconds(600, 100, 80, 60) == 60
    assert speedrun.max_seconds(600, 100, 480, 60) == 20
    assert "minutes=10" in refusal(speedrun.max_seconds, 600, 100, 500, 60)


def test_the_rehearsal_is_scaled_up_to_the_whole(monkeypatch, clock):
    asked = []

    def train(config, end_part):
        asked.append(config)
        for part, seconds in (("prepare", 3), ("train", 50), ("heads", 2), ("evaluate", 7)):
            clock.now += seconds
            end_part(part)

    monkeypatch.setattr(speedrun, "train_program", SimpleNamespace(train=train))
    head = "heads=[inverse_dynamics,{name: temporal_distance, num_steps: 50, max_frames: 3001}]"
    config = compose(head, "evaluation.num_pairs=180", program="speedrun", schema=SpeedrunConfig)
    assert speedrun.rehearse(config, QUIET) == 3 + 20 * 2 + 4 * 7
    (small,) = asked
    assert (small.training.num_steps, small.evaluation.num_pairs) == (1, 50)
    assert small.heads == [
        {"name": "inverse_dynamics", "num_steps": 200, "max_frames": 10000},
        {"name": "temporal_distance", "num_steps": 3, "max_frames": 2000},
    ]
    assert small.data == config.data
    assert small.output_dir != config.output_dir


def test_a_stopwatch_ends_one_part_where_the_next_begins(clock):
    watch = speedrun.Stopwatch(95.0)
    watch.end("start")
    clock.now += 3
    watch.end("collect")
    clock.now += 2
    assert (watch.seconds, watch.total) == ({"start": 5.0, "collect": 3.0}, 10.0)


ROW = {
    "env": "two_room",
    "machine": {"cpu": "A CPU", "num_cores": 16, "gpu": None},
    "minutes": 5.0,
    "seconds": {"collect": None, "rehearse": 8.4, "train": 59.6, "heads": 0.0, "evaluate": 40.0, "total": 123.0},
    "frames": 64000,
    "steps": 500,
    "frames_per_second": 1073.2,
    "mfu": 0.305,
    "success": {"successes": 195, "trials": 200, "rate": 0.975, "low": 0.943, "high": 0.989},
    "strict_success": {"successes": 171, "trials": 176, "rate": 0.972, "low": 0.935, "high": 0.988},
    "commit": "0123456789abcdef-dirty",
}


def test_a_row_has_a_cell_for_every_column_and_blanks_for_what_was_not_measured():
    cells = [cell.strip() for cell in markdown_row(ROW).strip("|").split("|")]
    assert cells == [
        *("two_room, A CPU, 16 cores", "123", "", "8", "60", "0", "40", "64,000", "500", "1,073", "30.5%"),
        *("97.5% (195/200; 94.3 to 98.9%)", "97.2% (171/176; 93.5 to 98.8%)", "`0123456`-dirty"),
    ]
    assert len(cells) == len(COLUMNS)
    assert all(line.count("|") == len(COLUMNS) + 1 for line in markdown_header())
    on_gpu = {**ROW, "mfu": None, "machine": {**ROW["machine"], "gpu": "A GPU"}}
    assert markdown_row(on_gpu).startswith("| two_room, A GPU, 16 cores | 123 |  | 8 |")


def test_the_age_of_a_process_counts_from_its_start():
    age = speedrun.process_age()
    assert 0 < age < 24 * 3600
    assert speedrun.process_age() >= age
    assert "torch" in sys.modules  # whose import is part of it
