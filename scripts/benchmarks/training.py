"""Times a training step and its parts: `python scripts/benchmarks/training.py --json table.json`.

The step is the Trainer's, on clips of random walks in Two-Room. A case is model:frame size:patch size:batch size, such
as paper:224:14:128, the paper's. Each case is trained in every combination of --precisions, --graph and --compile.
Steps are timed with the reading of their clips, and then again by part, with a wait between the parts on a GPU; a CUDA
graph has no parts. Operations are the matrix products, convolutions and attention of the model. MFU is
their rate as a share of that of a large matrix product in the same precision on this machine.

--peer: stable-worldmodel makes a step of LeWM's model after each of ours, on the same clips, with the same threads and
in the same precision, not compiled. Its clips are read and normalized before its time begins.
"""

import argparse
import itertools
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from lewm.data.episodes import Episodes
from lewm.distributed import use_all_cores
from lewm.errors import InputError, one_line_errors
from lewm.files import check_output, write_json
from lewm.provenance import describe_process
from lewm.tracking import progress_bar
from lewm.training.throughput import count_model_flops, matrix_flops_per_s
from scripts.benchmarks import training_peer
from scripts.benchmarks.data import make_data
from scripts.benchmarks.measuring import machine, peak_mb
from scripts.benchmarks.training_case import PARTS, Case, Variant, make_trainer, mark_parts, parts_ms, time_steps

WORDS = ("auto", "true", "false")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=["micro:64:16:32"], help="model:frame:patch:batch (%(default)s)")
    parser.add_argument("--precisions", nargs="+", default=["auto"], help="auto, float32 or bfloat16 (%(default)s)")
    parser.add_argument("--graph", nargs="+", choices=WORDS, default=["auto"], help="training.graph (%(default)s)")
    parser.add_argument("--compile", nargs="+", choices=WORDS, default=["auto"], help="training.compile (%(default)s)")
    parser.add_argument("--peer", action="store_true", help="also time stable-worldmodel's step of LeWM's model")
    parser.add_argument("--steps", type=int, default=20, help="behind each number (%(default)s)")
    parser.add_argument("--threads", type=int, help="of torch; all cores without it")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(%(default)s)")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    args = parser.parse_args(arguments)
    with one_line_errors():
        cases, variants = check(args)
        use_all_cores(args.threads, num_local_ranks=1)
        console, rows = Console(), []
        with progress_bar(console) as progress, tempfile.TemporaryDirectory() as folder:
            bar = progress.add_task("training", total=len(cases) * len(variants), unit="rows")
            for case, variant in itertools.product(cases, variants):
                rows.append(measure(case, variant, args, Path(folder)))
                progress.advance(bar)
        console.print(as_table(rows))
        if args.json:
            write_json(args.json, {**describe_process(), "machine": machine(args.device), "rows": rows})


def check(args: argparse.Namespace) -> tuple[list[Case], list[Variant]]:
    """Cases and variants of the command line, each variant once."""
    if args.steps < 1:
        raise InputError(f"--steps {args.steps} must be at least 1")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no GPU; give --device cpu")
    check_output("--json", args.json)
    cases = [Case.parse(text) for text in args.cases]
    if args.peer:
        training_peer.check(cases)
    words = itertools.product(args.precisions, args.graph, args.compile)
    variants = dict.fromkeys(Variant.choose(*combination, args.device) for combination in words)
    if args.device == "cpu" and any(variant.graph for variant in variants):
        raise InputError("--graph true records a CUDA graph: give --device cuda")
    return cases, list(variants)


def measure(case: Case, variant: Variant, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """A row of numbers: rates, milliseconds by part, and memory."""
    device, num_warmup = torch.device(args.device), variant.num_warmup
    data = Episodes(make_data_once(folder / str(case.frame_size), case.frame_size))
    make = partial(make_trainer, case, data=data, run_dir=folder / "run", device=args.device, num_threads=args.threads)
    trainer = make(variant, num_steps=num_warmup + args.steps)
    num_frames = case.batch_size * trainer.config.training.num_frames
    peer = training_peer.TheirStep(trainer) if args.peer else None
    step_s = time_steps(trainer, device, num_warmup, peer)
    training = trainer.config.training
    sizes = case.batch_size, training.num_frames, training.rollout_steps
    flops = count_model_flops(trainer.model, trainer.spec, *sizes)
    peak = matrix_peak(device, torch.bfloat16 if variant.precision == "bfloat16" else torch.float32)
    parts = None if variant.graph else mark_parts(make(variant, num_steps=num_warmup + args.steps), device)
    row = {
        "case": str(case),
        **variant._asdict(),
        "step_ms": 1e3 * step_s,
        "frames_per_s": num_frames / step_s,
        "gflop": flops / 1e9,
        "gflop_per_s": flops / step_s / 1e9,
        "matrix_gflop_per_s": peak / 1e9,
        "mfu": flops / step_s / peak,
        "parts_ms": parts_ms(parts, num_warmup) if parts else None,
        "peak_mb": peak_mb(make(variant, num_steps=num_warmup if variant.graph else 1).fit, device),
        "num_parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
    }
    if peer is not None:
        peer_s = statistics.median(peer.seconds[num_warmup:])
        row |= {
            "peer_frames_per_s": num_frames / peer_s,
            "times_the_peer": peer_s / step_s,
            "peer_num_parameters": peer.num_parameters,
        }
    return row


def make_data_once(path: Path, frame_size: int) -> Path:
    """Random walks in Two-Room, for all cases of a frame size."""
    return path if path.exists() else make_data(path, frame_size, num_episodes=40, num_steps=90)


@cache
def matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Rate of a large matrix product, measured once for all rows."""
    return matrix_flops_per_s(device, dtype)


def as_table(rows: Sequence[dict[str, Any]]) -> Table:
    """A column for each case and variant."""
    table = Table(title="A training step", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("")
    for row in rows:
        table.add_column(f"{row['case']}, {Variant(row['precision'], row['graph'], row['compile'])}", justify="right")
    numbers: dict[str, Callable[[dict[str, Any]], str]] = {
        "ms": lambda row: f"{row['step_ms']:,.1f}",
        "frames/s": lambda row: f"{row['frames_per_s']:,.1f}",
        "GFLOP": lambda row: f"{row['gflop']:,.1f}",
        "TFLOP/s": lambda row: f"{row['gflop_per_s'] / 1e3:,.3g}",
        "MFU": lambda row: f"{row['mfu']:.0%}",
        **{f"{part}, ms": lambda row, part=part: _number((row["parts_ms"] or {}).get(part), 1) for part in PARTS},
        "peak MB": lambda row: _number(row["peak_mb"], 0),
    }
    if any("peer_frames_per_s" in row for row in rows):
        numbers |= {
            f"{training_peer.NAME}, frames/s": lambda row: _number(row["peer_frames_per_s"], 1),
            "times the peer": lambda row: _number(row["times_the_peer"], 2),
        }
    for name, text in numbers.items():
        table.add_row(name, *map(text, rows))
    return table


def _number(value: float | None, digits: int) -> str:
    """A number with thousands separators; nothing for None."""
    return "" if value is None else f"{value:,.{digits}f}"


if __name__ == "__main__":
    main()
