"""What a run shows and leaves to read: bars, TensorBoard events, metrics.jsonl; the main process only."""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text
from torch.utils.tensorboard import SummaryWriter

from lewm.files import write_text


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
        write_text(path, "".join(kept))  # on a full disk the old lines stay as they are
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


class _Rate(ProgressColumn):
    """Units per second, as the task's field `unit` calls them."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f} {task.fields['unit']}/s" if speed else "", style="progress.data.speed")


def progress_bar(console: Console) -> Progress:
    """A bar with counts, rate and remaining time; every task needs a field `unit`."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    return Progress(*columns, console=console)
