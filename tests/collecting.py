"""Collects small datasets, and leaves some of them unfinished."""

import json

from rich.console import Console
from rich.progress import Progress

from lewm.data.collection import collect
from tests.walk_env import Walker


def run(path, config, policy=None, num_workers=1, console=None):
    collect(path, config, policy or Walker(), Progress(console=console or Console(quiet=True)), num_workers)


def num_committed(path):
    try:
        return json.loads((path.with_name(f"{path.name}.partial") / "metadata.json").read_text())["num_episodes"]
    except FileNotFoundError:
        return 0


def run_unfinished(path, config, policy=None):
    """Leaves what a process that was killed just before its end leaves."""
    run(path, config, policy)
    described = json.loads((path / "metadata.json").read_text())
    (path / "metadata.json").write_text(json.dumps(described | {"content_hash": None}))
    path.rename(path.with_name(f"{path.name}.partial"))
