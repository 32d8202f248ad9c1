"""Fitting of heads to the training episodes of a run, and their errors on its held-out episodes."""

import math
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from lewm.config import build
from lewm.data.clips import split_dataset
from lewm.data.episodes import Episodes
from lewm.errors import InputError
from lewm.heads import HEADS
from lewm.heads.config import HeadConfig
from lewm.heads.head import Head, HeadData
from lewm.heads.pairs import PairSampler, choose_episodes
from lewm.models import JEPA
from lewm.precision import choose_inference_precision
from lewm.training.model_spec import ModelSpec
from lewm.training.schedule import learning_rate
from lewm.training.tensors import not_finite
from lewm.uploading import upload

MAX_HELD_OUT = 20000
"""Most frames of held-out episodes that a head is judged on, and at most a quarter of max_frames."""


class FittedHead(NamedTuple):
    """A head in eval mode, and its errors on held-out episodes by name."""

    head: Head
    errors: dict[str, float]


def build_head(config: HeadConfig, spec: ModelSpec) -> Head:
    """Builds a head with random weights from torch's global generator.

    Args:
      config: configuration of the head.
      spec: specification of the model that the head is for.

    Raises:
      InputError: there is no such head or precision, or its arguments do not fit.
    """
    choose_inference_precision("fitting.precision", config.fitting.precision, "cpu")
    sizes = HEADS[config.name].sizes(spec, config.fitting) if config.name in HEADS else {}
    return cast(Head, build(HEADS, config.head, "head", **sizes))


def fit_head(
    model: JEPA, spec: ModelSpec, data: Episodes, config: HeadConfig, *, seed: int, progress: Progress
) -> FittedHead:
    """Fits a head to the training episodes of a run; the model stays as it is.

    The same call gives the same head, bit for bit on a CPU with the same number of threads.

    Args:
      model: trained model in eval mode, on the device to work on.
      spec: specification of the model.
      data: dataset that the model was trained on.
      config: configuration of the head.
      seed: seed of the head's weights and of the examples that it is shown.
      progress: progress display that gets the bars.

    Raises:
      InputError: the head does not fit the model, or the fitting diverges.
    """
    assert not model.training, "BatchNorm and dropout would change the embeddings"
    assert data.content_hash == spec.data.content_hash, "other data have other held-out episodes"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = build_head(config, spec).to(next(model.parameters()).device)
    most = config.fitting.max_frames
    training, held_out = (
        head_data(head, model, spec, data, choose_episodes(data, episode_ids, max_frames, seed), config, progress)
        for episode_ids, max_frames in zip(
            split_dataset(data, spec.data.val_fraction, spec.data.split_seed),
            (most, min(MAX_HELD_OUT, most // 4)),
            strict=True,
        )
    )
    head.fit_normalization(head.draw(training, 1024, np.random.default_rng((seed, 2))).seen)
    _optimize(head, training, config, seed, progress)
    head.eval().requires_grad_(False)
    with torch.no_grad():
        return FittedHead(head, head.errors(held_out, np.random.default_rng((seed, 1))))


def head_data(
    head: Head,
    model: JEPA,
    spec: ModelSpec,
    data: Episodes,
    episode_ids: NDArray[np.int64],
    config: HeadConfig,
    progress: Progress,
) -> HeadData:
    """Episodes as a head sees them; where it sees embeddings, every frame is encoded once.

    Args:
      head: head that is fitted or judged.
      model: trained model in eval mode, on the device to work on.
      spec: specification of the model.
      data: dataset.
      episode_ids: (E,) indices of the episodes.
      config: configuration of the head.
      progress: progress display that gets a bar.
    """
    pairs = PairSampler(data, episode_ids, spec.frameskip, spec.normalizer)
    if head.sees == "frames":
        device = next(model.parameters()).device
        return HeadData(pairs, lambda indices: _frames(data, pairs.rows[indices]).to(device), config.fitting)
    z = _embed(model, data, pairs.rows, progress)
    return HeadData(pairs, lambda indices: z[upload(indices, z.device)], config.fitting)


def _embed(model: JEPA, data: Episodes, rows: NDArray[np.int64], progress: Progress) -> Tensor:
    """(F,) rows of frames -> (F, D) embeddings, 512 frames at a time."""
    device = next(model.parameters()).device
    bar = progress.add_task("embedding", total=len(rows), unit="frames")
    pieces = []
    with torch.no_grad():
        for begin in range(0, len(rows), 512):
            pixels = _frames(data, rows[begin : begin + 512])
            pieces.append(model.encode(pixels[None].to(device))[0].float())
            progress.advance(bar, len(pixels))
    return torch.cat(pieces)


def _frames(data: Episodes, rows: NDArray[np.int64]) -> Tensor:
    """(...) rows -> (..., C, h, w) uint8."""
    return torch.from_numpy(data.pixels[rows]).movedim(-1, -3)


def _optimize(head: Head, data: HeadData, config: HeadConfig, seed: int, progress: Progress) -> None:
    fitting, name = config.fitting, config.name
    optimizer = torch.optim.AdamW(
        head.parameters(), lr=fitting.learning_rate, weight_decay=fitting.weight_decay, fused=True
    )
    device = next(head.parameters()).device.type
    precision = choose_inference_precision("fitting.precision", fitting.precision, device)
    bar = progress.add_task(f"fitting {name}", total=fitting.num_steps, unit="steps")
    head.train()
    for step in range(fitting.num_steps):
        for group in optimizer.param_groups:
            group["lr"] = fitting.learning_rate * learning_rate(step, fitting.num_steps, warmup_fraction=0.05)
        batch = head.draw(data, fitting.batch_size, np.random.default_rng((seed, 0, step)))
        with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            loss = head.loss(*batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress.advance(bar)
        if step % 100 == 0 and not math.isfinite(loss.item()):
            raise InputError(
                f"the loss of {name} is {loss.item()} at step {step}: lower"
                f" fitting.learning_rate={fitting.learning_rate}"
            )
    if wrong := not_finite(head.state_dict()):
        raise InputError(
            f"the weights of {name} are not finite ({wrong[0]}): lower fitting.learning_rate={fitting.learning_rate}"
        )
