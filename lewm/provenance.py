"""Provenance of a result: the command, the commit of the code and the versions of the packages."""

import os
import platform
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

UNKNOWN = "unknown"

LAUNCHERS = ("accelerate", "torchrun")
"""Programs that start the ranks of a training."""

_CODE = ("train.py", "lewm", "envs", "configs", "manifests", "scripts", "hydra_plugins")
"""Files and folders of the repository that decide results; edits elsewhere do not make it dirty."""


def describe_process() -> dict[str, Any]:
    """The command, the commit of the code and the versions that a result depends on. Never an error."""
    packages = ("torch", "timm", "accelerate", "numpy", "gymnasium", "lewm")
    return {
        "command": typed_command(),
        "commit": commit_of_code(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
    }


def typed_command() -> list[str]:
    """The words that this process was started by, with the launcher before them: accelerate launch or torchrun."""
    try:
        ancestors = [process.cmdline() for process in psutil.Process().parents()[:3]]
    except (psutil.Error, OSError):
        ancestors = []
    for words in ancestors:
        for i, word in enumerate(words[:2]):  # python, and the launcher
            if Path(word).name in LAUNCHERS and sys.argv[1:] == words[len(words) - len(sys.argv) + 1 :]:
                return [Path(word).name, *words[i + 1 :]]
    return sys.argv


def shown_command(command: Sequence[str]) -> str:
    """A command of describe_process() as it is typed. The first word may be two, such as `lewm plan`."""
    program = f"python {command[0]}" if command[0].endswith(".py") else command[0]
    return " ".join([program, *map(shlex.quote, command[1:])])


def commit_of_code() -> str:
    """Commit of this project's repository, with "-dirty" behind it if code in the work tree differs from it.

    "unknown" without git and for an installed package, whatever repository the environment's folder lies in: this file
    has to be tracked by a repository whose pyproject.toml is that of this project.
    """
    top = _git(Path(__file__).parent, "rev-parse", "--show-toplevel")
    if top is None or not _is_this_project(Path(top) / "pyproject.toml"):
        return UNKNOWN
    if _git(Path(top), "ls-files", "--error-unmatch", "--", __file__) is None:
        return UNKNOWN
    commit = _git(Path(top), "rev-parse", "HEAD")
    edits = _git(Path(top), "status", "--porcelain", "--", *_CODE)
    if commit is None or edits is None:
        return UNKNOWN
    return f"{commit}-dirty" if edits else commit


def cpu_name() -> str:
    """Model name of this machine's CPU, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    models = (
        [line for line in info.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return models[0].partition(":")[2].strip() if models else platform.processor() or UNKNOWN


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints in a folder; None if it fails or is not installed."""
    # Within a hook, git's variables point at the hook's repository.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "--no-optional-locks", *arguments]
    try:
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return os.fsdecode(result.stdout).strip()


def _is_this_project(pyproject: Path) -> bool:
    try:
        project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        return False
    return isinstance(project, dict) and project.get("name") == "lewm"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a folder that is not installed
        return UNKNOWN
