"""What a run shows and leaves to read: bars, TensorBoard events, metrics.jsonl; the main process only."""

import fcntl
import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text
from torch.utils.tensorboard import SummaryWriter

from lewm.errors import InputError


class Tracker:
    """Logs numbers by training step into a run folder.

    Args:
      run_dir: the run folder.
      start: first step of this process; what an interrupted process logged from there on is dropped, so that a resumed
        run ends with the same metrics.jsonl as an uninterrupted one.
    """

    def __init__(self, run_dir: Path, start: int) -> None:
        path = run_dir / "metrics.jsonl"
        kept = []
        if path.exists():
            whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("}\n")]
            kept = [line for line in whole if json.loads(line)["step"] < start]
        partial = path.with_suffix(".partial")  # on a full disk the old lines stay as they are
        partial.write_text("".join(kept))
        partial.rename(path)
        self._file = path.open("a", buffering=1)
        self._events = SummaryWriter(str(run_dir / "tensorboard"), purge_step=start)

    def log(self, step: int, values: dict[str, float]) -> None:
        """Writes one line, and one scalar per value under the same tag."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        for tag, value in values.items():
            self._events.add_scalar(tag, value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._events.close()


def read_metrics(run_dir: Path) -> list[dict[str, float]]:
    """The lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Makes the run folder and keeps other processes from writing into it; a killed process lets go by itself."""
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another process is writing {run_dir}: wait for it, end it, or give another name="
            ) from None
        yield


class _Rate(ProgressColumn):
    """Units per second, as the task's field `unit` calls them."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f} {task.fields['unit']}/s" if speed else "", style="progress.data.speed")


def progress_bar(console: Console) -> Progress:
    """A bar with counts, rate and remaining time; every task needs a field `unit`."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    return Progress(*columns, console=console)


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
