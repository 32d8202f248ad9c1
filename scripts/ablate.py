"""Trains, evaluates and probes every cell of a sweep, and compares them.

    lewm ablate regularizer=sigreg,wristband,none seed=0,1,2

Any key of train.py may have several values. The first key that has is what the ablation is about: its first value is
what the others are compared with. Run again, it does what is missing. The table (CSV), the figures and the page
(index.html) lie in output_dir/name beside the run folders. Its own keys:

    name=          of the ablation; left out: the swept keys
    output_dir=    ablations
    jobs=          cells at once on this machine; left out: GPUs x jobs_per_gpu, or its cores / num_threads
    jobs_per_gpu=  most cells that share a GPU; left out: one, or as many as jobs= needs
    report_only=   true: trains nothing, reports on what there is
    evaluation.split=    validation: cells are compared to choose among them; test pairs are for the final number
    hydra/launcher=slurm hydra.launcher.partition=...    a SLURM job for each cell (needs hydra-submitit-launcher)
"""

import importlib.util
import re
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import hydra
from omegaconf import OmegaConf
from rich.console import Console
from rich.progress import Progress, TaskID

from envs.experts import EXPERTS
from lewm.ablation.cells import Cell, make_cells, swept_keys
from lewm.ablation.findings import findings
from lewm.ablation.launching import LAUNCH, CellTask, places_here
from lewm.ablation.page import save_report
from lewm.ablation.table import Table
from lewm.config import CONFIGS, AblateConfig, TrainConfig, from_dict
from lewm.config.command_line import check_overrides, expand_components, plain_words
from lewm.data.collection import collect_if_absent
from lewm.errors import InputError, one_line_errors
from lewm.evaluation.evaluation_episodes import provide_datasets
from lewm.files import run_lock
from lewm.tracking import progress_bar

SPLIT = "validation"
"""Split of the pairs, unless evaluation.split= names another: cells are compared to choose among them."""

OWN_KEYS = ("name", "output_dir", "jobs", "jobs_per_gpu", "report_only")


def main(command: tuple[str, ...] = LAUNCH) -> None:
    """Reads the command line; `command` is what a cell's arguments are appended to."""
    arguments = [argument for argument in sys.argv[1:] if argument not in ("-m", "--multirun")]
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return
    with one_line_errors():
        status = ablate(arguments, command)
    sys.exit(status)


def ablate(arguments: list[str], command: tuple[str, ...]) -> int:
    """Runs the sweep that `arguments` describe; 0 if every cell is done, 1 if not."""
    config, own, sweep = read_arguments(arguments)
    folder = Path(config.output_dir) / config.name
    cells = make_cells(sweep, folder)
    console = Console()
    if not config.report_only:
        for cell in cells:
            cell.check_settings()
        missing = [cell for cell in cells if cell.state != "done"]
        places_here(cells, config.jobs, config.jobs_per_gpu)  # finds mistakes by now
        console.print(f"{folder}: {len(cells)} cells, {len(cells) - len(missing)} of them done")
        try:
            with run_lock(folder), progress_bar(console) as progress:
                collect_data(missing, progress)
                for cell in missing:  # failed cells are tried again
                    (cell.folder / "failed.txt").unlink(missing_ok=True)
                with Watch(cells, progress):
                    launch(own, missing, CellTask({cell.name: cell for cell in cells}, command))
        except KeyboardInterrupt:
            console.print("interrupted; the running cells wrote their checkpoints. The same command goes on with them")
            return 130
    return report(cells, folder, console)


def read_arguments(arguments: Sequence[str]) -> tuple[AblateConfig, list[str], list[str]]:
    """This program's configuration, its part of the command line, and the part that sweeps over train.py's keys."""
    for argument in arguments:
        if argument.startswith("-"):
            raise InputError(f"{argument}: ablate.py takes key=value only; --help lists its keys")
    own = [word for word in arguments if word.split("=")[0] in OWN_KEYS or word.startswith(("hydra/", "hydra."))]
    rest = [word for word in arguments if word not in own]
    own, sweep = plain_words(AblateConfig, own), plain_words(TrainConfig, rest)
    sweep = [f"evaluation.split={SPLIT}", *sweep]  # the last of a key counts
    check_overrides("train", expand_components(TrainConfig, sweep))
    keys = swept_keys(sweep)
    if not keys:
        raise InputError("nothing to compare: give a key several values, such as regularizer=sigreg,wristband")
    if not any(word.startswith("name=") for word in own):
        columns = [key for key in keys if key != "seed"] or keys
        own.append(f"name={re.sub('[^A-Za-z0-9_.-]+', '.', '_'.join(columns)).strip('.')}")
    check_launcher(own)
    check_overrides("ablate", own)
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = hydra.compose("ablate", [*own, "cell=all"])
    values = OmegaConf.to_container(composed, resolve=True)
    return from_dict(cast(dict[str, Any], values), AblateConfig), own, sweep


def check_launcher(own: Sequence[str]) -> None:
    """Refuses a launcher that there is not, and one whose package is not installed."""
    known = sorted(path.stem for path in (CONFIGS / "hydra" / "launcher").glob("*.yaml"))
    for word in own:
        key, _, choice = word.partition("=")
        if key == "hydra/launcher" and (choice == "slurm" or choice.startswith("submitit")):
            if importlib.util.find_spec("hydra_plugins.hydra_submitit_launcher") is None:
                raise InputError(f"{word} needs a package: uv pip install hydra-submitit-launcher")
            if choice.endswith("slurm") and shutil.which("srun") is None:
                raise InputError(f"{word}, but there is no srun: type the command on a machine of the SLURM cluster")
        elif key == "hydra/launcher" and choice not in known:
            raise InputError(f"no launcher {choice!r}; there are {', '.join(known)}")


def collect_data(cells: Sequence[Cell], progress: Progress) -> None:
    """Collects each dataset that is absent, so that cells that run at once do not collect it twice."""
    for cell in cells:
        provide_datasets(cell.config, partial(collect_if_absent, experts=EXPERTS, progress=progress))


def launch(own: Sequence[str], cells: Sequence[Cell], task: CellTask) -> None:
    """Runs the cells by Hydra's launcher, each as a job of a sweep over their names."""
    if not cells:
        return
    before = sys.argv
    sys.argv = [before[0], *own, f"cell={','.join(cell.name for cell in cells)}"]
    try:
        hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="ablate")(cast(Any, task))()
    finally:
        sys.argv = before


class Watch:
    """Draws a bar of all cells' steps, and one for each running cell, from what they leave in their folders.

    Who runs the cells, this machine or a cluster, makes no difference.
    """

    def __init__(self, cells: Sequence[Cell], progress: Progress) -> None:
        self._cells, self._progress = cells, progress
        progress.speed_estimate_period = 600  # seconds; cells log rarely
        self._ended = {cell.name for cell in cells if cell.state == "done"}
        total = sum(cell.config.training.num_steps for cell in cells)
        self._all = progress.add_task("", total=total, completed=sum(cell.steps for cell in cells), unit="steps")
        self._bars: dict[str, TaskID] = {}
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._stop.wait(1):
            self._look()

    def _look(self) -> None:
        steps = 0
        for cell in self._cells:
            state, cell_steps = cell.state, cell.steps
            steps += cell_steps
            if state == "started" and cell.name not in self._bars:
                total = cell.config.training.num_steps
                self._bars[cell.name] = self._progress.add_task(
                    cell.name, total=total, completed=cell_steps, unit="steps"
                )
            if state == "started":
                self._progress.update(self._bars[cell.name], completed=cell_steps)
            elif cell.name in self._bars:
                self._progress.remove_task(self._bars.pop(cell.name))
            if state in ("done", "failed") and cell.name not in self._ended:
                self._ended.add(cell.name)
                say(self._progress.console, f"{time.strftime('%H:%M:%S')} {cell.name}: {cell.error or 'done'}")
        self._progress.update(self._all, completed=steps, description=f"{len(self._ended)}/{len(self._cells)} cells")


def say(console: Console, line: str) -> None:
    """Prints a line as it is: not wrapped, not coloured."""
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def report(cells: Sequence[Cell], folder: Path, console: Console) -> int:
    """Writes the table, the figures and the page, and prints what they say."""
    if all(cell.state == "absent" for cell in cells):
        raise InputError(f"{folder} holds none of these cells: check name=, or leave report_only=true out")
    table = Table(cells)
    save_report(table, folder, f"{sys.argv[0]} {shlex.join(sys.argv[1:])}")
    for line in findings(table):
        say(console, line)
    for cell in cells:
        if cell.state == "failed":
            say(console, f"failed: {cell.name}: {cell.error} (see {cell.folder / 'log.txt'})")
    for label, file in (("page", "index.html"), ("table", "cells.csv"), ("figures", "overview.png, curves.png")):
        say(console, f"{label}: {folder / file}")
    return 0 if all(cell.state == "done" for cell in cells) else 1


if __name__ == "__main__":
    main()
