"""SIGReg on samples: what it sees, and how it whitens: `python scripts/demos/sigreg_demo.py --out runs/demos`.

Reproduces the table, the whitening run and the figure of alexsavio's public SIGReg demo (2026), in its quadrature, with
the regularizer of this project. One batch of a true Gaussian scatters by a tenth, so other seeds differ by that much.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor

from lewm.errors import InputError, one_line_errors
from lewm.regularizers import SIGReg
from lewm.tracking import progress_bar

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

PUBLISHED = {
    "isotropic Gaussian": 0.000281,
    "full collapse": 0.246018,
    "rank 1": 0.081067,
    "Student-t(3)": 0.047251,
    "one axis x5": 0.026291,
    "shift by 2": 0.480116,
}
PUBLISHED_CURVE = {0: 0.314595, 60: 0.002082, 120: 0.000989, 180: 0.000913, 240: 0.000919, 300: 0.000841}
BLUE, ORANGE, GRAY = "#2f6f8f", "#d1743c", "#8a9099"


class Whitening(NamedTuple):
    """curve: SIGReg before each step and after the last; before, after (N, D): samples; reference: of N(0, I)."""

    curve: list[float]
    before: Tensor
    after: Tensor
    reference: float


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/demos"), help="folder of the figure (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of samples and directions (%(default)s)")
    parser.add_argument("--num-steps", type=int, default=300, help="of the whitening run (%(default)s)")
    args = parser.parse_args(arguments)
    console = Console()
    with one_line_errors():
        if args.num_steps < 1 or args.seed < 0:
            raise InputError(f"--num-steps {args.num_steps} must be at least 1 and --seed {args.seed} at least 0")
        args.out.mkdir(parents=True, exist_ok=True)
        scores = score_failures(args.seed)
        console.print(comparison("SIGReg of 2,048 samples in 32 dimensions", PUBLISHED, scores))
        with progress_bar(console) as progress:
            whitening = whiten(args.seed, args.num_steps, progress)
        curve = {step: whitening.curve[step] for step in PUBLISHED_CURVE if step < len(whitening.curve)}
        published = {f"step {step}": PUBLISHED_CURVE[step] for step in curve}
        console.print(
            comparison("Whitening by SIGReg alone", published, dict(zip(published, curve.values(), strict=True)))
        )
        std = whitening.after.std(0)
        console.print(
            f"ends at {whitening.curve[-1]:.6f}, true N(0, I) at {whitening.reference:.6f};"
            f" norm of the mean {whitening.after.mean(0).norm():.3f} (published 0.079),"
            f" std of the axes {std.min():.3f} to {std.max():.3f} (0.868 to 1.066)"
        )
        path = args.out / "sigreg_demo.png"
        draw(scores, whitening, path)
        console.print(f"figure: {path}", soft_wrap=True)


def failures(seed: int, num_samples: int = 2048, dim: int = 32) -> dict[str, Tensor]:
    """(N, D) samples of a Gaussian and of five ways to fail, under the names of PUBLISHED."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    scales = torch.ones(dim)
    scales[0] = 5
    samples = (
        normal(num_samples, dim),
        torch.full((num_samples, dim), 0.3),
        normal(num_samples, 1) * normal(dim),
        normal(num_samples, dim) / normal(3, num_samples, dim).square().mean(0).sqrt(),
        normal(num_samples, dim) * scales,
        normal(num_samples, dim) + 2,
    )
    return dict(zip(PUBLISHED, samples, strict=True))


def demo_sigreg(num_directions: int) -> SIGReg:
    return SIGReg(num_directions, num_knots=64, min_knot=0.2, max_knot=4.0)


def score_failures(seed: int) -> dict[str, float]:
    sigreg, generator = demo_sigreg(1024), torch.Generator().manual_seed(seed)
    return {name: sigreg(z[:, None], generator=generator).item() for name, z in failures(seed).items()}


def whiten(seed: int, num_steps: int, progress: Progress, num_samples: int = 4096, dim: int = 16) -> Whitening:
    """Trains an affine map, the identity at first, until SIGReg takes its outputs for N(0, I)."""
    generator = torch.Generator().manual_seed(seed)
    before = torch.randn(num_samples, dim, generator=generator) * torch.linspace(0.2, 5, dim) + 1.5
    weight, bias = torch.eye(dim, requires_grad=True), torch.zeros(dim, requires_grad=True)
    optimizer = torch.optim.Adam([weight, bias], lr=5e-2)
    sigreg, curve = demo_sigreg(512), []
    for step in progress.track(range(num_steps + 1), task_id=progress.add_task("whitening", total=None, unit="steps")):
        loss = sigreg((before @ weight + bias)[:, None], generator=generator)
        curve.append(loss.item())
        if step < num_steps:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    after = (before @ weight + bias).detach()
    reference = torch.randn(num_samples, dim, generator=generator)
    return Whitening(curve, before, after, demo_sigreg(1024)(reference[:, None], generator=generator).item())


def comparison(title: str, published: dict[str, float], measured: dict[str, float]) -> Table:
    """A table with the deviation from what was published."""
    table = Table("", title=title)
    for header in ("published", "measured", "deviation"):
        table.add_column(header, justify="right")
    for name, value in published.items():
        table.add_row(name, f"{value:.6f}", f"{measured[name]:.6f}", f"{measured[name] / value - 1:+.1%}")
    return table


def draw(scores: dict[str, float], whitening: Whitening, path: Path) -> None:
    """Three panels: scores of the failures, the whitening curve, the first axis before and after."""
    figure, (bars, curve, histogram) = plt.subplots(
        1, 3, figsize=(13.5, 3.9), layout="constrained", width_ratios=(1.15, 1, 1)
    )
    _draw_scores(bars, scores)
    curve.plot(whitening.curve, color=BLUE, label="affine map trained on SIGReg")
    curve.axhline(whitening.reference, color=GRAY, linestyle="--", label=f"true N(0, I): {whitening.reference:.5f}")
    curve.set_yscale("log")
    curve.set_xlabel("Adam step")
    curve.set_ylabel("SIGReg")
    curve.set_title("Whitening by SIGReg alone")
    before, after = (samples[:, 0].numpy() for samples in (whitening.before, whitening.after))
    x = np.linspace(-4, 4, 200)
    bins = np.linspace(-4, 4, 65).tolist()
    histogram.hist(before, bins, density=True, color=ORANGE, alpha=0.6, label="before")
    histogram.hist(after, bins, density=True, color=BLUE, alpha=0.6, label="after")
    histogram.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color="black", linewidth=1.2, label="N(0, 1)")
    histogram.set_xlabel("first axis")
    histogram.set_ylabel("density")
    histogram.set_title("First axis before and after")
    for axes in (curve, histogram):
        axes.legend(frameon=False, fontsize=9)
    for axes in (bars, curve, histogram):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _draw_scores(axes: Axes, scores: dict[str, float]) -> None:
    names = list(scores)
    colors = [BLUE, *[ORANGE] * (len(names) - 1)]
    shown = axes.barh(names, list(scores.values()), color=colors, label="measured")
    axes.plot(list(PUBLISHED.values()), names, "|", color="black", markersize=16, label="published")
    axes.bar_label(shown, [f"{value:.2g}" for value in scores.values()], padding=5, fontsize=9)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(1e-4, 3)
    axes.set_xlabel("SIGReg (black mark: published)")
    axes.set_title("Failures of an encoder, N = 2048, D = 32")


if __name__ == "__main__":
    main()
