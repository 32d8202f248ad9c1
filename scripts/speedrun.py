"""Trains from nothing to success within a wall-clock budget: `lewm speedrun env=push_t minutes=10`.

Collects with all cores, trains for the time that is left, fits the heads, plays the test pairs, and writes one row of
the board (docs/speedrun.md) into the run folder. Every key of train.py can be given. What has to be left for heads and
evaluation is found out by a rehearsal before the training, or given as reserve=, in seconds.
"""

import contextlib
import importlib
import io
import json
import math
import os
import statistics
import sys
import tempfile
import time
from dataclasses import fields, replace
from functools import partial
from typing import Any

import psutil
import torch
from rich.console import Console

from envs.experts import EXPERTS
from lewm.config import Component, EnvConfig, SpeedrunConfig, TrainConfig
from lewm.config.command_line import program
from lewm.data.collection import collect_if_absent
from lewm.data.identity import choose_path
from lewm.errors import InputError
from lewm.evaluation.evaluation_episodes import provide_datasets
from lewm.files import without_nan, write_text
from lewm.heads.config import read_heads
from lewm.processes import num_cores
from lewm.provenance import cpu_name
from lewm.report.markup import interval, percent
from lewm.shipped import module_of
from lewm.tracking import progress_bar, read_metrics

train_program = importlib.import_module(module_of("train.py"))

HEAD_SHARE, MIN_HEAD_FRAMES = 20, 2000
"""The rehearsal fits heads with the 20th part of their steps and frames, but with at least 2,000 frames."""

COLUMNS = (
    *("", "total", "collect", "rehearse", "train", "heads", "evaluate"),
    *("frames", "steps", "frames/s", "MFU", "success", "strict success", "commit"),
)
"""Columns of the board; parts are in seconds."""


class Stopwatch:
    """Seconds of the parts of a program, one after the other.

    Args:
      begun: time.perf_counter() at the begin of the first part.

    Attributes:
      seconds: seconds of each part that has ended, by name.
    """

    def __init__(self, begun: float) -> None:
        self.seconds: dict[str, float] = {}
        self._begun = self._last = begun

    @property
    def total(self) -> float:
        """Seconds since the begin of the first part."""
        return time.perf_counter() - self._begun

    def end(self, part: str) -> None:
        """Ends a part; the next one begins."""
        now = time.perf_counter()
        self.seconds[part], self._last = now - self._last, now


@program("speedrun", SpeedrunConfig)
def main(config: SpeedrunConfig) -> None:
    console, watch = Console(), Stopwatch(time.perf_counter() - process_age())
    training = TrainConfig(**{field.name: getattr(config, field.name) for field in fields(TrainConfig)})
    check(training)
    train_program.check_parts(training)
    watch.end("start")

    is_collected = not choose_path(training.env, training.data.path, training.data.root).exists()
    with progress_bar(console) as progress:
        provide_datasets(training, partial(collect_if_absent, experts=EXPERTS, progress=progress))
    watch.end("collect")

    reserve = rehearse(training, console) if config.reserve is None else config.reserve
    watch.end("rehearse")

    limit = max_seconds(60 * config.minutes, watch.total, reserve, training.training.max_seconds)
    console.print(f"training for {limit:.0f} s; {reserve:.0f} s are kept for heads and evaluation", highlight=False)
    training = replace(training, training=replace(training.training, max_seconds=limit))
    results = train_program.train(training, watch.end)

    row = make_row(training, results, watch, config.minutes, is_collected)
    board = training.run_dir / "board.jsonl"
    write_text(board, json.dumps(without_nan(row), allow_nan=False) + "\n")
    for line in (*markdown_header(), markdown_row(row), f"board: {board}"):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def process_age() -> float:
    """Seconds since this process was started, imports included."""
    return time.time() - psutil.Process().create_time()


def check(config: TrainConfig) -> None:
    """Refuses what is no speedrun: more than one process, recordings, a folder that is there already."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("a speedrun is one process: start it without accelerate launch")
    if not isinstance(config.env, EnvConfig):
        raise InputError(f"env={config.env.name} are recordings, and a speedrun collects and plays: give another env=")
    if config.resume or config.run_dir.exists():
        raise InputError(f"a speedrun begins with nothing: give another name= than {config.name}, and no resume=true")


def rehearse(config: TrainConfig, console: Console) -> float:
    """Estimates the seconds of all that train.py does beside the training, by doing a part of it after one step.

    The model is built and the data are opened as they will be. Heads have the 20th part of their steps and frames, and
    one batch of pairs is played: 20 times the seconds of the one, and the seconds of the other for each batch.
    """
    console.print("rehearsing heads and evaluation on an untrained model", highlight=False)
    pairs = config.evaluation
    num_batches = math.ceil(pairs.num_pairs / pairs.batch_size)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        small = replace(
            config,
            output_dir=folder,
            training=replace(config.training, num_steps=1, max_seconds=None),
            heads=[shortened(entry) for entry in config.heads],
            evaluation=replace(pairs, num_pairs=min(pairs.num_pairs, pairs.batch_size)),
        )
        watch = Stopwatch(time.perf_counter())
        train_program.train(small, watch.end)
    seconds = watch.seconds
    return seconds["prepare"] + HEAD_SHARE * seconds["heads"] + num_batches * seconds["evaluate"]


def shortened(entry: str | Component) -> Component:
    """A head with the 20th part of its steps and frames."""
    (head,) = read_heads([entry])
    num_steps = math.ceil(head.fitting.num_steps / HEAD_SHARE)
    max_frames = max(math.ceil(head.fitting.max_frames / HEAD_SHARE), min(head.fitting.max_frames, MIN_HEAD_FRAMES))
    named = {"name": entry} if isinstance(entry, str) else entry
    return {**named, "num_steps": num_steps, "max_frames": max_frames}


def max_seconds(budget: float, passed: float, reserve: float, wanted: float | None) -> float:
    """Seconds for the training: what is left of the budget, at most as many as are wanted.

    Raises:
      InputError: less than a second is left.
    """
    left = budget - passed - reserve
    if left < 1:
        raise InputError(
            f"minutes={budget / 60:g} leave nothing for the training: {passed:.0f} s have passed, and {reserve:.0f} s"
            " are kept for heads and evaluation; give more minutes="
        )
    return left if wanted is None else min(left, wanted)


def make_row(
    config: TrainConfig, results: dict[str, Any], watch: Stopwatch, minutes: float, is_collected: bool
) -> dict[str, Any]:
    """Makes the row of a finished speedrun; collecting has null seconds where the data were there before."""
    identity, training, seconds = results["identity"], config.training, watch.seconds
    num_frames = identity["step"] * training.batch_size * training.num_frames
    mfu = [line["speed/mfu"] for line in read_metrics(config.run_dir) if "speed/mfu" in line]
    return {
        "env": config.env.name,
        "machine": {
            "cpu": cpu_name(),
            "num_cores": num_cores(),
            "gpu": torch.cuda.get_device_name() if identity["device"] == "cuda" else None,
        },
        "minutes": minutes,
        "seconds": {**seconds, "collect": seconds["collect"] if is_collected else None, "total": watch.total},
        "frames": num_frames,
        "steps": identity["step"],
        "frames_per_second": num_frames / seconds["train"],
        "mfu": statistics.median(mfu) if mfu else None,
        "split": results["protocol"]["split"],
        "success": results["model"]["success"],
        "strict_success": results["model"]["strict_success"],
        "commit": identity["commit"],
        "command": sys.argv,
    }


def markdown_header() -> tuple[str, str]:
    """The two lines above the rows of a board."""
    return f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"


def markdown_row(row: dict[str, Any]) -> str:
    """A row of a board; what was not measured is blank."""
    machine, seconds = row["machine"], row["seconds"]
    parts = ("total", "collect", "rehearse", "train", "heads", "evaluate")
    cells = [
        f"{row['env']}, {machine['gpu'] or machine['cpu']}, {machine['num_cores']} cores",
        *("" if seconds[part] is None else f"{seconds[part]:.0f}" for part in parts),
        f"{row['frames']:,}",
        f"{row['steps']:,}",
        f"{row['frames_per_second']:,.0f}",
        "" if row["mfu"] is None else percent(row["mfu"]),
        rate_text(row["success"]),
        rate_text(row["strict_success"]),
        f"`{row['commit'][:7]}`" + ("-dirty" if row["commit"].endswith("-dirty") else ""),
    ]
    return f"| {' | '.join(cells)} |"


def rate_text(rate: dict[str, Any]) -> str:
    """A rate with its counts and its 95% interval: 97.5% (195/200; 94.3 to 98.9%)."""
    return f"{percent(rate['rate'])} ({rate['successes']}/{rate['trials']}; {interval(rate)})"


if __name__ == "__main__":
    main()
