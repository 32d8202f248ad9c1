"""Tests saved embeddings against N(0, I): `lewm gaussianity embeddings.npy --json report.json`."""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lewm.diagnostics.gaussianity import MAX_SAMPLES, MIN_SAMPLES, check_embeddings, gaussianity_statistics
from lewm.diagnostics.slice_tests import p_value, simulate, slice_directions
from lewm.errors import InputError, one_line_errors
from lewm.files import check_output, write_json
from lewm.tracking import progress_bar

LEVEL = 0.05
LOW_IS_BAD = ("effective_rank", "effective_rank_origin")


class Finding(NamedTuple):
    """A statistic of the embeddings beside its distribution for N(0, I) samples of the same shape.

    Attributes:
      value: statistic of the embeddings.
      p: probability of a value at least as far from N(0, I), one-sided; by Monte Carlo.
      null_mean, null_low, null_high: mean and central 95% under N(0, I).
      gaussian: p is above LEVEL over the number of statistics, so that all hold together for 95% of N(0, I) samples.
    """

    value: float
    p: float
    null_mean: float
    null_low: float
    null_high: float
    gaussian: bool


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help=".npy or .safetensors of (N, D) or (B, T, D) embeddings")
    parser.add_argument("--key", help="name of the tensor, where a .safetensors file holds several")
    parser.add_argument("--frame", type=int, help="of (B, T, D), take only this time step; without it, all are taken")
    parser.add_argument("--slices", type=int, default=256, help="directions of the sliced tests (%(default)s)")
    parser.add_argument("--draws", type=int, default=399, help="N(0, I) samples behind the p-values (%(default)s)")
    parser.add_argument("--rows", type=int, default=MAX_SAMPLES, help="at most this many are tested (%(default)s)")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    args = parser.parse_args(arguments)
    console = Console()
    with one_line_errors():
        check_output("--json", args.json)
        if args.slices < 2 or args.rows < MIN_SAMPLES:
            raise InputError(f"--slices {args.slices} is at least 2, --rows {args.rows} at least {MIN_SAMPLES}")
        all_rows = as_rows(load_embeddings(args.file, args.key), args.frame, console)
        z = check_embeddings(all_rows, args.rows)
        if len(z) < len(all_rows):
            console.print(f"{len(z):,} of {len(all_rows):,} rows are tested, drawn at random: --rows N tests more")
        findings = compare(z, args.slices, args.draws, console)
        show(findings, f"{args.file.name}: {z.shape[0]:,} samples, {z.shape[1]} dimensions", console)
        if args.json:
            numbers = {name: finding._asdict() for name, finding in findings.items()}
            shape = {"num_samples": z.shape[0], "dim": z.shape[1], "num_slices": args.slices, "num_draws": args.draws}
            write_json(args.json, {"file": str(args.file), **shape, "statistics": numbers})


def load_embeddings(path: Path, key: str | None) -> Tensor:
    """Reads the array of a .npy file or a tensor of a .safetensors file; nothing in the file is run."""
    if not path.is_file():
        raise InputError(f"{path} is not a file: give a .npy or .safetensors of embeddings")
    if path.suffix == ".npy":
        return _load_npy(path)
    if path.suffix == ".safetensors":
        return _load_safetensors(path, key)
    raise InputError(f"{path} is neither .npy nor .safetensors: save the embeddings as one of them")


def _load_npy(path: Path) -> Tensor:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        raise InputError(f"{path} is not a .npy file of numbers: write it with numpy.save") from None
    if array.dtype.kind not in "fiu":
        raise InputError(f"{path} holds {array.dtype}: give real numbers")
    return torch.from_numpy(array.astype(np.float64))


def _load_safetensors(path: Path, key: str | None) -> Tensor:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if key is None and len(names) == 1:
                key = names[0]
            if key not in names:
                asked = "several tensors" if key is None else f"no {key!r}"
                raise InputError(f"{path} holds {asked}: give --key, one of {', '.join(names)}")
            tensor = file.get_tensor(key)
    except SafetensorError as error:
        raise InputError(f"{path} is not a .safetensors file ({error}): write it with safetensors") from None
    if not isinstance(tensor, Tensor) or tensor.is_complex() or tensor.dtype == torch.bool:
        raise InputError(f"{key} in {path} holds {tensor.dtype}: give real numbers")
    return tensor


def as_rows(z: Tensor, frame: int | None, console: Console) -> Tensor:
    """Rows to test: (N, D), or (B, T, D) of which one time step or all are taken, -> (N, D)."""
    if frame is not None:
        if z.ndim != 3 or not 0 <= frame < z.shape[1]:
            raise InputError(
                f"--frame {frame} is not in embeddings of shape {tuple(z.shape)}: it needs (B, T, D), T more"
            )
        return z[:, frame]
    if z.ndim == 3:
        console.print(
            f"{tuple(z.shape)} is taken as {z.shape[0] * z.shape[1]:,} rows. Frames of one clip are alike, so that the"
            " p-values are too small: --frame 0 takes one of each clip.",
            soft_wrap=True,
        )
        return z.flatten(0, 1)
    return z


def compare(z: Tensor, num_slices: int, num_draws: int, console: Console) -> dict[str, Finding]:
    """Compares the statistics of (N, D) samples with those of num_draws arrays of N(0, I) samples."""
    directions = slice_directions(z.shape[1], num_slices)
    values = gaussianity_statistics(z, directions)
    level = LEVEL / len(values)
    if (num_draws + 1) * level < 1:
        raise InputError(
            f"--draws {num_draws} cannot reject any of {len(values)} statistics: give {1 / level:.0f} or more"
        )
    with progress_bar(console) as progress:
        task = progress.add_task("N(0, I) of this shape", total=num_draws, unit="samples")
        null = simulate(
            lambda x: gaussianity_statistics(x, directions),
            *z.shape,
            num_draws,
            advance=lambda: progress.update(task, advance=1),
        )
    findings = {}
    for name, value in values.items():
        sign = -1 if name in LOW_IS_BAD else 1
        p = p_value(sign * value, sign * null[name]).item()
        low, high = null[name].quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
        findings[name] = Finding(value, p, null[name].mean().item(), low, high, p > level)
    return findings


def show(findings: dict[str, Finding], title: str, console: Console) -> None:
    """Prints a table, whose null columns are for N(0, I), and the verdict in one line."""
    table = Table(title=title, box=box.SIMPLE, show_edge=False, padding=(0, 1, 0, 0), title_justify="left")
    for header in ("statistic", "value", "p", "null mean", "null 95%", "verdict"):
        table.add_column(header, justify="left" if header == "statistic" else "right", no_wrap=True)
    for name, finding in findings.items():
        table.add_row(
            name,
            f"{finding.value:.3g}",
            f"{finding.p:.2g}",
            f"{finding.null_mean:.3g}",
            f"{finding.null_low:.3g} to {finding.null_high:.3g}",
            "ok" if finding.gaussian else "not",
        )
    console.print(table)
    against = [name for name, finding in findings.items() if not finding.gaussian]
    if against:
        console.print(f"These samples are not N(0, I): {', '.join(against)}.", soft_wrap=True)
    else:
        console.print("Nothing here tells these samples from N(0, I).")


if __name__ == "__main__":
    main()
