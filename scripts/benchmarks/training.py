"""Times a training step and its parts: `python scripts/benchmarks/training.py --json table.json`.

The step is the Trainer's, on clips of random walks in Two-Room. A case is model:frame size:patch size:batch size, such
as paper:224:14:128, the paper's. Steps are timed as they are, and then again by part, with a wait between the parts on
a GPU. Operations are those that torch's counter knows: matrix products, convolutions and attention. MFU is their rate
as a share of that of a large matrix product in the same precision on this machine.
"""

import argparse
import contextlib
import io
import itertools
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import hydra
import numpy as np
import torch
from accelerate.state import AcceleratorState
from omegaconf import OmegaConf
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from lewm.config import CONFIGS, TrainConfig, from_dict
from lewm.data.clips import training_actions
from lewm.data.episodes import Episodes
from lewm.data.normalize import ActionNormalizer
from lewm.distributed import use_all_cores
from lewm.errors import InputError, one_line_errors
from lewm.files import check_output, write_json
from lewm.precision import choose_precision
from lewm.provenance import describe_process
from lewm.tracking import progress_bar
from lewm.training.accelerator import start_accelerator
from lewm.training.model_spec import ModelSpec
from lewm.training.objective import build_objective
from lewm.training.trainer import Trainer
from scripts.benchmarks.data import make_data
from scripts.benchmarks.measuring import machine, now, peak_mb
from scripts.benchmarks.planning_parts import fastest

PARTS = ("data", "forward", "regularizer", "backward", "optimizer")
"""Parts of a step in their order. The forward pass ends with the prediction error, the backward pass with clipping."""

WARMUP = 2
"""Steps before those that count."""


class Case(NamedTuple):
    """What is trained: a file of configs/model at a frame size, a patch size and a batch size."""

    model: str
    frame_size: int
    patch_size: int
    batch_size: int

    @classmethod
    def parse(cls, text: str) -> "Case":
        """Reads model:frame size:patch size:batch size."""
        model, *sizes = text.split(":")
        if len(sizes) != 3 or not all(size.isdecimal() and int(size) > 0 for size in sizes):
            raise InputError(f"--cases {text}: give model:frame size:patch size:batch size, as in micro:64:16:32")
        if not (CONFIGS / "model" / f"{model}.yaml").is_file():
            raise InputError(f"--cases {text}: {model} is no file of configs/model")
        return cls(model, *map(int, sizes))

    def __str__(self) -> str:
        return f"{self.model} {self.frame_size}/{self.patch_size}, {self.batch_size}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=["micro:64:16:32"], help="model:frame:patch:batch (%(default)s)")
    parser.add_argument("--precisions", nargs="+", default=["auto"], help="auto, float32 or bfloat16 (%(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="behind each number (%(default)s)")
    parser.add_argument("--threads", type=int, help="of torch; all cores without it")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(%(default)s)")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    args = parser.parse_args(arguments)
    with one_line_errors():
        cases = check(args)
        use_all_cores(args.threads, num_local_ranks=1)
        console, rows = Console(), []
        with progress_bar(console) as progress, tempfile.TemporaryDirectory() as folder:
            bar = progress.add_task("training", total=len(cases) * len(args.precisions), unit="rows")
            for case in cases:
                for precision in args.precisions:
                    rows.append(measure(case, precision, args, Path(folder)))
                    progress.advance(bar)
        console.print(as_table(rows))
        if args.json:
            write_json(args.json, {**describe_process(), "machine": machine(args.device), "rows": rows})


def check(args: argparse.Namespace) -> list[Case]:
    if args.steps < 1:
        raise InputError(f"--steps {args.steps} must be at least 1")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no GPU; give --device cpu")
    check_output("--json", args.json)
    return [Case.parse(text) for text in args.cases]


def measure(case: Case, precision: str, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """A row of numbers: rates, milliseconds by part, and memory."""
    device = torch.device(args.device)
    data = Episodes(make_data_once(folder / str(case.frame_size), case.frame_size))
    make = partial(make_trainer, case, precision, args, data, folder / "run")
    whole, by_part = make(WARMUP + args.steps), make(WARMUP + args.steps)
    ends = [mark.seconds for mark in run(whole, device, ["optimizer"])]
    step_s = statistics.median(np.diff(ends)[WARMUP - 1 :])
    flops = count_flops(make(1))
    chosen = choose_precision("--precisions", precision, args.device)
    peak = matrix_flops_per_s(device, torch.bfloat16 if chosen == "bfloat16" else torch.float32)
    return {
        "case": str(case),
        "precision": chosen,
        "step_ms": 1e3 * step_s,
        "frames_per_s": case.batch_size * whole.config.training.num_frames / step_s,
        "gflop": flops / 1e9,
        "gflop_per_s": flops / step_s / 1e9,
        "matrix_gflop_per_s": peak / 1e9,
        "mfu": flops / step_s / peak,
        "parts_ms": parts_ms(run(by_part, device, PARTS)),
        "peak_mb": peak_mb(make(1).fit, device),
    }


def make_data_once(path: Path, frame_size: int) -> Path:
    """Random walks in Two-Room, for all cases of a frame size."""
    return path if path.exists() else make_data(path, frame_size, num_episodes=40, num_steps=90)


def make_trainer(
    case: Case, precision: str, args: argparse.Namespace, data: Episodes, run_dir: Path, num_steps: int
) -> Trainer:
    """The trainer of a case, which neither logs nor validates before its last step."""
    words = {
        "model": case.model,
        "env.frame_size": case.frame_size,
        "model.encoder.patch_size": case.patch_size,
        "training.batch_size": case.batch_size,
        "training.num_steps": num_steps,
        "training.precision": precision,
        "training.log_every": num_steps + 1,
        "device": args.device,
        "num_threads": args.threads or torch.get_num_threads(),
        "output_dir": run_dir.parent,
        "name": run_dir.name,
    }
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = hydra.compose("train", [f"{key}={value}" for key, value in words.items()])
    values = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
    config = cast(TrainConfig, from_dict(values, TrainConfig))
    AcceleratorState._reset_state(reset_partial_state=True)  # of the case before
    with contextlib.redirect_stdout(io.StringIO()):
        accelerator = start_accelerator(config)
    ids = np.arange(len(data))
    spec = ModelSpec.of(config, data, ActionNormalizer.fit(training_actions(data, ids)))
    clips = spec.clips(data, ids, config.training.num_frames)
    torch.manual_seed(0)
    model = spec.build_model()
    model.fit_normalization(clips.__getitems__(np.arange(64)).pixels)
    objective = build_objective(model, config.regularizer)
    run_dir.mkdir(exist_ok=True)
    quiet = Progress(disable=True, console=Console(quiet=True))
    return Trainer(config, spec, accelerator, objective, clips, lambda model: {}, quiet)


class Mark(NamedTuple):
    """When a part of a step ended."""

    part: str
    seconds: float


def run(trainer: Trainer, device: torch.device, parts: Sequence[str]) -> list[Mark]:
    """Trains, and returns when each of these parts of each step ended.

    The batch has been read when the objective is called, and the regularizer is called within it.
    """
    marks: list[Mark] = []

    def mark(part: str) -> Callable[..., None]:
        return lambda *_: marks.append(Mark(part, now(device))) if part in parts else None

    objective, optimizer = trainer.objective, trainer.optimizer.optimizer
    objective.register_forward_pre_hook(mark("data"))
    trainer.regularizer.register_forward_pre_hook(mark("forward"))
    trainer.regularizer.register_forward_hook(mark("regularizer"))
    optimizer.register_step_pre_hook(mark("backward"))
    optimizer.register_step_post_hook(mark("optimizer"))
    trainer.fit()
    return marks


def parts_ms(marks: Sequence[Mark]) -> dict[str, float]:
    """Median milliseconds from one mark to the next, by the part that the second one ends, without the first steps."""
    times: dict[str, list[float]] = {part: [] for part in PARTS}
    for before, after in itertools.pairwise(marks):
        times[after.part].append(after.seconds - before.seconds)
    return {part: 1e3 * statistics.median(values[WARMUP - 1 :]) for part, values in times.items()}


def count_flops(trainer: Trainer) -> int:
    """Operations of one step, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        trainer.fit()
    return int(counter.get_total_flops())


def matrix_flops_per_s(device: torch.device, dtype: torch.dtype) -> float:
    """Rate of a large matrix product."""
    matrix = torch.randn(2048, 2048, device=device, dtype=dtype)
    return 2 * 2048**3 / fastest(lambda: matrix @ matrix, device)


def as_table(rows: Sequence[dict[str, Any]]) -> Table:
    """A column for each case."""
    table = Table(title="A training step", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("")
    for row in rows:
        table.add_column(f"{row['case']}, {row['precision']}", justify="right")
    numbers: dict[str, Callable[[dict[str, Any]], str]] = {
        "ms": lambda row: f"{row['step_ms']:,.1f}",
        "frames/s": lambda row: f"{row['frames_per_s']:,.0f}",
        "GFLOP": lambda row: f"{row['gflop']:,.1f}",
        "MFU": lambda row: f"{row['mfu']:.0%}",
        **{f"{part}, ms": lambda row, part=part: f"{row['parts_ms'][part]:,.1f}" for part in PARTS},
        "peak MB": lambda row: "" if row["peak_mb"] is None else f"{row['peak_mb']:,.0f}",
    }
    for name, text in numbers.items():
        table.add_row(name, *map(text, rows))
    return table


if __name__ == "__main__":
    main()
