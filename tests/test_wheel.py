"""The wheel, installed into an environment of its own, does everything outside the repository."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.programs import TINY_EVALUATION, TINY_TRAINING

ROOT = Path(__file__).parents[1]
COLLECTION = [word for word in TINY_TRAINING if word.startswith("env.")]
SHORT = [*TINY_EVALUATION, "evaluation.num_pairs=2", "evaluation.num_videos=0"]
UV = shutil.which("uv")

pytestmark = pytest.mark.skipif(UV is None, reason="builds and installs with uv")


class Installed:
    """An environment with the wheel, beside a working directory.

    Args:
      folder: folder of both.
    """

    def __init__(self, folder):
        self.environment, self.directory = folder / "environment", folder / "work"
        self.python = self.environment / "bin" / "python"
        self.directory.mkdir()

    def run(self, *command, status=0):
        """What a program of the environment prints, run in the working directory; what it says if it has to fail."""
        variables = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        ended = subprocess.run(
            [self.environment / "bin" / command[0], *command[1:]],
            cwd=self.directory,
            env={**variables, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert ended.returncode == status, ended.stdout + ended.stderr
        return ended.stderr if status else ended.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel in an environment that has this one's packages, but not what a .pth file adds to them."""
    folder = tmp_path_factory.mktemp("wheel")
    found = Installed(folder)
    build = [UV, "build", "--wheel", "--no-build-isolation", "--offline", "--python", sys.executable, "-o", folder]
    subprocess.run([*build, ROOT], check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", found.environment], check=True)
    install = [UV, "pip", "install", "--offline", "--no-index", "--no-deps", "--python", found.python]
    subprocess.run([*install, *folder.glob("*.whl")], check=True, capture_output=True)
    packages = next((found.environment / "lib").glob("python*/site-packages"))
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return found


@pytest.fixture(scope="module")
def trained(installed):
    """The same, after two steps of training on episodes that were collected before."""
    installed.run("lewm", "collect", *COLLECTION, "data_path=data/small", "num_workers=1")
    short = [*TINY_TRAINING, *SHORT, "training.num_steps=2", "data.path=data/small"]
    installed.run("lewm", "train", *short)
    return installed


def test_python_imports_the_package_of_the_environment_and_nothing_of_the_repository(installed):
    printed = installed.run("python", "-c", "import lewm, envs, sys; print(lewm.__file__, envs.__file__, *sys.path)")
    package, environments, *paths = printed.split()
    assert Path(package).is_relative_to(installed.environment)
    assert Path(environments).is_relative_to(installed.environment)
    assert str(ROOT) not in paths


def test_a_run_lies_in_the_working_directory_and_records_no_commit(trained):
    run = trained.directory / "runs" / "tiny"
    assert "model" in json.loads((run / "results.json").read_text())
    assert json.loads((run / "process.json").read_text())["commit"] == "unknown"
    assert (trained.directory / "data" / "small" / "metadata.json").exists()


def test_a_run_is_loaded_and_planned_with(trained):
    trained.run("lewm", "plan", "run=runs/tiny", "device=cpu", "num_threads=1", *SHORT)
    results = json.loads((trained.directory / "runs" / "tiny" / "plan" / "results.json").read_text())
    assert results["model"]["success"]["trials"] == 2


def test_datasets_are_looked_at(trained):
    assert "12" in trained.run("lewm", "data", "info", "data/small")


def test_the_doctor_is_there(installed):
    assert "usage: lewm doctor" in installed.run("lewm", "doctor", "--help")


def test_a_misspelt_command_ends_with_status_1(installed):
    assert installed.run("lewm", "trian", status=1).startswith("error: no command 'trian'; did you mean 'train'?")


def test_cells_of_an_ablation_are_started_by_the_package(installed):
    source = "from lewm.ablation.launching import LAUNCH; print(*LAUNCH, sep='\\n')"
    launch = installed.run("python", "-c", source).splitlines()
    assert launch[-2:] == ["-m", "lewm.train"]
    assert "train.py is powered by Hydra" in installed.run("python", *launch[1:], "--help")
