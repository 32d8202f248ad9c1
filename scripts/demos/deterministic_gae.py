"""A deterministic Gaussian autoencoder: `python scripts/demos/deterministic_gae.py --out runs/demos`.

Six clusters with the tails of Student's t(3), bent into 8 dimensions, are encoded in 4 that are to be N(0, I): encoder
and flow make the latent, Wristband compares it with N(0, I), the flow's exact inverse and the decoder make the
reconstruction; nothing is sampled (after M. Parakhin, "Wristband Gaussian Loss", 2026). As far as the latent is
N(0, I), decoded draws of N(0, I) are new data. All that is reported is of 1024 samples that were not trained on.
"""

import argparse
from pathlib import Path
from typing import NamedTuple, cast

import matplotlib
import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor, nn

from lewm.diagnostics.gaussianity import gaussianity_report
from lewm.errors import InputError, one_line_errors
from lewm.models import EuclideanAttention, InvertibleFlow
from lewm.regularizers import Wristband
from lewm.tracking import progress_bar

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

DATA_DIM, LATENT_DIM, NUM_CLUSTERS = 8, 4, 6
NUM_TRAINING, NUM_HELD_OUT, BATCH_SIZE = 16_384, 1024, 256
WRISTBAND_WEIGHT = 0.03
"""Of a z-score, beside the share of the data's variance that the reconstruction misses."""
BLUE, ORANGE, GRAY = "#2f6f8f", "#d1743c", "#8a9099"


class Measured(NamedTuple):
    """Of held-out samples.

    Attributes:
      features, latent: (N, latent) before and behind the flow.
      missed: share of the data's variance that the reconstruction lacks.
      inverse_error: largest difference between the features and what the flow's inverse makes of the latent.
      feature_gaussianity, gaussianity: reports on features and latent.
    """

    features: Tensor
    latent: Tensor
    missed: float
    inverse_error: float
    feature_gaussianity: dict[str, float]
    gaussianity: dict[str, float]


class Autoencoder(nn.Module):
    """Encoder and flow, then their way back; the flow needs no decoder of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = EuclideanAttention(DATA_DIM, LATENT_DIM, values="affine", combination="auto_compressing")
        self.flow = InvertibleFlow(LATENT_DIM, num_layers=8, hidden_dim=64)
        self.decoder = EuclideanAttention(LATENT_DIM, DATA_DIM, values="affine", combination="auto_compressing")

    def encode(self, x: Tensor) -> Tensor:
        """(N, data) -> (N, latent)."""
        return cast(Tensor, self.flow(self.encoder(x)))

    def decode(self, z: Tensor) -> Tensor:
        """(N, latent) -> (N, data)."""
        return cast(Tensor, self.decoder(self.flow.inverse(z)))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/demos"), help="folder of the figure (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of data, weights and batches (%(default)s)")
    parser.add_argument("--num-steps", type=int, default=1200, help="batches of training (%(default)s)")
    args = parser.parse_args(arguments)
    console = Console()
    with one_line_errors():
        if args.num_steps < 1 or args.seed < 0:
            raise InputError(f"--num-steps {args.num_steps} must be at least 1 and --seed {args.seed} at least 0")
        args.out.mkdir(parents=True, exist_ok=True)
        data = draw_data(NUM_TRAINING + NUM_HELD_OUT, args.seed)
        training, held_out = data[:NUM_TRAINING], data[NUM_TRAINING:]
        with torch.random.fork_rng(devices=[]), progress_bar(console) as progress:
            torch.manual_seed(args.seed)
            model = Autoencoder()
            before = measure(model, held_out)
            curve = train(model, training, args.num_steps, args.seed, progress)
        after = measure(model, held_out)
        console.print(table_of(gaussianity(held_out), before, after))
        path = args.out / "deterministic_gae.png"
        draw(model, held_out, before, after, curve, path, args.seed)
        console.print(f"figure: {path}", soft_wrap=True)
        console.print("held-out samples, before and after training:")
        console.print(f"  reconstruction: misses {before.missed:.2%} -> {after.missed:.2%} of the variance")
        z_before, z_after = (measured.gaussianity["wristband_z"] for measured in (before, after))
        console.print(f"  latent: {z_before:.1f} -> {z_after:.1f} null standard deviations from N(0, I)")
        console.print(f"  inverse of the flow: off by at most {before.inverse_error:.1g} -> {after.inverse_error:.1g}")


def draw_data(num: int, seed: int) -> Tensor:
    """(num, DATA_DIM) samples of unit mean variance: clusters of unequal weights and spreads, on a bent 4-D surface."""
    world = torch.Generator().manual_seed(0)  # the clusters are the same for every seed
    centers = 4 * torch.randn(NUM_CLUSTERS, LATENT_DIM, generator=world)
    spreads = torch.linspace(0.3, 1.2, NUM_CLUSTERS)
    linear, bent = (torch.randn(LATENT_DIM, DATA_DIM, generator=world) / 2 for _ in range(2))
    generator = torch.Generator().manual_seed(seed)
    weights = torch.arange(1.0, NUM_CLUSTERS + 1)
    cluster = weights.multinomial(num, replacement=True, generator=generator)
    chi_square = torch.randn(num, 3, generator=generator).square().sum(1, keepdim=True)
    student_t = torch.randn(num, LATENT_DIM, generator=generator) * (3 / chi_square).sqrt()
    source = centers[cluster] + spreads[cluster, None] * student_t
    x = source @ linear + torch.sin(source @ bent)
    x = x - x.mean(0)
    return x / x.square().mean().sqrt()


def train(model: Autoencoder, data: Tensor, num_steps: int, seed: int, progress: Progress) -> list[tuple[float, float]]:
    """Returns the missed share of variance and the z-score of each batch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=num_steps + 1, pct_start=0.1)
    wristband, generator, curve = Wristband(), torch.Generator().manual_seed(seed), []
    task = progress.add_task("training", total=num_steps, unit="steps")
    for _ in range(num_steps):
        x = data[torch.randint(len(data), (BATCH_SIZE,), generator=generator)]
        z = model.encode(x)
        missed = (model.decode(z) - x).square().mean()
        z_score = wristband(z[:, None], generator=generator)
        optimizer.zero_grad()
        (missed + WRISTBAND_WEIGHT * z_score).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        curve.append((missed.item(), z_score.item()))
        progress.update(task, advance=1)
    return curve


@torch.no_grad()
def measure(model: Autoencoder, x: Tensor) -> Measured:
    features = model.encoder(x)
    latent = model.flow(features)
    missed = ((model.decode(latent) - x).square().mean() / (x - x.mean(0)).square().mean()).item()
    inverse_error = (model.flow.inverse(latent) - features).abs().max().item()
    return Measured(features, latent, missed, inverse_error, gaussianity(features), gaussianity(latent))


def gaussianity(z: Tensor) -> dict[str, float]:
    return gaussianity_report(z, num_slices=64, num_draws=99)


def table_of(data: dict[str, float], before: Measured, after: Measured) -> Table:
    """Gaussianity of the data, the latent before training, and both sides of the trained flow."""
    table = Table("statistic", title=f"{NUM_HELD_OUT} held-out samples against N(0, I)")
    columns = {
        "data": data,
        "latent, untrained": before.gaussianity,
        "encoder's output": after.feature_gaussianity,
        "latent": after.gaussianity,
    }
    for name in columns:
        table.add_column(name, justify="right")
    for key in data:
        table.add_row(key, *(f"{values[key]:.3g}" for values in columns.values()))
    return table


@torch.no_grad()
def draw(
    model: Autoencoder,
    x: Tensor,
    before: Measured,
    after: Measured,
    curve: list[tuple[float, float]],
    path: Path,
    seed: int,
) -> None:
    """Latents before and after, their radii, data beside their reconstructions and decoded draws, and the training."""
    figure, panels = plt.subplots(2, 3, figsize=(13, 8), layout="constrained")
    for axes, latent, title in (
        (panels[0, 0], before.latent, "latent before training"),
        (panels[0, 1], after.features, "encoder's output, trained"),
        (panels[0, 2], after.latent, "latent = flow(encoder's output)"),
    ):
        axes.scatter(*latent[:, :2].T, s=4, color=BLUE, alpha=0.5, linewidth=0)
        reach = latent[:, :2].abs().quantile(0.995).clamp(min=3.5).item()
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="dimension 1")
        for radius in (1, 2, 3):  # of N(0, I)
            axes.add_patch(plt.Circle((0, 0), radius, fill=False, color=GRAY, linewidth=0.8))
        _tidy(axes, title)
    panels[0, 0].set_ylabel("dimension 2")

    generator = torch.Generator().manual_seed(seed)
    drawn = model.decode(torch.randn(len(x), LATENT_DIM, generator=generator))
    axes = panels[1, 0]
    _, _, axes_of_data = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    for points, color, label in ((x, GRAY, "held out"), (drawn, ORANGE, "decoded draws of N(0, I)")):
        axes.scatter(*(points @ axes_of_data[:2].T).T, s=4, color=color, alpha=0.6, linewidth=0, label=label)
    reach = (x @ axes_of_data[:2].T).abs().quantile(0.995).item() * 1.2
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="first principal axis", ylabel="second")
    _tidy(axes, "data and decoded draws", legend=True)

    radii = np.sort(after.latent.norm(dim=1).numpy())
    expected = np.sort(torch.randn(100_000, LATENT_DIM, generator=generator).norm(dim=1).numpy())
    levels = (np.arange(len(radii)) + 0.5) / len(radii)
    axes = panels[1, 1]
    axes.plot([0, 5], [0, 5], color=GRAY, linewidth=0.8)
    for measured, color, label in ((before, ORANGE, "before training"), (after, BLUE, "trained")):
        axes.plot(np.quantile(expected, levels), np.sort(measured.latent.norm(dim=1).numpy()), color=color, label=label)
    axes.set(xlabel="radius under N(0, I)", ylabel="radius of the latent", xlim=(0, 5), ylim=(0, 5))
    _tidy(axes, "quantiles of the radius", legend=True)

    axes = panels[1, 2]
    stride = max(len(curve) // 60, 1)  # single batches of a trained model scatter around z = 0
    missed, z_scores = np.array(curve[: len(curve) // stride * stride]).reshape(-1, stride, 2).mean(1).T
    steps = stride * (np.arange(len(missed)) + 0.5)
    axes.plot(steps, missed, color=ORANGE, label="variance missed")
    axes.plot(steps, z_scores, color=BLUE, label="z-score of a batch")
    axes.set(yscale="log", xlabel="step")
    _tidy(axes, f"training, batches of {BATCH_SIZE}", legend=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _tidy(axes: Axes, title: str, legend: bool = False) -> None:
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(frameon=False, fontsize=9, markerscale=3)


if __name__ == "__main__":
    main()
