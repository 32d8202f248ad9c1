"""Fits heads to recorded episodes: on frozen embeddings of a world model, or, for the baseline, on the frames."""

import math
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import nn

from lewm.config import Component, build
from lewm.data.clips import split_episodes
from lewm.data.episodes import Episodes
from lewm.errors import InputError
from lewm.heads import HEADS
from lewm.heads.config import HeadConfig
from lewm.heads.pairs import PairSampler, choose_episodes
from lewm.heads.tasks import TASKS, Frames, Task
from lewm.models import ENCODERS, JEPA
from lewm.training.model_spec import ModelSpec
from lewm.training.trainer import learning_rate

NUM_HELD_OUT = 20000
"""Most frames of held-out episodes that a head is judged on, and at most a quarter of max_frames."""


class FittedHead(NamedTuple):
    """A head in eval mode, and its errors on held-out episodes by name."""

    head: nn.Module
    errors: dict[str, float]


def build_head(component: Component, spec: ModelSpec, max_steps: int) -> nn.Module:
    """A head with random weights (from torch's global generator) for the model and the data of a spec."""
    model, name = spec.model, component.get("name")
    sizes: dict[str, Any] = {}
    if name == "inverse_dynamics":
        sizes = {"embedding_dim": model.embedding_dim, "action_dim": spec.action_dim}
    elif name == "temporal_distance":
        sizes = {"embedding_dim": model.embedding_dim, "max_steps": max_steps}
    elif name == "behaviour_cloning":
        encoder = build(ENCODERS, model.encoder, "encoder", image_size=spec.frame_size)
        sizes = {"encoder": encoder, "action_dim": spec.action_dim}
    return cast(nn.Module, build(HEADS, component, "head", **sizes))


def fit_head(
    model: JEPA, spec: ModelSpec, data: Episodes, config: HeadConfig, *, seed: int, progress: Progress
) -> FittedHead:
    """Fits a head to the training episodes of a run; the model stays as it is.

    The same call gives the same head, bit for bit on a CPU with the same number of threads.

    Args:
      model: in eval mode, on the device to work on.
      spec: of the model.
      data: the dataset whose training split it was trained on.
      config: of the head.
      seed: of the head's weights and of its data.
      progress: draws the bars.
    """
    assert not model.training, "BatchNorm and dropout would change the embeddings"
    device = next(model.parameters()).device
    train_ids, held_out = split_episodes(len(data), spec.data.val_fraction, spec.data.split_seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head: Any = build_head(config.head, spec, config.fitting.max_steps).to(device)
    tasks = []
    max_frames = config.fitting.max_frames
    for episode_ids, most in ((train_ids, max_frames), (held_out, min(NUM_HELD_OUT, max_frames // 4))):
        chosen = choose_episodes(data, episode_ids, most, seed)
        pairs = PairSampler(data, chosen, spec.frameskip, spec.normalizer)
        if config.head["name"] == "behaviour_cloning":
            frames = _frames_of(data, pairs.rows, device)
        else:
            frames = _embeddings_of(model, data, pairs.rows, progress)
        tasks.append(TASKS[config.head["name"]](pairs, frames, config.fitting))
    head.fit_normalization(tasks[0].draw(head, 1024, np.random.default_rng((seed, 2)))[0])
    _optimize(head, tasks[0], config, seed, progress)
    head.eval().requires_grad_(False)
    with torch.no_grad():
        return FittedHead(head, tasks[1].errors(head, np.random.default_rng((seed, 1))))


def _embeddings_of(model: JEPA, data: Episodes, rows: NDArray[np.int64], progress: Progress) -> Frames:
    """Embeds every frame once, 512 at a time."""
    device = next(model.parameters()).device
    bar = progress.add_task("embedding", total=len(rows), unit="frames")
    pieces = []
    with torch.no_grad():
        for begin in range(0, len(rows), 512):
            pixels = torch.from_numpy(data.pixels[rows[begin : begin + 512]]).movedim(-1, -3)
            pieces.append(model.encode(pixels[None].to(device))[0].float())
            progress.advance(bar, len(pixels))
    z = torch.cat(pieces)
    return lambda indices: z[torch.from_numpy(indices).to(device)]


def _frames_of(data: Episodes, rows: NDArray[np.int64], device: torch.device) -> Frames:
    return lambda indices: torch.from_numpy(data.pixels[rows[indices]]).movedim(-1, -3).to(device)


def _optimize(head: Any, task: Task, config: HeadConfig, seed: int, progress: Progress) -> None:
    fitting, name = config.fitting, config.head["name"]
    optimizer = torch.optim.AdamW(head.parameters(), lr=fitting.learning_rate, weight_decay=fitting.weight_decay)
    bar = progress.add_task(f"fitting {name}", total=fitting.num_steps, unit="steps")
    head.train()
    for step in range(fitting.num_steps):
        for group in optimizer.param_groups:
            group["lr"] = fitting.learning_rate * learning_rate(step, fitting.num_steps, warmup_fraction=0.05)
        loss = head.loss(*task.draw(head, fitting.batch_size, np.random.default_rng((seed, 0, step))))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress.advance(bar)
        if step % 100 == 0 and not math.isfinite(loss.item()):
            raise InputError(
                f"the loss of {name} is {loss.item()} at step {step}: lower"
                f" fitting.learning_rate={fitting.learning_rate}"
            )
    if not all(parameter.isfinite().all() for parameter in head.parameters()):
        raise InputError(f"the weights of {name} are not finite: lower fitting.learning_rate={fitting.learning_rate}")
