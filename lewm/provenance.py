"""Provenance of a result: the command, the commit of the code and the versions of the packages."""

import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


def describe_process() -> dict[str, Any]:
    """The command, the commit of the code and the versions that a result depends on."""
    git = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    packages = ("torch", "timm", "accelerate", "numpy", "gymnasium", "lewm")
    return {
        "command": sys.argv,
        "commit": git.stdout.strip() or "unknown",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }
