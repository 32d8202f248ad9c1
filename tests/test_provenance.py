"""The recorded commit is that of this code or "unknown", never another repository's."""

import json
import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from lewm import provenance
from lewm.provenance import describe_process, shown_command

PROJECT = '[project]\nname = "lewm"\n'

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="makes repositories")


def git(folder, *arguments):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "-c", "user.name=test", "-c", "user.email=test@test", *arguments]
    result = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return result.stdout.strip()


def repository(folder, pyproject):
    """A committed repository with a copy of provenance.py in lewm/; returns the commit."""
    (folder / "lewm").mkdir(parents=True)
    shutil.copy(provenance.__file__, folder / "lewm" / "provenance.py")
    (folder / "pyproject.toml").write_text(pyproject)
    (folder / "README.md").write_text("text\n")
    (folder / ".gitignore").write_text(".venv\nruns\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return git(folder, "rev-parse", "HEAD")


def recorded(folder):
    """The commit that a copy of the package records."""
    return runpy.run_path(str(folder / "lewm" / "provenance.py"))["commit_of_code"]()


def test_a_process_is_described_by_its_command_commit_and_versions():
    described = describe_process()
    assert json.loads(json.dumps(described)) == described
    assert described["command"]
    assert re.fullmatch("unknown|[0-9a-f]{40}(-dirty)?", described["commit"])
    assert {"python", "torch", "numpy", "lewm"} <= set(described["versions"])


def test_without_git_the_commit_is_unknown_and_the_rest_is_there(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    described = describe_process()
    assert described["commit"] == "unknown"
    assert described["versions"]["torch"] != "unknown"


@needs_git
def test_a_clean_work_tree_records_its_commit(tmp_path):
    commit = repository(tmp_path, PROJECT)
    (tmp_path / "runs").mkdir()
    assert recorded(tmp_path) == commit


@needs_git
@pytest.mark.parametrize("file", ["lewm/provenance.py", "lewm/new.py", "configs/train.yaml"])
def test_an_edited_or_new_file_of_the_code_makes_the_commit_dirty(tmp_path, file):
    commit = repository(tmp_path, PROJECT)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    with (tmp_path / file).open("a") as edited:
        edited.write("# edited\n")
    assert recorded(tmp_path) == f"{commit}-dirty"


@needs_git
def test_an_edited_page_leaves_the_commit_clean(tmp_path):
    commit = repository(tmp_path, PROJECT)
    (tmp_path / "README.md").write_text("other text\n")
    assert recorded(tmp_path) == commit


@needs_git
@pytest.mark.parametrize("pyproject", ['[project]\nname = "robots"\n', "name = 3\n", "[project\n"])
def test_a_package_tracked_by_another_project_records_nothing(tmp_path, pyproject):
    repository(tmp_path, pyproject)
    assert recorded(tmp_path) == "unknown"


@needs_git
@pytest.mark.parametrize("pyproject", ['[project]\nname = "robots"\n', PROJECT])
def test_a_package_installed_into_an_environment_inside_a_repository_records_nothing(tmp_path, pyproject):
    repository(tmp_path, pyproject)
    installed = tmp_path / ".venv" / "lib" / "site-packages"
    shutil.copytree(tmp_path / "lewm", installed / "lewm")
    assert recorded(installed) == "unknown"


@needs_git
def test_a_hook_of_another_repository_does_not_lend_its_commit(tmp_path, monkeypatch):
    own, other = repository(tmp_path / "own", PROJECT), repository(tmp_path / "other", PROJECT + "# other\n")
    monkeypatch.setenv("GIT_DIR", str(Path(tmp_path / "other" / ".git")))
    assert own != other
    assert recorded(tmp_path / "own") == own


@pytest.mark.parametrize(
    ("ancestors", "wanted"),
    [
        ([["python", "/bin/accelerate", "launch", "--num_processes", "2", "train.py", "seed=1"]], "accelerate launch"),
        ([["sh"], ["python", "/bin/torchrun", "train.py", "seed=1"]], "torchrun train.py seed=1"),
        ([["python", "/bin/accelerate", "launch", "other.py"]], "python train.py seed=1"),
        ([["bash"]], "python train.py seed=1"),
    ],
)
def test_the_command_is_the_one_that_was_typed(monkeypatch, ancestors, wanted):
    monkeypatch.setattr(provenance.sys, "argv", ["train.py", "seed=1"])
    parents = [SimpleNamespace(cmdline=lambda words=words: words) for words in ancestors]
    monkeypatch.setattr(provenance.psutil, "Process", lambda: SimpleNamespace(parents=lambda: parents))
    shown = shown_command(describe_process()["command"])
    assert shown.startswith(wanted) and shown.endswith("train.py seed=1")


def test_a_program_of_two_words_is_shown_as_it_is_typed():
    assert shown_command(["lewm plan", "run=a b"]) == "lewm plan 'run=a b'"
