"""Tests of Gaussianity, and networks made Gaussian: `python scripts/demos/gaussianize.py --out runs/demos`.

Follows S. Czinner, "Gaussianizing to Prevent Latent Collapse in JEPA Models" (2026): ECDF tests and the Epps-Pulley
test on a uniform and a Gaussian sample, the number of knots, a 1-D and a 10-D network trained with SIGReg alone. The
null distribution of the Epps-Pulley statistic, left open there, is simulated, and the size of the tests is checked.

A network learns the scatter of its 500 training inputs, too: one whose training outputs are exactly N(0, 1) gives 500
held-out ones twice the statistic of a Gaussian sample on average, and is rejected too often.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from scipy import stats
from torch import Tensor, nn

from lewm.diagnostics.gaussianity import gaussianity_report
from lewm.diagnostics.slice_tests import anderson_darling, ascending, cramer_von_mises, epps_pulley, p_value
from lewm.errors import InputError, one_line_errors
from lewm.regularizers import SIGReg
from lewm.tracking import progress_bar

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

NUM_SAMPLES = 100
BLUE, ORANGE, GRAY = "#2f6f8f", "#d1743c", "#8a9099"
HALF_KNOTS = (2, 3, 4, 5, 6, 7, 8, 9, 13, 17, 25, 33, 65)
"""Knots on [0, 5]; on [-5, 5] these are 3, 5, 7, ..., 17 (the article's training loss), ..., 129."""

TESTS: dict[str, Callable[[Tensor], Tensor]] = {
    "Cramer-von Mises": lambda x: cramer_von_mises(ascending(x)),
    "Anderson-Darling": lambda x: anderson_darling(ascending(x)),
    "Epps-Pulley": lambda x: epps_pulley(x, num_knots=9, max_knot=5.0),
}
"""(M, N) samples -> (M,); the Epps-Pulley test in the article's quadrature, 17 knots on [-5, 5]."""


class Trained(NamedTuple):
    """Outputs (N, D) for held-out inputs before and after training, and the loss of each step."""

    before: Tensor
    after: Tensor
    curve: list[float]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/demos"), help="folder of the figures (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (%(default)s)")
    parser.add_argument("--num-draws", type=int, default=50_000, help="null samples behind p-values (%(default)s)")
    parser.add_argument("--num-steps", type=int, default=2000, help="1-D network; half in 10-D (%(default)s)")
    args = parser.parse_args(arguments)
    console = Console()
    with one_line_errors():
        if args.num_draws < 100 or args.num_steps < 2:
            raise InputError("give --num-draws of at least 100 and --num-steps of at least 2")
        args.out.mkdir(parents=True, exist_ok=True)
        generator = torch.Generator().manual_seed(args.seed)
        samples = {
            "uniform": 6 * torch.rand(NUM_SAMPLES, generator=generator, dtype=torch.float64) - 3,
            "Gaussian": torch.randn(NUM_SAMPLES, generator=generator, dtype=torch.float64),
        }
        with progress_bar(console) as progress:
            null = simulate_null(args.num_draws, generator, progress, "null distributions")
            fresh = simulate_null(10_000, generator, progress, "fresh null samples")
        console.print(tests_table(samples, null))
        console.print(size_table(fresh, null))
        save(draw_tests(samples, null, fresh), args.out / "gaussianize_tests.png", console)
        with progress_bar(console) as progress:
            knots = measure_knots(samples, generator, args.num_draws // 5, progress)
        save(draw_knots(samples, knots), args.out / "gaussianize_knots.png", console)
        with progress_bar(console) as progress:
            trained = {
                "1-D": train_network(1, 16, 10.0, args.num_steps, generator, progress),
                "10-D": train_network(10, 20, 5.0, args.num_steps // 2, generator, progress),
            }
        console.print(network_table(trained))
        save(draw_networks(trained), args.out / "gaussianize_networks.png", console)


def save(figure: Figure, path: Path, console: Console) -> None:
    figure.savefig(path, dpi=150)
    plt.close(figure)
    console.print(f"figure: {path}", soft_wrap=True)


def simulate_null(num: int, generator: torch.Generator, progress: Progress, label: str) -> dict[str, Tensor]:
    """(num,) values of each test on samples of N(0, 1)."""
    task, values = progress.add_task(label, total=num, unit="samples"), []
    for start in range(0, num, 1000):
        x = torch.randn(min(1000, num - start), NUM_SAMPLES, generator=generator, dtype=torch.float64)
        values.append({name: test(x) for name, test in TESTS.items()})
        progress.update(task, advance=len(x))
    return {name: torch.cat([value[name] for value in values]) for name in TESTS}


def tests_table(samples: dict[str, Tensor], null: dict[str, Tensor]) -> Table:
    """Statistic and p-value of each test and sample, beside scipy's where it has the test."""
    table = Table(title=f"{NUM_SAMPLES} samples against N(0, 1)")
    for header in ("sample", "test", "statistic", "p", "p of scipy", "at 5%"):
        table.add_column(header, justify="left" if header in ("sample", "test") else "right")
    for sample, x in samples.items():
        scipy_p = {
            "Cramer-von Mises": stats.cramervonmises(x.numpy(), stats.norm.cdf).pvalue,
            "Anderson-Darling": stats.goodness_of_fit(
                stats.norm, x.numpy(), known_params={"loc": 0, "scale": 1}, statistic="ad", rng=0
            ).pvalue,
        }
        for name, test in TESTS.items():
            value = test(x[None])[0]
            p = p_value(value, null[name]).item()
            other = f"{scipy_p[name]:.2g}" if name in scipy_p else ""
            table.add_row(sample, name, f"{value:.4f}", f"{p:.2g}", other, "rejected" if p <= 0.05 else "kept")
    return table


def size_table(fresh: dict[str, Tensor], null: dict[str, Tensor]) -> Table:
    """How often the calibrated tests reject samples of N(0, 1) that the calibration has not seen."""
    num_fresh, num_draws = (len(draws["Epps-Pulley"]) for draws in (fresh, null))
    table = Table(title=f"Rejected of {num_fresh:,} new null samples; p-values from {num_draws:,} draws")
    for header in ("test", "at 1%", "at 5%", "at 10%", "5% critical value"):
        table.add_column(header, justify="left" if header == "test" else "right")
    rates = [rejection_rates(fresh, null, level) for level in (0.01, 0.05, 0.1)]
    for name in fresh:
        table.add_row(name, *(f"{rate[name]:.2%}" for rate in rates), f"{null[name].quantile(0.95):.4f}")
    return table


def rejection_rates(fresh: dict[str, Tensor], null: dict[str, Tensor], level: float) -> dict[str, float]:
    return {name: (p_value(values, null[name]) <= level).double().mean().item() for name, values in fresh.items()}


def measure_knots(
    samples: dict[str, Tensor], generator: torch.Generator, num_draws: int, progress: Progress
) -> dict[str, list[float]]:
    """Epps-Pulley statistic and p-value ("<sample>", "<sample> p") and the 5% critical value, by HALF_KNOTS."""
    null = torch.randn(num_draws, NUM_SAMPLES, generator=generator, dtype=torch.float64)
    found: dict[str, list[float]] = {"critical": [], **{key: [] for name in samples for key in (name, f"{name} p")}}
    task = progress.add_task("knots", total=len(HALF_KNOTS), unit="settings")
    for num_knots in HALF_KNOTS:
        draws = torch.cat([epps_pulley(x, num_knots, max_knot=5.0) for x in null.split(1000)])
        found["critical"].append(draws.quantile(0.95).item())
        for name, x in samples.items():
            value = epps_pulley(x[None], num_knots, max_knot=5.0)[0]
            found[name].append(value.item())
            found[f"{name} p"].append(p_value(value, draws).item())
        progress.update(task, advance=1)
    return found


def train_network(
    dim: int, width: int, reach: float, num_steps: int, generator: torch.Generator, progress: Progress
) -> Trained:
    """Makes a network's outputs Gaussian for uniform inputs in [-reach, reach]: 500 to learn from, 500 held out."""
    x = reach * (2 * torch.rand(1000, dim, generator=generator) - 1)
    fit, held_out = x.chunk(2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        network = nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Linear(width, dim))
    with torch.no_grad():
        before = network(held_out)
    # One dimension has one direction, up to its sign.
    sigreg, curve = SIGReg(256 if dim > 1 else 1, num_knots=9, max_knot=5.0), []
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    task = progress.add_task(f"{dim}-D network", total=num_steps, unit="steps")
    for _ in range(num_steps):
        loss = sigreg(network(fit)[:, None], generator=generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(sigreg.statistic(loss.item(), len(fit)))
        progress.update(task, advance=1)
    with torch.no_grad():
        return Trained(before, network(held_out), curve)


def network_table(trained: dict[str, Trained]) -> Table:
    """The report on the outputs for held-out inputs."""
    table = Table("statistic", title="Outputs for 500 held-out inputs against N(0, I)", box=box.SIMPLE)
    reports = {}
    for name, outputs in trained.items():
        for when in ("before", "after"):
            table.add_column(f"{name} {when}", justify="right")
            reports[f"{name} {when}"] = gaussianity_report(getattr(outputs, when), num_slices=64, num_draws=399)
    for key in next(iter(reports.values())):
        table.add_row(key, *(f"{values[key]:.3g}" for values in reports.values()))
    return table


def draw_tests(samples: dict[str, Tensor], null: dict[str, Tensor], fresh: dict[str, Tensor]) -> Figure:
    """The samples' ECDFs, the null distribution of the Epps-Pulley statistic, and its p-values under the null."""
    figure, (ecdf, density, calibration) = plt.subplots(
        1, 3, figsize=(13.5, 3.9), layout="constrained", width_ratios=(1, 1.5, 1)
    )
    draws, x = null["Epps-Pulley"], np.linspace(-3.5, 3.5, 300)
    ecdf.plot(x, stats.norm.cdf(x), color="black", linewidth=1.2, label="N(0, 1)")
    bins = np.geomspace(draws.min(), draws.max(), 80).tolist()
    density.hist(draws.numpy(), bins, color=GRAY, alpha=0.6, label=f"{len(draws):,} samples of N(0, 1)")
    density.axvline(draws.quantile(0.95).item(), color="black", linestyle="--", label="5% critical value")
    for (name, sample), color in zip(samples.items(), (ORANGE, BLUE), strict=True):
        value = TESTS["Epps-Pulley"](sample[None])[0]
        ecdf.ecdf(sample.numpy(), color=color, label=f"{name} sample")
        density.axvline(value.item(), color=color, linewidth=2, label=f"{name}: p = {p_value(value, draws).item():.2g}")
    calibration.plot([0, 1], [0, 1], color=GRAY, linewidth=4, alpha=0.5, label="uniform")
    calibration.ecdf(p_value(fresh["Epps-Pulley"], draws).numpy(), color=BLUE, label="10,000 new null samples")
    density.set_xscale("log")
    _tidy(ecdf, f"{NUM_SAMPLES} samples", "x", "distribution function")
    _tidy(density, "Null distribution", f"Epps-Pulley statistic, N = {NUM_SAMPLES}", "samples", "upper left")
    _tidy(calibration, "p-values under the null", "p-value", "share below")
    return figure


def draw_knots(samples: dict[str, Tensor], knots: dict[str, list[float]]) -> Figure:
    figure, (statistic, p) = plt.subplots(1, 2, figsize=(9, 3.9), layout="constrained")
    counts = [2 * num_knots - 1 for num_knots in HALF_KNOTS]
    statistic.plot(counts, knots["critical"], "--", color="black", label="5% critical value")
    p.axhline(0.05, linestyle="--", color="black", label="5%")
    for name, color in zip(samples, (ORANGE, BLUE), strict=True):
        statistic.plot(counts, knots[name], ".-", color=color, label=name)
        p.plot(counts, knots[f"{name} p"], ".-", color=color, label=name)
    for axes, label in ((statistic, "Epps-Pulley statistic"), (p, "p-value")):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks([3, 5, 9, 17, 33, 65, 129], ["3", "5", "9", "17", "33", "65", "129"])
        axes.set_xticks([], minor=True)
        _tidy(axes, "", "knots on [-5, 5]", label)
    return figure


def draw_networks(trained: dict[str, Trained]) -> Figure:
    """Outputs before and after along the first axis, and the training curves."""
    figure, panels = plt.subplots(1, len(trained) + 1, figsize=(13.5, 3.9), layout="constrained")
    x, bins = np.linspace(-4, 4, 200), np.linspace(-4, 4, 41).tolist()
    for axes, (name, outputs), color in zip(panels, trained.items(), (GRAY, BLUE), strict=False):
        axes.hist(outputs.before[:, 0].numpy(), bins, density=True, color=ORANGE, alpha=0.6, label="before")
        axes.hist(outputs.after[:, 0].numpy(), bins, density=True, color=BLUE, alpha=0.6, label="after")
        axes.plot(x, stats.norm.pdf(x), color="black", linewidth=1.2, label="N(0, 1)")
        _tidy(axes, f"{name} network", "first output, held-out inputs", "density")
        panels[-1].plot(outputs.curve, color=color, label=f"{name}, training inputs")
    panels[-1].axhline(1.05, color="black", linestyle="--", linewidth=1, label="mean of N(0, I) samples")
    panels[-1].set_yscale("log")
    _tidy(panels[-1], "Training on SIGReg alone", "Adam step", "Epps-Pulley statistic")
    return figure


def _tidy(axes: Axes, title: str, x_label: str, y_label: str, legend: str = "best") -> None:
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.legend(frameon=False, fontsize=9, loc=legend)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
