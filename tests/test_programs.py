"""The programs as their users run them: the quickstart, mistakes, interruptions, full disks."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

import train
from lewm import precision
from lewm.config import CONFIGS, TrainConfig, from_dict
from lewm.data import collection
from lewm.data.clips import Clips
from lewm.data.episodes import Episodes
from lewm.errors import InputError
from lewm.evaluation.evaluation_episodes import path_of_test_episodes
from lewm.files import run_lock
from lewm.run import Run
from lewm.tracking import read_metrics
from lewm.training import model_spec
from lewm.training.checkpoint import Checkpoint, latest_checkpoint
from scripts import collect, plan
from tests import LAST_NET_S
from tests.disk import full_disk
from tests.programs import TINY, TINY_EVALUATION, assert_one_line_error, compose, run_program

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}


def snapshot(folder):
    """Every file of a folder with its time and its content, but for the lock, which is empty and touched."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def read_json(path):
    return json.loads(path.read_text())


def outcomes(folder):
    """What an evaluation found, without what a clock measured and which process it was."""
    results = read_json(folder / "results.json")
    return {key: results[key] for key in ("protocol", "model", "baselines", "already_solved", "diagnostics", "pairs")}


def pairs_of(folder):
    return [(pair["episode"], pair["step"]) for pair in read_json(folder / "results.json")["pairs"]]


# The quickstart, shrunk.


QUICKSTART = (
    "name=shrunk",
    "num_threads=1",
    "env.collection.num_episodes=40",
    "env.collection.num_test_episodes=10",
    "training.num_steps=60",
    "training.batch_size=16",
    "training.log_every=10",
    "training.validate_every=30",
    "training.checkpoint_every=30",
    "evaluation.num_pairs=8",
    "evaluation.num_videos=1",
    "planner.num_samples=16",
    "planner.num_elites=4",
    "planner.num_iterations=2",
)


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """The finished process of the README's first command, its run folder and its arguments."""
    folder = tmp_path_factory.mktemp("quickstart")
    arguments = (*QUICKSTART, f"data.path={folder}/data", f"output_dir={folder}/runs")
    accelerate = str(Path(sys.executable).with_name("accelerate"))
    process = subprocess.run(
        [accelerate, "launch", "train.py", *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=LAST_NET_S,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return process, folder / "runs" / "shrunk", arguments


def test_the_quickstart_says_where_its_results_are(quickstart):
    process, run_dir, _ = quickstart
    printed = process.stdout.replace("\n", "")
    for name in ("results.json", "overview.png", "videos"):
        assert str(run_dir / name) in printed
    for row in ("model", "random", "no_op", "replay"):
        assert row in printed
    assert "Traceback" not in process.stderr


def test_the_quickstart_leaves_a_complete_run_folder(quickstart):
    run_dir = quickstart[1]
    names = {str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file()}
    fixed = {
        "config.yaml",
        "process.json",
        "metrics.jsonl",
        "results.json",
        "manifest.json",
        "traces.npz",
        "report.html",
        "overview.png",
        *(f"checkpoints/step_0000060/{name}.safetensors" for name in ("model", "optimizer", "regularizer")),
        "checkpoints/step_0000060/model.json",
    }
    assert fixed <= names
    others = sorted(name.split("/")[0] for name in names - fixed)
    assert others == ["lock", "tensorboard", "videos"]


def test_every_file_of_the_quickstart_may_be_read_by_whom_the_umask_lets(quickstart):
    umask = os.umask(0o022)
    os.umask(umask)
    files = [path for path in quickstart[1].parents[1].rglob("*") if path.is_file()]
    closed = [str(path) for path in files if path.stat().st_mode & 0o666 != 0o666 & ~umask]
    assert len(files) > 20 and closed == []


def test_the_loss_of_the_quickstart_falls(quickstart):
    losses = [line["loss/total"] for line in read_metrics(quickstart[1]) if "loss/total" in line]
    assert len(losses) == 6
    assert np.mean(losses[-3:]) < 0.9 * losses[0]


def test_the_run_folder_holds_the_configuration_and_the_command(quickstart):
    _, run_dir, arguments = quickstart
    saved = OmegaConf.to_container(OmegaConf.load(run_dir / "config.yaml"))
    assert from_dict(saved, TrainConfig) == compose(*arguments)
    assert read_json(run_dir / "process.json")["command"] == ["accelerate", "launch", "train.py", *arguments]


def test_results_hold_rates_with_their_intervals_for_the_model_and_the_floors(quickstart):
    results = read_json(quickstart[1] / "results.json")
    assert set(results["baselines"]) == {"random", "no_op", "replay"}
    for row in [results["model"], *results["baselines"].values()]:
        rates = {name: value for name, value in row.items() if name != "final_distance"}
        assert set(rates) == {"success", "success_at_end", "strict_success", "strict_success_at_end"}
        for rate in rates.values():
            assert 0 <= rate["low"] <= rate["rate"] <= rate["high"] <= 1
            assert rate["low"] < rate["high"]
            assert rate["rate"] == rate["successes"] / rate["trials"]
    assert results["baselines"]["replay"]["success"]["rate"] == 1
    assert results["baselines"]["no_op"]["strict_success"]["rate"] == 0


def test_results_hold_probes_speed_and_where_they_come_from(quickstart):
    _, run_dir, arguments = quickstart
    results = read_json(run_dir / "results.json")
    assert {"probe/r2_agent_x", "probe/r2_agent_y", "val/effective_rank"} <= set(results["diagnostics"])
    assert results["planning"]["milliseconds_per_plan_median"] > 0
    assert (results["identity"]["run"], results["identity"]["step"]) == ("shrunk", 60)
    assert results["identity"]["command"] == ["accelerate", "launch", "train.py", *arguments]
    assert results["protocol"]["num_pairs"] == len(results["pairs"]) == 8


def test_pairs_are_those_of_the_manifest_and_from_episodes_collected_for_evaluation_alone(quickstart):
    _, run_dir, arguments = quickstart
    manifest, config = read_json(run_dir / "manifest.json"), compose(*arguments)
    data = Episodes(path_of_test_episodes(Path(config.data.path), config.env))
    assert len(data) == 10
    assert manifest["dataset_hash"] == data.content_hash != Episodes(config.data.path).content_hash
    assert pairs_of(run_dir) == list(zip(manifest["episodes"], manifest["steps"], strict=True))
    assert len(set(manifest["episodes"])) == 8
    results = read_json(run_dir / "results.json")
    assert results["protocol"]["split"] == "test"
    assert results["source"]["dataset"] == str(data.path)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # imageio's, while it reads
def test_pictures_and_videos_can_be_looked_at(quickstart):
    run_dir = quickstart[1]
    assert iio.imread(run_dir / "overview.png").std() > 0
    (video,) = (run_dir / "videos").iterdir()
    frames = iio.imread(video)
    assert frames.shape[0] == 51 and frames.shape[1] == 2 * 64 and frames.shape[2] > 3 * 2 * 64  # and gaps


def test_the_same_command_again_is_refused_and_changes_nothing(quickstart):
    _, run_dir, arguments = quickstart
    before = snapshot(run_dir.parents[1])
    assert_one_line_error(run_program(train.main, *arguments), str(run_dir), "resume=true", "name=")
    assert snapshot(run_dir.parents[1]) == before


def test_planning_again_writes_its_own_results_on_the_same_pairs(quickstart):
    _, run_dir, _ = quickstart
    before = snapshot(run_dir)
    planner = (
        "planner=cem",
        "planner.num_samples=8",
        "planner.num_elites=2",
        "planner.num_iterations=1",
        "planning.horizon=2",
    )
    pairs = ("evaluation.num_pairs=8", "evaluation.num_videos=1")
    assert (
        run_program(plan.main, f"run={run_dir}", "name=again", "device=cpu", "num_threads=1", *planner, *pairs) is None
    )
    assert pairs_of(run_dir / "again") == pairs_of(run_dir)
    assert read_json(run_dir / "again" / "manifest.json") == read_json(run_dir / "manifest.json")
    after = snapshot(run_dir)
    assert {name: after[name] for name in before} == before
    written = {name.split("/")[1] for name in after if name.startswith("again/")}
    assert written == {"results.json", "manifest.json", "traces.npz", "report.html", "overview.png", "videos"}


# Runs of seconds in this process.


def arguments_in(folder, data, *overrides):
    return (*TINY, f"data.path={data.path}", f"output_dir={folder}", *overrides)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, two_room_data):
    """The folder of a finished tiny run."""
    folder = tmp_path_factory.mktemp("runs")
    assert run_program(train.main, *arguments_in(folder, two_room_data)) is None
    return folder / "tiny"


@pytest.fixture
def copied(tiny, tmp_path):
    """A copy of it that a test may change, as if it had been made there."""
    shutil.copytree(tiny, tmp_path / "tiny")
    config = tmp_path / "tiny" / "config.yaml"
    config.write_text(config.read_text().replace(str(tiny.parent), str(tmp_path)))
    return tmp_path / "tiny"


def test_the_launchers_precision_is_used_and_named_in_checkpoint_results_report_and_when_it_is_changed(
    tmp_path, two_room_data, tiny, monkeypatch, capsys
):
    arguments, folder = arguments_in(tmp_path, two_room_data, "training.num_steps=3"), tmp_path / "tiny"
    with monkeypatch.context() as launched:
        launched.setenv("ACCELERATE_MIXED_PRECISION", "bf16")  # as accelerate launch --mixed_precision bf16 does
        assert run_program(train.main, *arguments) is None
    assert "precision bfloat16, num_processes 1" in capsys.readouterr().out
    expected = {"device": "cpu", "precision": "bfloat16", "num_processes": 1, "num_threads": 1}
    assert Checkpoint.open(latest_checkpoint(folder)).trained_on == expected
    assert read_json(folder / "results.json")["identity"]["trained_on"] == expected
    assert "<dt>precision</dt><dd>bfloat16</dd>" in (folder / "report.html").read_text()
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    assert run_program(train.main, *arguments, "resume=true") is None
    assert "goes on with precision float32 (before: bfloat16)" in capsys.readouterr().out.replace("\n", " ")


class InterruptedClips(Clips):
    """Clips of a user who presses Ctrl-C when the third batch is read; before that, a Validation is drawn."""

    num_read = 0

    def __getitems__(self, indices):
        self.num_read += 1
        if self.num_read == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return super().__getitems__(indices)


def test_an_interrupted_training_ends_with_130_and_goes_on_to_the_same_weights_and_results(
    tmp_path, two_room_data, tiny, monkeypatch, capsys
):
    arguments = arguments_in(tmp_path, two_room_data)
    with monkeypatch.context() as patched:
        patched.setattr(model_spec, "Clips", InterruptedClips)
        assert run_program(train.main, *arguments) == 130
    assert Checkpoint.open(latest_checkpoint(tmp_path / "tiny")).step == 3
    assert "resume=true name=tiny" in capsys.readouterr().out
    assert not (tmp_path / "tiny" / "results.json").exists()
    assert run_program(train.main, *arguments, "resume=true") is None
    for name in ("model.safetensors", "optimizer.safetensors"):
        resumed, whole = (latest_checkpoint(run) / name for run in (tmp_path / "tiny", tiny))
        assert resumed.read_bytes() == whole.read_bytes()
    assert outcomes(tmp_path / "tiny") == outcomes(tiny)


def test_a_resumed_run_keeps_the_action_statistics_that_it_was_begun_with(tmp_path, two_room_data, monkeypatch):
    arguments = arguments_in(tmp_path, two_room_data)
    with monkeypatch.context() as patched:
        patched.setattr(model_spec, "Clips", InterruptedClips)
        assert run_program(train.main, *arguments) == 130
    file = latest_checkpoint(tmp_path / "tiny") / "model.json"
    described = json.loads(file.read_text())
    described["normalizer"]["std"] = [0.25, 0.75]  # as another version may have fitted them
    file.write_text(json.dumps(described))
    assert run_program(train.main, *arguments, "resume=true") is None
    last = Checkpoint.open(latest_checkpoint(tmp_path / "tiny"))
    assert last.path != file.parent
    assert last.spec.normalizer.std == (0.25, 0.75)


def test_resuming_a_finished_run_evaluates_it_again_and_trains_nothing(copied, tiny, two_room_data):
    (copied / "results.json").unlink()
    before = snapshot(copied / "checkpoints")
    assert run_program(train.main, *arguments_in(copied.parent, two_room_data, "resume=true")) is None
    assert snapshot(copied / "checkpoints") == before
    assert read_metrics(copied) == read_metrics(tiny)
    assert outcomes(copied) == outcomes(tiny)


def test_a_run_is_resumed_with_another_planner(copied, two_room_data):
    changed = ("resume=true", "planner.num_samples=5", "planning.horizon=1", "evaluation.num_pairs=3")
    assert run_program(train.main, *arguments_in(copied.parent, two_room_data, *changed)) is None
    assert len(pairs_of(copied)) == 3


def test_a_run_is_not_resumed_with_another_learning_rate(copied, two_room_data):
    before = snapshot(copied)
    changed = ("resume=true", "training.learning_rate=0.5")
    code = run_program(train.main, *arguments_in(copied.parent, two_room_data, *changed))
    assert_one_line_error(code, str(copied), "training.learning_rate=0.001", "not 0.5", "name=")
    assert snapshot(copied) == before


def test_a_run_is_not_resumed_on_other_data(copied, two_room_data, tmp_path):
    path = tmp_path / "data"
    shutil.copytree(two_room_data.path, path)
    moved = (f"output_dir={tmp_path}/moved", f"data.path={path}", "training.num_steps=3")
    assert run_program(train.main, *TINY, *moved) is None
    shutil.rmtree(path)
    collection = ("env.frame_size=48", "env.collection.num_episodes=12", "env.collection.max_steps=40")
    assert run_program(collect.main, *collection, "env.collection.seed=1", f"data_path={path}") is None
    before = snapshot(tmp_path / "moved")
    assert_one_line_error(run_program(train.main, *TINY, *moved, "resume=true"), str(path))
    assert snapshot(tmp_path / "moved") == before


def test_a_run_whose_folder_was_moved_can_be_resumed(tiny, tmp_path, two_room_data):
    shutil.copytree(tiny, tmp_path / "tiny")
    assert run_program(train.main, *arguments_in(tmp_path, two_room_data, "resume=true")) is None


def test_a_run_that_another_process_is_writing_is_left_alone(copied, two_room_data):
    before = snapshot(copied)
    with run_lock(copied):
        code = run_program(train.main, *arguments_in(copied.parent, two_room_data, "resume=true"))
    assert_one_line_error(code, str(copied), "another process", "name=")
    assert snapshot(copied) == before


def test_resuming_without_a_run_is_refused(tmp_path, two_room_data):
    code = run_program(train.main, *arguments_in(tmp_path, two_room_data, "resume=true"))
    assert_one_line_error(code, str(tmp_path / "tiny"), "name=tiny")
    assert snapshot(tmp_path) == {}


def test_a_run_that_was_killed_before_its_first_checkpoint_is_resumed_from_the_start(copied, tiny, two_room_data):
    shutil.rmtree(copied / "checkpoints")
    assert run_program(train.main, *arguments_in(copied.parent, two_room_data, "resume=true")) is None
    resumed, whole = (latest_checkpoint(run) / "model.safetensors" for run in (copied, tiny))
    assert resumed.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.batch_size=100000", ["training.batch_size=100000", "215 clips"]),
        ("training.num_frames=5", ["training.num_frames=5", "model.context=3"]),
        ("training.precision=half", ["training.precision='half'", "bfloat16"]),
        ("device=tpu", ["device='tpu'", "cpu"]),
        ("env.frameskip=20", ["frameskip=20", "60 steps", "40", "env.frameskip", "training.num_frames"]),
        ("env.frame_size=64", ["48", "64", "env.frame_size"]),
        ("env.id=envs:lewm/PushT-v0", ["envs:lewm/TwoRoom-v0", "envs:lewm/PushT-v0", "data path"]),
        ("env.id=envs:lewm/Other-v0", ["cannot make env.id=envs:lewm/Other-v0"]),
        ("model.encoder.patch_size=7", ["patch_size=7", "48"]),
        ("two_room", ["two_room"]),
    ],
)
def test_a_value_that_cannot_be_trained_with_is_refused_in_one_line(tmp_path, two_room_data, override, words):
    assert_one_line_error(run_program(train.main, *arguments_in(tmp_path, two_room_data, override)), *words)


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("planning.num_executed=9", "planning.num_executed=9"),
        ("planning.horizon=0", "planning.horizon=0"),
        ("planner.num_elites=7", "num_elites=7"),
        ("evaluation.num_pairs=10000", "evaluation.num_pairs=10000"),
        ("evaluation.budget=0", "evaluation.budget=0"),
    ],
)
def test_planning_that_cannot_be_done_is_refused_before_training(tmp_path, two_room_data, override, word):
    assert_one_line_error(run_program(train.main, *arguments_in(tmp_path, two_room_data, override)), word)
    assert latest_checkpoint(tmp_path / "tiny") is None


@pytest.mark.parametrize(
    ("mistake", "word"),
    [
        ("env.collection.expert.name=two_rom", "did you mean"),
        ("heads=[inverse]", "did you mean"),
        ("heads=[{name: inverse_dynamics, num_step: 1}]", "did you mean 'num_steps'"),
        ("env.kwargs.door=3", "door"),
        ("planner.num_elites=7", "num_elites=7"),
        ("training.num_frames=9", "training.num_frames=9"),
        ("model.encoder.patch_size=7", "patch_size=7"),
        ("model.predictor.num_head=2", "num_head"),
        ("regularizer.num_directions=0", "num_directions=0"),
        ("planning.window=9", "planning.window=9"),
        ("planning.goal_cost=temporal_distance", "heads=[temporal_distance]"),
        ("init_from=runs/none", "runs/none"),
    ],
)
def test_a_mistake_that_needs_no_data_is_found_before_there_is_a_run_folder(tmp_path, two_room_data, mistake, word):
    assert_one_line_error(run_program(train.main, *arguments_in(tmp_path, two_room_data, mistake)), word)
    assert list(tmp_path.iterdir()) == []


def test_training_fits_the_heads_that_its_evaluation_acts_by(tmp_path, two_room_data):
    head = "heads=[{name: inverse_dynamics, num_steps: 20, hidden_dim: 16, max_frames: 200}]"
    assert run_program(train.main, *arguments_in(tmp_path, two_room_data, head, "planning.proposal=amortized")) is None
    run = tmp_path / "tiny"
    assert read_json(run / "heads" / "inverse_dynamics" / "head.json")["fitting"]["num_steps"] == 20
    assert run_program(plan.main, *plan_arguments(run, "planning.proposal=amortized")) is None
    assert outcomes(run / "plan") == outcomes(run)


@pytest.mark.parametrize("mistake", ["training.batch_size=100000", "env.frameskip=20", "model.encoder.patch_size=7"])
def test_a_refused_start_does_not_stand_in_the_way_of_the_corrected_one(tmp_path, two_room_data, mistake):
    assert_one_line_error(run_program(train.main, *arguments_in(tmp_path, two_room_data, mistake)))
    assert run_program(train.main, *arguments_in(tmp_path, two_room_data)) is None


def test_pairs_that_are_all_solved_at_the_start_can_be_evaluated(tmp_path, two_room_data):
    assert run_program(train.main, *arguments_in(tmp_path, two_room_data, "evaluation.offset=1")) is None
    results = read_json(tmp_path / "tiny" / "results.json")
    assert results["already_solved"] == 1
    assert results["model"]["strict_success"]["trials"] == 0


def foreign_folder(path):
    path.mkdir()
    (path / "notes.txt").write_text("not a dataset")


@pytest.mark.parametrize(
    ("make", "words"),
    [(foreign_folder, ["not a dataset", "data path"]), (Path.touch, []), (Path.mkdir, ["not a dataset", "data path"])],
)
def test_a_data_path_that_is_no_dataset_is_refused_and_left_as_it_is(tmp_path, two_room_data, make, words):
    path = tmp_path / "data"
    make(path)
    before = snapshot(tmp_path)
    code = run_program(train.main, *arguments_in(tmp_path / "runs", two_room_data, f"data.path={path}"))
    assert_one_line_error(code, str(path), *words)
    assert {name: value for name, value in snapshot(tmp_path).items() if name.startswith("data")} == before


# Planning with a trained run.


def plan_arguments(run_dir, *overrides):
    return (f"run={run_dir}", "device=cpu", "num_threads=1", *TINY_EVALUATION, *overrides)


def test_planning_with_the_settings_of_the_training_finds_what_it_found(copied):
    assert run_program(plan.main, *plan_arguments(copied)) is None
    assert outcomes(copied / "plan") == outcomes(copied)


def test_planning_with_another_seed_keeps_the_pairs(copied):
    assert run_program(plan.main, *plan_arguments(copied, "seed=1", "name=other")) is None
    assert pairs_of(copied / "other") == pairs_of(copied)
    assert outcomes(copied / "other") != outcomes(copied)


def test_planning_needs_no_optimizer(copied):
    (latest_checkpoint(copied) / "optimizer.safetensors").unlink()
    assert run_program(plan.main, *plan_arguments(copied)) is None


def test_planning_with_moved_data_is_told_where_they_are(copied, two_room_data, tmp_path):
    shutil.copytree(two_room_data.path, tmp_path / "moved")
    assert run_program(plan.main, *plan_arguments(copied, f"data_path={tmp_path}/moved")) is None
    assert outcomes(copied / "plan") == outcomes(copied)


def test_planning_without_a_run_says_what_is_missing():
    assert_one_line_error(run_program(plan.main, "device=cpu"), "run=")


@pytest.mark.parametrize("make", [None, Path.mkdir, foreign_folder])
def test_planning_with_a_folder_that_is_no_run_is_refused(tmp_path, make):
    if make is not None:
        make(tmp_path / "run")
    assert_one_line_error(
        run_program(plan.main, *plan_arguments(tmp_path / "run")), f"{tmp_path}/run holds no checkpoint"
    )


def test_planning_with_a_damaged_checkpoint_is_refused(copied):
    weights = latest_checkpoint(copied) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert_one_line_error(run_program(plan.main, *plan_arguments(copied)), str(weights))


def edit_metadata(path, **changes):
    described = read_json(path / "metadata.json")
    described["metadata"] |= changes
    (path / "metadata.json").write_text(json.dumps(described))


def double_actions(path):
    """Makes an action of four numbers of one of two."""
    np.save(path / "actions.npy", np.load(path / "actions.npy").repeat(2, 1))
    edit_metadata(path, action_low=[-1.0] * 4, action_high=[1.0] * 4)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (shutil.rmtree, ["no dataset", "lewm collect"]),
        (lambda path: edit_metadata(path, env_id="envs:lewm/Other-v0"), ["envs:lewm/Other-v0", "envs:lewm/TwoRoom-v0"]),
        (lambda path: edit_metadata(path, frame_size=64), ["64", "48"]),
        (lambda path: double_actions(path), ["4", "2", "data_path"]),
    ],
)
def test_planning_on_data_that_do_not_fit_the_model_is_refused(copied, two_room_data, tmp_path, damage, words):
    path = tmp_path / "data"
    shutil.copytree(two_room_data.path, path)
    damage(path)
    code = run_program(plan.main, *plan_arguments(copied, f"data_path={path}"))
    assert_one_line_error(code, str(path), *words)
    assert not (copied / "plan").exists()


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("planning.num_executed=9", "planning.num_executed=9"),
        ("planner.num_elites=7", "num_elites=7"),
        ("evaluation.offset=41", "evaluation.offset=41"),
        ("device=tpu", "device='tpu'"),
        ("model=paper", "model"),
    ],
)
def test_planning_that_cannot_be_done_is_refused_in_one_line(copied, override, word):
    assert_one_line_error(run_program(plan.main, *plan_arguments(copied, override)), word)
    assert not (copied / "plan" / "results.json").exists()


# Collecting.


COLLECTION = ("env.frame_size=48", "env.collection.num_episodes=3", "env.collection.max_steps=20")


def test_collecting_leaves_a_dataset_and_says_where(tmp_path, capsys):
    path = tmp_path / "data"
    assert run_program(collect.main, *COLLECTION, f"data_path={path}") is None
    data = Episodes(path)
    assert len(data) == 3
    printed = capsys.readouterr().out.replace("\n", "")
    assert f"{len(data.pixels)} frames" in printed
    assert str(path) in printed


def test_collecting_where_something_is_is_refused_and_changes_nothing(tmp_path):
    foreign_folder(tmp_path / "data")
    before = snapshot(tmp_path)
    code = run_program(collect.main, *COLLECTION, f"data_path={tmp_path}/data")
    assert_one_line_error(code, f"{tmp_path}/data", "exists already")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("env.collection.expert.name=two_rooms", "'two_room'"),
        ("env.frame_size=8", "frame_size"),
        ("env.id=envs:lewm/TwoRooms-v0", "lewm/TwoRooms"),
        ("env.id=enws:lewm/TwoRoom-v0", "enws"),
    ],
)
def test_what_cannot_be_collected_is_refused_in_one_line(tmp_path, override, word):
    code = run_program(collect.main, *COLLECTION, f"data_path={tmp_path}/data", override)
    assert_one_line_error(code, word)
    assert list(tmp_path.iterdir()) == []


# A full disk.


def test_a_disk_that_is_full_while_collecting_leaves_no_dataset_and_can_be_mended(tmp_path):
    arguments = (*COLLECTION, f"data_path={tmp_path}/data")
    with full_disk(100_000):
        assert_one_line_error(run_program(collect.main, *arguments), str(tmp_path))
    assert not (tmp_path / "data").exists()
    assert run_program(collect.main, *arguments) is None
    assert len(Episodes(tmp_path / "data")) == 3


def test_a_disk_that_is_full_while_training_ends_it_in_one_line_and_can_be_mended(tmp_path, two_room_data, tiny):
    size = (latest_checkpoint(tiny) / "optimizer.safetensors").stat().st_size
    arguments = arguments_in(tmp_path, two_room_data)
    with full_disk(size - 1):
        assert_one_line_error(run_program(train.main, *arguments), str(tmp_path / "tiny" / "checkpoints"))
    assert latest_checkpoint(tmp_path / "tiny") is None
    assert run_program(train.main, *arguments, "resume=true") is None
    resumed, whole = (latest_checkpoint(run) / "model.safetensors" for run in (tmp_path / "tiny", tiny))
    assert resumed.read_bytes() == whole.read_bytes()


def test_a_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path, two_room_data):
    (tmp_path / "runs").write_text("a file in the place of the folder")
    assert_one_line_error(run_program(train.main, *arguments_in(tmp_path / "runs", two_room_data)), str(tmp_path))


# The command line.


@pytest.mark.parametrize("program", [train, plan, collect])
def test_help_lists_the_groups_and_their_options(program, capsys):
    assert run_program(program.main, "--help") in (None, 0)
    printed = capsys.readouterr().out
    defaults = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{program.__name__.split('.')[-1]}.yaml"))["defaults"]
    groups = [name for entry in defaults if isinstance(entry, dict) for name in entry if (CONFIGS / name).is_dir()]
    assert groups
    for group in groups:
        options = ", ".join(sorted(path.stem for path in (CONFIGS / group).glob("*.yaml")))
        assert f"{group}: {options}" in printed


def test_one_command_trains_several_seeds(tmp_path, two_room_data):
    arguments = [argument for argument in arguments_in(tmp_path, two_room_data) if argument != "name=tiny"]
    short = ("training.num_steps=2", "evaluation.budget=1")
    assert run_program(train.main, "-m", "seed=0,1", *arguments, *short) is None
    runs = [tmp_path / f"two_room_micro_sigreg_seed{seed}" for seed in (0, 1)]
    assert all((run / "results.json").exists() for run in runs)
    weights = {(latest_checkpoint(run) / "model.safetensors").read_bytes() for run in runs}
    assert len(weights) == 2
    assert pairs_of(runs[0]) == pairs_of(runs[1])


def test_a_mistake_prints_one_line_and_nothing_else():
    process = subprocess.run(
        [sys.executable, "train.py", "trainin.num_steps=5"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=LAST_NET_S,
    )
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr == "error: unknown key 'trainin.num_steps'; did you mean 'training.num_steps'?\n"


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_reaches_the_workers_too_and_still_leaves_a_checkpoint(tmp_path, two_room_data):
    endless = ("training.num_steps=1000000", "data.num_workers=1", "training.checkpoint_every=1000000")
    process = subprocess.Popen(
        [
            sys.executable,
            "train.py",
            *arguments_in(tmp_path, two_room_data, *endless, "training.validate_every=1000000"),
        ],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    metrics = tmp_path / "tiny" / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and len(metrics.read_bytes().splitlines()) > 5):
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    printed, errors = process.communicate(timeout=LAST_NET_S)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "resume=true name=tiny" in printed
    assert Checkpoint.open(latest_checkpoint(tmp_path / "tiny")).step == read_metrics(tmp_path / "tiny")[-1]["step"] + 1


@pytest.mark.slow
def test_two_processes_train_and_evaluate_as_one_does(tmp_path, two_room_data, tiny):
    accelerate = str(Path(sys.executable).with_name("accelerate"))
    launch = [accelerate, "launch", "--config_file", "scripts/two_cpu_ranks.yaml", "train.py"]
    process = subprocess.run(
        [*launch, *arguments_in(tmp_path, two_room_data)],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=LAST_NET_S,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    assert pairs_of(tmp_path / "tiny") == pairs_of(tiny)
    losses, expected = (
        [line["loss/total"] for line in read_metrics(run) if "loss/total" in line] for run in (tmp_path / "tiny", tiny)
    )
    assert losses == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("env", ["two_room", "push_t"])
def test_the_papers_experiment_says_how_much_disk_it_needs_before_it_collects(tmp_path, monkeypatch, capsys, env):
    def record_nothing(*_):
        raise InputError(f"recording begins after: {capsys.readouterr().out!r}")

    monkeypatch.setattr(collection, "ChunkRecorder", record_nothing)
    arguments = ("experiment=paper", f"env={env}", f"data.root={tmp_path}/data", f"output_dir={tmp_path}/runs")
    code = run_program(train.main, *arguments, "device=cpu", "name=paper")
    assert_one_line_error(code, "recording begins after", "GB are free in")
    size = compose("experiment=paper", f"env={env}").env
    num_frames = size.collection.num_episodes * (size.collection.max_steps + 1)
    assert size.frame_size == 224 and num_frames > 10**6
    assert f"takes up to {num_frames * 224 * 224 * 3 / 1e9:,.0f} GB" in code


WITHOUT_IMAGEIO = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("imageio", "imageio_ffmpeg"):
            raise ModuleNotFoundError(f"no {name}")

sys.meta_path.insert(0, Missing())
import train
train.main()
assert "train" in sys.modules and not any(name.startswith("imageio") for name in sys.modules)
"""


@pytest.mark.parametrize(("num_videos", "works"), [(0, True), (1, False)])
def test_a_training_that_films_nothing_needs_neither_imageio_nor_ffmpeg(tmp_path, two_room_data, num_videos, works):
    words = (*arguments_in(tmp_path, two_room_data, "training.num_steps=2"), f"evaluation.num_videos={num_videos}")
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT_IMAGEIO, *words],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=LAST_NET_S,
    )
    assert (process.returncode == 0) == works, process.stderr[-3000:]
    assert (tmp_path / "tiny" / "report.html").exists() or not works
    assert works or "no imageio_ffmpeg" in process.stderr


def test_training_can_start_from_the_weights_of_another_run(tiny, tmp_path, two_room_data):
    overrides = (f"init_from={tiny}", "training.num_steps=1", "training.learning_rate=0", "training.weight_decay=0")
    assert run_program(train.main, *arguments_in(tmp_path, two_room_data, *overrides)) is None
    run, origin = Run.open(tmp_path / "tiny"), Run.open(tiny)
    assert run.spec.normalizer == origin.spec.normalizer
    for name, value in run.model.named_parameters():
        assert torch.equal(value, origin.model.state_dict()[name]), name


def test_training_from_a_folder_without_weights_is_refused(tmp_path, two_room_data):
    code = run_program(train.main, *arguments_in(tmp_path, two_room_data, f"init_from={tmp_path}"))
    assert_one_line_error(code, str(tmp_path), "holds no checkpoint")
