"""Times the regularizers side by side: `python scripts/benchmarks/regularizers.py --threads 2 --json table.json`.

Medians over alternating calls in one process; each is a forward pass, then a forward and a backward pass together. Peak
memory is what one forward and backward pass adds to the resident memory of the process (on a GPU: to what is
allocated). Errors are relative, of the value and of the gradient, against the same formula in float64.
"""

import argparse
import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor

from lewm.distributed import use_all_cores
from lewm.errors import InputError, one_line_errors
from lewm.files import check_output, write_json
from lewm.provenance import describe_process
from lewm.regularizers import REGULARIZERS, Regularizer, SIGReg, Wristband
from lewm.regularizers.wristband.terms import on_the_wristband, pairwise_repulsion, spectral_repulsion
from lewm.tracking import progress_bar
from scripts.benchmarks.direct_formulas import direct_repulsion, direct_sigreg, direct_wristband, seeded
from scripts.benchmarks.gpu_step import gpu_step
from scripts.benchmarks.measuring import (
    Contender,
    Loss,
    errors,
    gaussian,
    machine,
    medians,
    peak_mb,
    value_and_gradient,
)


class Race(NamedTuple):
    """Contenders on one input of (num_samples, dim); speed and memory are relative to the one named `baseline`."""

    title: str
    num_samples: int
    dim: int
    z: Tensor
    contenders: dict[str, Contender]
    baseline: str | None


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, help="of torch; all cores without it")
    parser.add_argument("--repeats", type=int, default=21, help="calls behind a median (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    args = parser.parse_args(arguments)
    with one_line_errors():
        if args.repeats < 1 or (args.threads is not None and args.threads < 1):
            raise InputError(f"--repeats {args.repeats} and --threads {args.threads} must be at least 1")
        if args.device == "cuda" and not torch.cuda.is_available():
            raise InputError("--device cuda: torch sees no GPU; give --device cpu")
        check_output("--json", args.json)
        use_all_cores(args.threads, num_local_ranks=1)
        console = Console()
        modules = {name: kind().to(args.device) for name, kind in REGULARIZERS.items()}
        races = [*sigreg_races(args), *wristband_races(args, modules["wristband"]), *registry_races(args, modules)]
        with progress_bar(console) as progress:
            rows = [row for race in track(races, progress) for row in run(race, args.repeats)]
        for title in dict.fromkeys(race.title for race in races):
            console.print(as_table(title, [row for row in rows if row["race"] == title]))
        results: dict[str, Any] = {**describe_process(), "machine": machine(args.device), "rows": rows}
        if args.device == "cuda":
            results["gpu"] = gpu_step(args.repeats)
            console.print(results["gpu"])
        if args.json:
            write_json(args.json, results)


def track(races: list[Race], progress: Progress) -> Iterator[Race]:
    task = progress.add_task("benchmark", total=len(races), unit="comparison")
    for race in races:
        yield race
        progress.advance(task)


def sigreg_races(args: argparse.Namespace) -> Iterator[Race]:
    """SIGReg against the formula that evaluates cos and sin at every knot."""
    contenders = {
        "sigreg": Contender(loss_of(SIGReg().to(args.device), args.device), direct_sigreg),
        "direct": Contender(direct_sigreg, direct_sigreg),
    }
    num_samples, dim = (64, 32) if args.quick else (512, 192)
    z = gaussian((num_samples, 1, dim), args.device)
    yield Race("SIGReg, 1024 directions, 17 knots", num_samples, dim, z, contenders, "direct")


def wristband_races(args: argparse.Namespace, pairwise: Regularizer) -> Iterator[Race]:
    """Repulsion alone, then the whole loss: ours, which is calibrated, against the formula written plainly."""
    repulsions: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "pairwise": partial(pairwise_repulsion, metric="chordal", reduction="per_point"),
        "spectral": spectral_repulsion,
        "direct": direct_repulsion,
    }
    modules = {"pairwise": pairwise, "spectral": Wristband(repulsion="spectral").to(args.device)}
    whole = {name: Contender(loss_of(module, args.device), float64_of(module)) for name, module in modules.items()}
    whole["direct"] = Contender(direct_wristband, direct_wristband)
    for num_samples, dim in ((64, 32),) if args.quick else ((128, 32), (512, 192), (2048, 192)):
        z = gaussian((num_samples, 1, dim), args.device)
        u, t, _ = on_the_wristband(z[:, 0])
        alone = {name: of_one_tensor(repulsion, num_samples) for name, repulsion in repulsions.items()}
        points = torch.cat([u.flatten(), t])
        yield Race("Wristband, repulsion alone", num_samples, dim, points, alone, "pairwise")
        yield Race("Wristband, whole loss", num_samples, dim, z, whole, "pairwise")


def of_one_tensor(repulsion: Callable[[Tensor, Tensor], Tensor], num_samples: int) -> Contender:
    """A repulsion of u (N, d) and t (N,), laid end to end."""

    def loss(points: Tensor) -> Tensor:
        return repulsion(points[:-num_samples].unflatten(0, (num_samples, -1)), points[-num_samples:])

    return Contender(loss, loss)


def registry_races(args: argparse.Namespace, modules: dict[str, Regularizer]) -> Iterator[Race]:
    """Every registered regularizer with its default arguments."""
    contenders = {name: Contender(loss_of(module, args.device), float64_of(module)) for name, module in modules.items()}
    for num_samples in (64, 128) if args.quick else (64, 128, 512, 2048):
        for dim in (32,) if args.quick else (32, 192):
            z = gaussian((num_samples, 1, dim), args.device)
            yield Race("Registered regularizers", num_samples, dim, z, contenders, None)


def loss_of(regularizer: Regularizer, device: str) -> Loss:
    generator = torch.Generator(device)
    return lambda z: regularizer(z, generator=generator.manual_seed(0))


def float64_of(regularizer: Regularizer) -> Loss:
    """The loss in float64, past the cast to float32 that every call begins with; with the same calibration, if any."""
    return lambda z: copy.deepcopy(regularizer).double().loss(z, seeded(z.device))


def run(race: Race, repeats: int) -> list[dict[str, Any]]:
    """A row of numbers for each contender."""
    z = race.z.clone().requires_grad_()
    forwards = {name: partial(one.loss, z) for name, one in race.contenders.items()}
    both = {name: partial(value_and_gradient, one.loss, z) for name, one in race.contenders.items()}
    forward_ms, both_ms = medians(forwards, z.device, repeats), medians(both, z.device, repeats)
    rows = []
    for name, contender in race.contenders.items():
        value_error, gradient_error = errors(contender, z)
        row = {"race": race.title, "name": name, "num_samples": race.num_samples, "dim": race.dim}
        row |= {"forward_ms": forward_ms[name], "forward_backward_ms": both_ms[name]}
        row |= {"peak_mb": peak_mb(both[name], z.device)}
        rows.append(row | {"value_error": value_error, "gradient_error": gradient_error})
    baseline = next((row for row in rows if row["name"] == race.baseline), None)
    for row in rows if baseline else []:
        row["times_faster"] = baseline["forward_backward_ms"] / row["forward_backward_ms"]
        row["memory_ratio"] = row["peak_mb"] / baseline["peak_mb"] if row["peak_mb"] else None
    return rows


def as_table(title: str, rows: list[dict[str, Any]]) -> Table:
    columns = {
        "forward_ms": "fwd",
        "forward_backward_ms": "+bwd",
        "peak_mb": "MB",
        "value_error": "error",
        "gradient_error": "grad",
        "times_faster": "faster",
        "memory_ratio": "memory",
    }
    shown = {key: header for key, header in columns.items() if any(key in row for row in rows)}
    grid = Table(title=f"{title} (ms, MB)", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for header in ("", "N", "D", *shown.values()):
        grid.add_column(header, justify="right" if header else "left", no_wrap=True)
    for row in rows:
        cells = ["-" if row[key] is None else format_number(row[key], "error" in key) for key in shown]
        grid.add_row(row["name"], str(row["num_samples"]), str(row["dim"]), *cells)
    return grid


def format_number(value: float, is_error: bool) -> str:
    return f"{value:.0e}" if is_error else f"{value:.0f}" if value >= 100 else f"{value:.2g}"


if __name__ == "__main__":
    main()
