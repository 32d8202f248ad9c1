"""What a run leaves to read, also after it was interrupted."""

import io
import json
import logging.handlers
import math

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator as PluginEventAccumulator
from tensorboard.util.tb_logging import get_logger

from lewm.errors import InputError
from lewm.files import run_lock
from lewm.tracking import Tracker, progress_bar, read_metrics
from tests.disk import full_disk


def track(run_dir, steps, start=0):
    with Tracker(run_dir, start) as tracker:
        for step in steps:
            tracker.log(step, {"loss/total": 10.0 * step})


def scalars(run_dir, tag):
    """What TensorBoard shows; it must have nothing to say about it."""
    said = logging.handlers.BufferingHandler(99)
    get_logger().addHandler(said)
    try:
        events = EventAccumulator(str(run_dir / "tensorboard"))
        events.Reload()
        curves = PluginEventAccumulator(str(run_dir / "tensorboard"))
        curves.Reload()
    finally:
        get_logger().removeHandler(said)
    assert [record.getMessage() for record in said.buffer] == []
    shown = [(event.step, event.value) for event in events.Scalars(tag)]
    assert [event.step for event in curves.Tensors(tag)] == [step for step, _ in shown]
    return shown


def test_each_step_is_a_line_of_json(tmp_path):
    with Tracker(tmp_path, 0) as tracker:
        tracker.log(4, {"loss/total": 0.5, "train/learning_rate": 1e-3})
        tracker.log(9, {"val/prediction": 0.25})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"step": 4, "loss/total": 0.5, "train/learning_rate": 1e-3}, {"step": 9, "val/prediction": 0.25}]
    assert read_metrics(tmp_path) == lines


def test_a_line_is_on_the_disk_when_it_is_logged(tmp_path):
    with Tracker(tmp_path, 0) as tracker:
        tracker.log(4, {"loss/total": 0.5})
        assert read_metrics(tmp_path) == [{"step": 4, "loss/total": 0.5}]


def test_tensorboard_has_the_same_numbers(tmp_path):
    track(tmp_path, [0, 1, 2])
    assert scalars(tmp_path, "loss/total") == [(0, 0.0), (1, 10.0), (2, 20.0)]


def test_numbers_come_back_as_they_were(tmp_path):
    value = 0.1 + 0.2
    with Tracker(tmp_path, 0) as tracker:
        tracker.log(0, {"a": value})
    assert read_metrics(tmp_path)[0]["a"] == value


@pytest.mark.parametrize("start", [0, 1, 3, 4, 9])
def test_a_resumed_tracker_drops_what_was_logged_from_its_start_on(tmp_path, start):
    track(tmp_path, range(4))
    track(tmp_path, [], start)
    assert [line["step"] for line in read_metrics(tmp_path)] == list(range(min(start, 4)))


def test_a_resumed_run_has_every_step_once(tmp_path):
    track(tmp_path, range(6))
    track(tmp_path, range(3, 8), start=3)
    assert read_metrics(tmp_path) == [{"step": step, "loss/total": 10.0 * step} for step in range(8)]
    assert [step for step, _ in scalars(tmp_path, "loss/total")] == list(range(8))


@pytest.mark.parametrize("starts", [(3, 5), (5, 3), (3, 3), (0, 2), (6,), (9,)])
def test_curves_of_a_run_that_was_resumed_again_and_again_read_as_one(tmp_path, starts):
    track(tmp_path, range(6))
    for start in starts:
        track(tmp_path, range(start, start + 4), start)
    steps = [line["step"] for line in read_metrics(tmp_path)]
    assert scalars(tmp_path, "loss/total") == [(step, 10.0 * step) for step in steps]
    assert len(steps) == len(set(steps))


@pytest.mark.parametrize("num_lost", [1, 20, 200])
def test_curves_of_a_killed_run_whose_last_event_is_half_written_go_on(tmp_path, num_lost):
    track(tmp_path, range(6))
    (events,) = (tmp_path / "tensorboard").iterdir()
    events.write_bytes(events.read_bytes()[:-num_lost])
    track(tmp_path, range(3, 8), start=3)
    shown = [step for step, _ in scalars(tmp_path, "loss/total")]
    assert shown[-5:] == list(range(3, 8)) and shown == sorted(set(shown))


def test_a_tensorboard_that_is_looking_on_is_told_what_no_longer_counts(tmp_path):
    track(tmp_path, range(6))
    watching = EventAccumulator(str(tmp_path / "tensorboard"))
    watching.Reload()
    track(tmp_path, range(3, 8), start=3)
    watching.Reload()
    assert [event.step for event in watching.Scalars("loss/total")] == list(range(8))


def test_two_lines_of_one_step_are_both_kept_or_both_dropped(tmp_path):
    track(tmp_path, [0, 1, 1, 2, 2])
    track(tmp_path, [], start=2)
    assert [line["step"] for line in read_metrics(tmp_path)] == [0, 1, 1]


def test_a_last_line_that_was_cut_off_does_not_hinder_resuming(tmp_path):
    track(tmp_path, range(4))
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text()[:-9])  # of a full disk, or a machine that lost power
    track(tmp_path, [3], start=3)
    assert [line["step"] for line in read_metrics(tmp_path)] == [0, 1, 2, 3]


def test_a_last_line_that_is_still_being_written_is_left_out(tmp_path):
    track(tmp_path, range(4))
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text()[:-9])
    assert [line["step"] for line in read_metrics(tmp_path)] == [0, 1, 2]


@pytest.mark.parametrize("damage", ["garbage", "{}", '{"step": "1"}', "[1]", '{"step": 1', "\x00\x00", "\udcff"])
def test_a_damaged_line_is_named_and_nothing_is_lost(tmp_path, damage):
    track(tmp_path, range(4))
    path = tmp_path / "metrics.jsonl"
    lines = path.read_text().splitlines()
    written = "\n".join([*lines[:2], damage, *lines[2:], ""]).encode(errors="surrogateescape")
    path.write_bytes(written)
    for read in (read_metrics, lambda folder: Tracker(folder, 3)):
        with pytest.raises(InputError, match=rf"^line 3 of {path} is damaged: .*; remove that line$"):
            read(tmp_path)
    assert path.read_bytes() == written


def test_resuming_on_a_full_disk_loses_nothing_that_was_logged(tmp_path):
    track(tmp_path, range(50))
    with pytest.raises(OSError, match="File too large"), full_disk(300):
        Tracker(tmp_path, 40)
    assert [line["step"] for line in read_metrics(tmp_path)] == list(range(50))


def test_what_was_logged_before_an_error_is_kept(tmp_path):
    def log_and_fail():
        with Tracker(tmp_path, 0) as tracker:
            tracker.log(0, {"loss/total": 1.0})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        log_and_fail()
    assert read_metrics(tmp_path) == [{"step": 0, "loss/total": 1.0}]
    assert scalars(tmp_path, "loss/total") == [(0, 1.0)]


def test_a_number_that_is_not_finite_can_be_read_again(tmp_path):
    with Tracker(tmp_path, 0) as tracker:
        tracker.log(0, {"probe/r2_constant": math.nan})
    assert math.isnan(read_metrics(tmp_path)[0]["probe/r2_constant"])


def test_a_run_folder_is_written_by_one_process_at_a_time(tmp_path):
    with run_lock(tmp_path / "run"), pytest.raises(InputError, match=str(tmp_path / "run")), run_lock(tmp_path / "run"):
        pass


def test_a_run_folder_is_let_go_however_a_process_ends(tmp_path):
    def lock_and_fail():
        with run_lock(tmp_path / "run"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        lock_and_fail()
    with run_lock(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()


def test_a_bar_shows_counts_and_its_unit():
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with progress_bar(console) as progress:
        bar = progress.add_task("training", total=7, unit="steps")
        for _ in range(7):
            progress.advance(bar)
    assert "training" in console.file.getvalue()
    assert "7/7" in console.file.getvalue()
    assert "steps/s" in console.file.getvalue()


def test_a_number_that_is_nan_is_null_in_the_file_and_nan_when_it_is_read(tmp_path):
    with Tracker(tmp_path, 0) as tracker:
        tracker.log(0, {"loss/total": math.nan, "loss/prediction": math.inf, "train/std": 1.5})
    text = (tmp_path / "metrics.jsonl").read_text()
    assert "NaN" not in text and "Infinity" not in text
    (line,) = read_metrics(tmp_path)
    assert math.isnan(line["loss/total"]) and math.isnan(line["loss/prediction"])
    assert line["train/std"] == 1.5


@pytest.mark.parametrize("garbage", [b"\xff\xfe}", b"{1: 2}", b"[1]}", b'{"loss": 1}', b'{"step": "one"}', b"}"])
def test_a_damaged_line_is_refused_by_its_number(tmp_path, garbage):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 0, "loss": 1.0}\n' + garbage + b"\n")
    for read in (lambda: read_metrics(tmp_path), lambda: Tracker(tmp_path, 5)):
        with pytest.raises(InputError, match=r"line 2 of .* is damaged") as error:
            read()
        assert "\n" not in str(error.value)
