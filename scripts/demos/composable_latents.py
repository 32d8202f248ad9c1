"""Counterfactuals by exchanging a block of the latent: `python scripts/demos/composable_latents.py --out runs/demos`.

Two encoders see a post and the weather, a predictor sees both latents and tells the likes. If [z_post, z_weather] is
N(0, I), then fresh draws of N(0, I) in place of z_weather give the distribution of likes for this post under any
weather, without the encoder of the weather (M. Parakhin, "Wristband Gaussian Loss", 2026). Here that distribution is
known in closed form. The same networks, with the same budget, are trained with latents uniform on a sphere (Wang and
Isola, 2020) instead: one sphere for the whole latent, whose second block is drawn as a uniform point of that sphere has
it given z_post, and a sphere of its own for each block.

Post and weather are independent in the data, and likes are a function of both: there is no noise to be learned. In this
world the spheres do not fail outright, at the best weight of each: over the seeds 0, 1 and 2 their medians and low
quantiles are as good as those of N(0, I), and what they get wrong is the upper tail, 1.7 to 3.5 times as wrong at 90%.
"""

import argparse
import math
from pathlib import Path
from typing import NamedTuple, cast

import matplotlib
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor, nn

from lewm.errors import InputError, one_line_errors
from lewm.models import AutoCompressingNetwork
from lewm.tracking import progress_bar
from scripts.demos.latent_interfaces import BLOCK_DIM, INTERFACES, Interface, pairs

matplotlib.use("Agg")

import matplotlib.pyplot as plt

SOURCE_DIM, INPUT_DIM = 3, 4
NUM_TRAINING, BATCH_SIZE, NUM_POSTS, NUM_DRAWS = 16_384, 256, 64, 4096
LEVELS = (0.1, 0.5, 0.9)
BLUE, ORANGE, GREEN, GRAY = "#2f6f8f", "#d1743c", "#5b8c5a", "#8a9099"


class World(NamedTuple):
    """Samples.

    Attributes:
      post, weather: (N, INPUT_DIM) what the encoders see.
      appeal, reach: (N,) of a post.
      mood: (N,) of the weather, exponentially distributed with mean 1.
    """

    post: Tensor
    weather: Tensor
    appeal: Tensor
    reach: Tensor
    mood: Tensor

    @property
    def likes(self) -> Tensor:
        return self.appeal + self.reach * self.mood

    def __getitem__(self, index: Tensor | slice) -> "World":  # type: ignore[override]
        return World(*(tensor[index] for tensor in tuple(self)))


COLORS = dict(zip(INTERFACES, (BLUE, ORANGE, GREEN), strict=True))


class Found(NamedTuple):
    """Of one interface: likes (posts, draws) with drawn blocks and with encoded weathers, errors on observed pairs."""

    drawn: Tensor
    encoded: Tensor
    prediction_error: float


class Model(nn.Module):
    def __init__(self, interface: Interface) -> None:
        super().__init__()
        self.interface = interface
        self.post, self.weather = (AutoCompressingNetwork(INPUT_DIM, BLOCK_DIM, 64, 2) for _ in range(2))
        self.predictor = AutoCompressingNetwork(2 * BLOCK_DIM, 1, 64, 2)

    def predict(self, z: Tensor) -> Tensor:
        """(..., 2 BLOCK_DIM) -> (...) likes."""
        return cast(Tensor, self.predictor(z)[..., 0])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/demos"), help="folder of the figure (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of data, weights and draws (%(default)s)")
    parser.add_argument("--num-steps", type=int, default=1500, help="batches of training, for each model (%(default)s)")
    args = parser.parse_args(arguments)
    console = Console()
    with one_line_errors():
        if args.num_steps < 1 or args.seed < 0:
            raise InputError(f"--num-steps {args.num_steps} must be at least 1 and --seed {args.seed} at least 0")
        args.out.mkdir(parents=True, exist_ok=True)
        world = draw_world(NUM_TRAINING + NUM_DRAWS, args.seed)
        training, held_out = world[:NUM_TRAINING], world[NUM_TRAINING:]
        found = {}
        with torch.random.fork_rng(devices=[]), progress_bar(console) as progress:
            for name, interface in INTERFACES.items():
                torch.manual_seed(args.seed)
                model = Model(interface())
                train(model, training, args.num_steps, args.seed, progress, name)
                found[name] = measure(model, held_out, args.seed)
        console.print(table_of(held_out[:NUM_POSTS], found))
        path = args.out / "composable_latents.png"
        draw(held_out[:NUM_POSTS], found, path)
        console.print(f"figure: {path}", soft_wrap=True)


def draw_world(num: int, seed: int) -> World:
    """Independent posts and weathers; what makes likes is hidden in bent mixtures with other, irrelevant sources."""
    generator = torch.Generator().manual_seed(seed)

    def uniform() -> Tensor:
        return torch.rand(num, generator=generator)

    appeal, reach, mood = 4 * uniform() - 2, 0.5 + uniform(), -torch.log1p(-uniform())
    bimodal = torch.randn(num, generator=generator) / 4 + (uniform() < 0.3).float()
    post = torch.stack([appeal, 4 * reach, 2 * bimodal], 1)
    weather = torch.stack([mood, 4 * uniform(), 2 * uniform().square()], 1)
    return World(_mix(post, seed=1), _mix(weather, seed=2), appeal, reach, mood)


def _mix(sources: Tensor, seed: int) -> Tensor:
    """(N, SOURCE_DIM) -> (N, INPUT_DIM), standardized; the same for all samples of the world."""
    generator = torch.Generator().manual_seed(seed)
    linear = torch.linalg.qr(torch.randn(INPUT_DIM, SOURCE_DIM, generator=generator))[0].T
    bent = torch.randn(SOURCE_DIM, INPUT_DIM, generator=generator)
    x = sources @ linear + 0.3 * torch.sin(sources @ bent)
    return (x - x.mean(0)) / x.std(0)


def train(model: Model, world: World, num_steps: int, seed: int, progress: Progress, name: str) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=num_steps + 1, pct_start=0.1)
    generator = torch.Generator().manual_seed(seed)
    task = progress.add_task(name, total=num_steps, unit="steps")
    for _ in range(num_steps):
        batch = world[torch.randint(len(world.post), (BATCH_SIZE,), generator=generator)]
        z = model.interface.join(model.post(batch.post), model.weather(batch.weather))
        error = (model.predict(z) - batch.likes).square().mean()
        optimizer.zero_grad()
        (error + model.interface.weight * model.interface.loss(z)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress.update(task, advance=1)


@torch.no_grad()
def measure(model: Model, world: World, seed: int) -> Found:
    """What the model says of the first NUM_POSTS posts under drawn blocks, and under all weathers of this world."""
    post, weather = model.post(world.post), model.weather(world.weather)
    z = model.interface.join(post, weather)
    noise = torch.randn(NUM_DRAWS, BLOCK_DIM, generator=torch.Generator().manual_seed(seed))
    each = pairs(post[:NUM_POSTS], weather)
    return Found(
        drawn=model.predict(model.interface.replace(z[:NUM_POSTS], noise)),
        encoded=model.predict(model.interface.join(each[..., :BLOCK_DIM], each[..., BLOCK_DIM:])),
        prediction_error=(model.predict(z) - world.likes).square().mean().sqrt().item(),
    )


def true_quantile(posts: World, level: Tensor | float) -> Tensor:
    """(posts, levels) quantiles of the likes of each post under all weathers."""
    return posts.appeal[:, None] + posts.reach[:, None] * -torch.log1p(-torch.as_tensor(level)).reshape(1, -1)


def errors(posts: World, likes: Tensor) -> dict[str, float]:
    """What (posts, draws) likes get wrong about appeal + reach Exp(1).

    Returns:
      Root mean squares over posts of the errors of mean, standard deviation (spread) and quantiles, and the mean over
      posts of the 1-Wasserstein distance.
    """
    wrong = {
        "mean": likes.mean(1) - (posts.appeal + posts.reach),
        "spread": likes.std(1) - posts.reach,
        **{f"{level:.0%}": likes.quantile(level, dim=1) - true_quantile(posts, level)[:, 0] for level in LEVELS},
    }
    levels = (torch.arange(likes.shape[1]) + 0.5) / likes.shape[1]
    distance = (likes.sort(1).values - true_quantile(posts, levels)).abs().mean(1)
    values = {name: value.square().mean().sqrt().item() for name, value in wrong.items()}
    return {**values, "distance": distance.mean().item()}


def table_of(posts: World, found: dict[str, Found]) -> Table:
    """Errors of each interface with drawn blocks and with encoded weathers, and those of as many true draws."""
    generator = torch.Generator().manual_seed(0)
    moods = -torch.log1p(-torch.rand(NUM_DRAWS, generator=generator))
    rows = {"truth, as many draws": errors(posts, posts.appeal[:, None] + posts.reach[:, None] * moods)}
    for name, values in found.items():
        rows[f"{name}, drawn"] = errors(posts, values.drawn)
        rows[f"{name}, encoded"] = errors(posts, values.encoded)
    table = Table(title=f"Errors of the likes of {NUM_POSTS} posts under any weather; true spread about 1")
    for header in ("second block", *next(iter(rows.values())), "pairs"):
        table.add_column(header, justify="left" if header == "second block" else "right")
    for name, values in rows.items():
        interface = name.rpartition(", ")[0]
        prediction_error = f"{found[interface].prediction_error:.3f}" if interface in found else ""
        table.add_row(name, *(f"{value:.3f}" for value in values.values()), prediction_error)
    return table


def draw(posts: World, found: dict[str, Found], path: Path) -> None:
    """Distributions of three posts' likes, and the spread of every post, against the truth."""
    figure, panels = plt.subplots(1, 4, figsize=(16, 4), layout="constrained")
    order = posts.appeal.argsort()
    levels = torch.linspace(0.005, 0.995, 200)
    for axes, place in zip(panels, (0.1, 0.5, 0.9), strict=False):
        index = order[math.floor(place * len(order))]
        post = posts[index : index + 1]
        for name, values in found.items():
            axes.plot(values.drawn[index].quantile(levels), levels, color=COLORS[name], label=name)
        axes.plot(true_quantile(post, levels)[0], levels, "--", color="black", linewidth=1.2, label="truth")
        axes.set(xlabel="likes", title=f"a post of appeal {post.appeal.item():.1f}, reach {post.reach.item():.1f}")
    panels[0].set_ylabel("share of weathers with fewer likes")
    panels[0].legend(frameon=False, loc="lower right")
    axes = panels[3]
    for name, values in found.items():
        axes.scatter(posts.reach, values.drawn.std(1), s=10, color=COLORS[name], alpha=0.7, linewidth=0, label=name)
    axes.plot([0.5, 1.5], [0.5, 1.5], "--", color="black", linewidth=1.2)
    axes.set(xlabel="true spread of the likes of a post", ylabel="spread with drawn blocks", title="all posts")
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
