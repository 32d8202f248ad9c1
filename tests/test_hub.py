"""A trained model goes to the Hugging Face Hub and comes back; without an id of the hub nothing asks for a network."""

import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

import train
from lewm.errors import InputError
from lewm.run import Run
from scripts import plan
from tests.hub import COMMIT, stand_in
from tests.programs import TINY, run_program

HEADS = (
    "heads=[{name: inverse_dynamics, num_steps: 5, hidden_dim: 16, max_frames: 200}]",
    "planning.proposal=seeded",
    "planning.goal_cost=minimum_distance",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory, two_room_data):
    """A tiny run with a head, evaluated by an own planning."""
    folder = tmp_path_factory.mktemp("runs")
    words = (*TINY, *HEADS, f"data.path={two_room_data.path}", f"output_dir={folder}", "training.ema_decay=0.5")
    assert run_program(train.main, *words) is None
    return Run.open(folder / "tiny")


@pytest.fixture
def saved(run, tmp_path):
    run.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def plans_of(run, frames):
    return run.agent().plan(frames[:1], np.zeros((0, 2), np.float32), frames[5]).actions


def in_another_process(server, folder, program):
    """What a program prints in a process whose hub is the stand-in."""
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_HOME": str(folder), "HF_TOKEN": "hf_test"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_saved_model_is_the_model(run, saved, two_room_data):
    opened = Run.from_pretrained(saved)
    assert opened.step == run.step and opened.spec == run.spec
    assert opened.checkpoint.weights_hash == run.checkpoint.weights_hash
    state, expected = opened.model.state_dict(), run.model.state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    frames = two_room_data[0].pixels
    np.testing.assert_array_equal(plans_of(opened, frames), plans_of(run, frames))


def test_a_saved_model_has_no_more_than_planning_and_fine_tuning_take(run, saved):
    files = {str(path.relative_to(saved)) for path in saved.rglob("*") if path.is_file()}
    head = {"heads/inverse_dynamics/head.json", "heads/inverse_dynamics/head.safetensors"}
    assert files == {
        *("model.safetensors", "model.json", "config.yaml", "process.json", "results.json", "README.md"),
        *head,
    }
    weights = (run.checkpoint.path / "average.safetensors").read_bytes()
    assert (saved / "model.safetensors").read_bytes() == weights


def test_the_program_plans_with_a_saved_model_as_the_run_did(run, saved):
    assert run_program(plan.main, f"run={saved}", "device=cpu", "num_threads=1") is None
    results, expected = (json.loads((path / "results.json").read_text()) for path in (saved / "plan", run.path))
    assert results["identity"]["policy"] == expected["identity"]["policy"]
    assert results["pairs"] == expected["pairs"]


def test_the_program_plans_with_a_folder_of_a_checkpoint_as_the_run_did(run):
    assert run_program(plan.main, f"run={run.checkpoint.path}", "device=cpu", "num_threads=1", "name=by_path") is None
    results, expected = (json.loads((path / "results.json").read_text()) for path in (run.path / "by_path", run.path))
    assert results["identity"]["policy"] == expected["identity"]["policy"]


def test_a_saved_model_is_fine_tuned(saved, tmp_path, two_room_data):
    words = (*TINY, f"data.path={two_room_data.path}", f"output_dir={tmp_path}", f"init_from={saved}")
    assert run_program(train.main, *words, "name=tuned", "training.num_steps=1") is None
    assert Run.open(tmp_path / "tuned").step == 1


def test_a_saved_model_is_saved_again_as_it_was(saved, tmp_path):
    Run.from_pretrained(saved).save_pretrained(tmp_path / "again", name="saved")
    for name in ("model.safetensors", "model.json", "config.yaml", "results.json", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


def test_the_card_says_what_was_measured_and_how_it_was_made(run, saved):
    card, results = ModelCard.load(saved / "README.md"), json.loads((run.path / "results.json").read_text())
    strict = results["model"]["strict_success"]
    assert card.data.library_name == "lewm"
    assert card.data.eval_results[0].metric_value == round(100 * strict["rate"], 1)
    low, high = 100 * strict["low"], 100 * strict["high"]
    shown = f"{strict['rate']:.1%} ({strict['successes']}/{strict['trials']}; {low:.1f} to {high:.1f})"
    assert f"| this model | {shown} |" in card.text
    for wanted in (
        results["protocol"]["manifest_hash"],
        results["protocol"]["env_id"],
        run.spec.data.content_hash,
        f"torch {results['identity']['versions']['torch']}",
        results["identity"]["command"][-1],
    ):
        assert wanted in card.text


def test_the_card_of_a_chosen_evaluation_has_its_numbers(run, saved, tmp_path):
    words = (f"run={run.path}", "device=cpu", "num_threads=1", "evaluation.budget=3", "name=short")
    assert run_program(plan.main, *words) is None
    run.save_pretrained(tmp_path / "other", evaluation=run.path / "short")
    assert "budget 3" in (tmp_path / "other" / "README.md").read_text()
    assert "budget 10" in (saved / "README.md").read_text()


def test_an_evaluation_of_other_weights_is_refused_for_the_card(run, tmp_path):
    results = json.loads((run.path / "results.json").read_text())
    results["identity"]["weights_hash"] = "0" * 64
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(InputError, match="is an evaluation of other weights"):
        run.save_pretrained(tmp_path / "out", evaluation=tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_not_evaluated_has_a_card_that_says_so(run, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(run.path, copied)
    (copied / "results.json").unlink()
    Run.open(copied).save_pretrained(tmp_path / "out")
    assert "have not been evaluated" in (tmp_path / "out" / "README.md").read_text()
    assert not (tmp_path / "out" / "results.json").exists()


def test_a_folder_that_is_there_is_not_written_over(run, saved):
    before = (saved / "README.md").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        run.save_pretrained(saved)
    assert (saved / "README.md").read_bytes() == before


def test_a_full_disk_is_named_in_one_line_and_leaves_nothing(run, tmp_path, monkeypatch):
    def full(*arguments, **keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)  # of the head, after the weights
    with pytest.raises(InputError, match=r"cannot write .*out: .*No space left"):
        run.save_pretrained(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_is_pushed_comes_back(run, tmp_path):
    push = f"from lewm.run import Run; print(Run.open({str(run.path)!r}).push_to_hub('me/tiny', private=True))"
    pull = "from lewm.run import Run; print(Run.from_pretrained('me/tiny').path)"
    with stand_in() as server:
        url = in_another_process(server, tmp_path / "cache", push).strip()
        assert url == f"{server.url}/me/tiny/commit/{COMMIT}"
        assert server.private == {"me/tiny": True}
        server.repositories["me/tiny"]["train.py"] = b"raise SystemExit"
        folder = in_another_process(server, tmp_path / "cache", pull).strip()
    opened = Run.open(folder)
    assert opened.checkpoint.weights_hash == run.checkpoint.weights_hash
    assert opened.heads.keys() == {"inverse_dynamics"} and opened.heads["inverse_dynamics"] is not None
    assert 'Run.from_pretrained("me/tiny")' in (opened.path / "README.md").read_text()
    assert not (opened.path / "train.py").exists()  # nothing but weights and text is downloaded


def refusals(server, folder, run, *calls):
    """The lines that calls are refused with in another process."""
    program = f"""
from lewm.run import Run
from lewm.errors import InputError
run = Run.open({str(run.path)!r})
for call in ({", ".join(f"lambda: {call}" for call in calls)},):
    try:
        call()
    except InputError as error:
        print(error)
"""
    return in_another_process(server, folder, program).splitlines()


def test_an_id_that_is_none_is_refused_in_one_line(run, tmp_path):
    calls = ("Run.from_pretrained('me/none')", "Run.from_pretrained('a/b/c')", "run.push_to_hub('a/b/c')")
    with stand_in() as server:
        lines = refusals(server, tmp_path, run, *calls)
    said = (
        r"me/none is no folder, and cannot be downloaded .*Repository Not Found",
        r"a/b/c is no folder, .*'namespace/repo_name'",
        r"a/b/c cannot be uploaded .*'namespace/repo_name'",
    )
    assert len(lines) == 3
    assert all(re.match(each, line) for each, line in zip(said, lines, strict=True))


def test_a_hub_that_cannot_be_reached_is_named_in_one_line(run, tmp_path):
    with stand_in() as server:
        pass  # its port is closed again
    lines = refusals(server, tmp_path, run, "Run.from_pretrained('me/none')", "run.push_to_hub('me/none')")
    assert len(lines) == 2 and "cannot be downloaded" in lines[0] and "cannot be uploaded" in lines[1]


def test_folders_need_no_network(run, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("a network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    run.save_pretrained(tmp_path / "saved")
    assert Run.from_pretrained(tmp_path / "saved").spec == run.spec
