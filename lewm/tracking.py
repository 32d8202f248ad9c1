"""Tracking of a run: metrics.jsonl, TensorBoard events, progress bars; by the main process only."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from accelerate.tracking import GeneralTracker
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from torch.utils.tensorboard import SummaryWriter

from lewm.errors import InputError
from lewm.files import without_nan, write_text


class Tracker:
    """Logs numbers by training step into a run folder.

    Args:
      run_dir: the run folder.
      start: first step of this process; what an interrupted process logged from there on is dropped, so that a resumed
        run ends with the same metrics.jsonl and the same curves as an uninterrupted one.
      mirror: another tracker that gets the same numbers; see lewm.trackers.
    """

    def __init__(self, run_dir: Path, start: int, mirror: GeneralTracker | None = None) -> None:
        path = run_dir / "metrics.jsonl"
        kept = []
        if path.exists():
            kept = [line for line, values in _whole_lines(path) if values["step"] < start]
        write_text(path, b"".join(kept).decode("utf-8"))  # on a full disk the old lines stay as they are
        self._file = path.open("a", buffering=1, encoding="utf-8")
        cut_events(run_dir / "tensorboard", start)
        self._mirror = mirror
        # A TensorBoard that is looking on has read what was cut: purge_step tells it.
        self._events = SummaryWriter(str(run_dir / "tensorboard"), purge_step=start)

    def log(self, step: int, values: dict[str, float]) -> None:
        """Writes one line, and one scalar per value under the same tag; in the line, null stands for nan."""
        self._file.write(json.dumps(without_nan({"step": step, **values}), allow_nan=False) + "\n")
        for tag, value in values.items():
            self._events.add_scalar(tag, value, step)
        if self._mirror is not None:
            self._mirror.log(values, step=step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._events.close()


def cut_events(folder: Path, start: int) -> None:
    """Cuts the event files of a folder off before their first event of step `start` or later."""
    for path in folder.glob("events.out.tfevents.*"):
        end = 0
        for record in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(record)
            if event.step >= start and not event.HasField("file_version"):
                os.truncate(path, end)
                break
            end += len(record) + _FRAME


_FRAME = 16
"""Bytes of a record of an event file beside its content: length and two checksums."""


def read_metrics(run_dir: Path) -> list[dict[str, float]]:
    """Reads the lines of a run's metrics.jsonl, but for one that is being written. InputError: a line is damaged."""
    return [values for _, values in _whole_lines(run_dir / "metrics.jsonl")]


def _whole_lines(path: Path) -> Iterator[tuple[bytes, dict[str, float]]]:
    """Each line with its numbers. A last one without its end was cut off, by a full disk, say."""
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if line.endswith(b"\n"):
            yield line, _parse(line, number, path)


def _parse(line: bytes, number: int, path: Path) -> dict[str, float]:
    """The numbers of a line, its step among them; nan for null."""
    try:
        values = {tag: math.nan if value is None else value for tag, value in json.loads(line).items()}
    except (ValueError, AttributeError):
        values = {}
    if "step" not in values or not all(isinstance(value, int | float) for value in values.values()):
        raise InputError(f"line {number} of {path} is damaged: {line.strip()[:60]!r}; remove that line")
    return values


class _Rate(ProgressColumn):
    """Units per second, as the task's field `unit` calls them."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f} {task.fields['unit']}/s" if speed else "", style="progress.data.speed")


def progress_bar(console: Console) -> Progress:
    """A bar with counts, rate and remaining time; every task needs a field `unit`."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    return Progress(*columns, console=console)
