"""Runs the cells of an ablation: one `accelerate launch train.py` for each, several at once on this machine."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lewm.ablation.cells import Cell
from lewm.errors import InputError, interrupted_by_signals
from lewm.files import run_lock
from lewm.processes import num_cores
from lewm.shipped import shipped, start_of

LAUNCH = (
    *(sys.executable, "-m", "accelerate.commands.launch"),
    *("--config_file", str(shipped("scripts/one_process.yaml"))),
    *start_of("train.py"),
)
"""Command that a cell's arguments are appended to."""


@dataclass(frozen=True)
class Place:
    """Where a cell runs on this machine: its threads (None: train.py decides) and its GPU, "" for none."""

    num_threads: int | None = None
    gpu: str | None = None


class RunningCell:
    """A started cell. Its process has a process group of its own, so that a terminal's Ctrl-C does not reach it."""

    def __init__(self, cell: Cell, launch: Sequence[str], place: Place) -> None:
        self.cell = cell
        cell.folder.mkdir(parents=True, exist_ok=True)
        (cell.folder / "failed.txt").unlink(missing_ok=True)
        arguments = [*cell.arguments, f"resume={str((cell.folder / 'config.yaml').exists()).lower()}"]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
        if place.num_threads is not None:
            arguments.append(f"num_threads={place.num_threads}")
            environment["OMP_NUM_THREADS"] = str(place.num_threads)
        if place.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = place.gpu
        command = [*launch, *arguments]
        with (cell.folder / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"$ {shlex.join(command)}\n")
            log.flush()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def has_ended(self) -> bool:
        """Whether the cell is done or has failed; a failure is written to its failed.txt."""
        status = self._process.poll()
        if status is None:
            return False
        if not (self.cell.folder / "results.json").exists():
            log = (self.cell.folder / "log.txt").read_text(encoding="utf-8", errors="replace")
            (self.cell.folder / "failed.txt").write_text(last_error(log, status) + "\n", encoding="utf-8")
        return True

    def interrupt(self) -> None:
        """Asks train.py to write a checkpoint and end."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)

    def wait_until_gone(self) -> None:
        """Returns when train.py has let go of its run folder; the launcher above it ends earlier."""
        self._process.wait()
        while True:
            try:
                with run_lock(self.cell.folder):
                    return
            except InputError:
                time.sleep(0.1)

    def kill(self) -> None:
        """Ends the cell at once."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def last_error(log: str, status: int) -> str:
    """The line of a log that says why its last process ended with `status`."""
    lines = [line.strip() for line in log[log.rfind("\n$ ") + 1 :].splitlines() if line.strip()]
    named = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    # Behind a traceback of train.py stands the one of accelerate, which says only that train.py failed.
    raised = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception", "Interrupt"))]
    return (named or raised[:1] or [f"ended with status {status}"])[-1]


@dataclass(frozen=True)
class CellTask:
    """The task of Hydra's jobs: runs the cell that a configuration names. Hydra's launchers call or pickle it.

    Attributes:
      cells: all cells of the ablation, by name.
      launch: the command that a cell's arguments are appended to.
    """

    cells: dict[str, Cell]
    launch: tuple[str, ...] = LAUNCH

    def __call__(self, config: Any) -> None:
        """Runs one cell to its end; what a launcher on a cluster calls, within a job of its own."""
        running = RunningCell(self.cells[config.cell], self.launch, Place())
        with interrupted_by_signals():
            try:
                while not running.has_ended():
                    time.sleep(1)
            except BaseException:  # submitit also ends a job by an exception
                _end([running])
                raise

    def run_all(self, configs: Iterable[Any], jobs: int | None, jobs_per_gpu: int | None = None) -> None:
        """Runs cells on this machine, each in one of places(). On Ctrl-C all write checkpoints before this returns."""
        waiting = [self.cells[config.cell] for config in configs]
        free = places_here(waiting, jobs, jobs_per_gpu)
        running: dict[RunningCell, Place] = {}
        with interrupted_by_signals():
            try:
                while waiting or running:
                    while waiting and free:
                        place = free.pop(0)
                        running[RunningCell(waiting.pop(0), self.launch, place)] = place
                    time.sleep(0.2)
                    free += [running.pop(cell) for cell in list(running) if cell.has_ended()]
            except KeyboardInterrupt:
                _end(list(running))
                raise


def places(
    num_threads: int | None, jobs: int | None, jobs_per_gpu: int | None, num_cores: int, gpus: Sequence[str]
) -> list[Place]:
    """Places where cells run at once on one machine; GPUs are taken in turn, so that all have equally many.

    Args:
      num_threads: threads of each cell; None: one on a CPU, where small models train faster side by side than one after
        the other on all cores, and an equal share of the cores beside a GPU.
      jobs: number of places; None: jobs_per_gpu for each GPU or, without GPUs, one for each num_threads cores.
      jobs_per_gpu: most places on a GPU; None: one, or as many as jobs needs.
      num_cores: cores of the machine.
      gpus: what CUDA_VISIBLE_DEVICES calls them; empty: cells run on the CPU.

    Raises:
      InputError: there are no GPUs to share, or too few for so many jobs.
    """
    if jobs_per_gpu is not None and not gpus:
        raise InputError(f"jobs_per_gpu={jobs_per_gpu}, and the cells run on the CPU: give jobs=, cells at once")
    if jobs is not None and jobs_per_gpu is not None and jobs > jobs_per_gpu * len(gpus):
        raise InputError(
            f"jobs={jobs} is more than jobs_per_gpu={jobs_per_gpu} on each of {len(gpus)} GPUs: leave out one"
        )
    if gpus:
        jobs = jobs or (jobs_per_gpu or 1) * len(gpus)
        return [Place(num_threads or max(num_cores // jobs, 1), gpus[index % len(gpus)]) for index in range(jobs)]
    num_threads = num_threads or 1
    return [Place(num_threads)] * (jobs or max(num_cores // num_threads, 1))


def places_here(cells: Sequence[Cell], jobs: int | None, jobs_per_gpu: int | None) -> list[Place]:
    """Places for these cells on this machine; arguments and errors as of places()."""
    num_threads = max((cell.config.num_threads or 0 for cell in cells), default=0) or None
    gpus: list[str] = []
    if torch.cuda.is_available() and any(cell.config.device != "cpu" for cell in cells):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    return places(num_threads, jobs, jobs_per_gpu, num_cores(), gpus)


def _end(running: Sequence[RunningCell]) -> None:
    """Lets cells write their checkpoints; a second Ctrl-C ends them at once."""
    try:
        for cell in running:
            cell.interrupt()
        for cell in running:
            cell.wait_until_gone()
    except KeyboardInterrupt:
        for cell in running:
            cell.kill()
