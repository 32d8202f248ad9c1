"""Cases of the benchmark of a training step: what is trained and how, its trainer, and the times of its steps."""

import contextlib
import io
import itertools
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import hydra
import numpy as np
import torch
from accelerate.state import AcceleratorState
from omegaconf import OmegaConf
from rich.console import Console
from rich.progress import Progress

from lewm.clip import Clip
from lewm.config import CONFIGS, TrainConfig, from_dict
from lewm.data.clips import training_actions
from lewm.data.device_clips import place_clips
from lewm.data.episodes import Episodes
from lewm.data.normalize import ActionNormalizer
from lewm.errors import InputError
from lewm.precision import choose_precision
from lewm.training.accelerator import start_accelerator
from lewm.training.model_spec import ModelSpec
from lewm.training.objective import build_objective
from lewm.training.throughput import now
from lewm.training.trainer import Trainer

PARTS = ("data", "forward", "regularizer", "backward", "optimizer")
"""Parts of a step in their order. The forward pass ends with the prediction error, the backward pass with clipping."""

GROUP = 10
"""Steps that are timed together on a GPU, where the host runs ahead of the device."""


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


class Variant(NamedTuple):
    """How it is trained: float32 or bfloat16, with the step as a CUDA graph or not, with compiled blocks or not."""

    precision: str
    graph: bool
    compile: bool

    @classmethod
    def choose(cls, precision: str, graph: str, compile: str, device: str) -> "Variant":
        """Resolves auto as a long training on one device does: the precision of the hardware, all switches on a GPU."""
        chosen = choose_precision("--precisions", precision, device)
        return cls(chosen, *(word == "true" or (word == "auto" and device == "cuda") for word in (graph, compile)))

    @property
    def num_warmup(self) -> int:
        """Steps before those that count: a graph is recorded after three steps, and compiling takes the first ones."""
        return 6 if self.graph or self.compile else 2

    def __str__(self) -> str:
        return self.precision + ", graph" * self.graph + ", compiled" * self.compile


def make_trainer(
    case: Case,
    variant: Variant,
    data: Episodes,
    run_dir: Path,
    num_steps: int,
    *,
    device: str,
    num_threads: int | None,
) -> Trainer:
    """The trainer of a case, which neither logs nor validates before its last step."""
    words = {
        "model": case.model,
        "env.frame_size": case.frame_size,
        "model.encoder.patch_size": case.patch_size,
        "training.batch_size": case.batch_size,
        "training.num_steps": num_steps,
        "training.precision": variant.precision,
        "training.graph": str(variant.graph).lower(),
        "training.compile": str(variant.compile).lower(),
        "training.log_every": num_steps + 1,
        "device": device,
        "num_threads": num_threads or torch.get_num_threads(),
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
    clips = place_clips(clips, config.data.device, accelerator.device, say=print)
    objective = build_objective(model, config.regularizer, config.training.rollout_steps)
    run_dir.mkdir(exist_ok=True)
    quiet = Progress(disable=True, console=Console(quiet=True))
    return Trainer(config, spec, accelerator, objective, clips, lambda model: {}, quiet)


def time_steps(
    trainer: Trainer, device: torch.device, num_warmup: int, between: Callable[[Clip], None] | None = None
) -> float:
    """Trains to the end, and returns the median seconds of a step with the reading of its clips.

    Args:
      trainer: trainer of a case.
      device: device that it trains on.
      num_warmup: steps before those that count.
      between: what is done with the clips of each step after it, in time that does not count.
    """
    step, num_counted = trainer.step, trainer.config.training.num_steps - num_warmup
    group = min(GROUP, num_counted) if device.type == "cuda" and between is None else 1
    seconds, begin = [], now(device)

    def timed_step(index: int, clip: Clip) -> Any:
        nonlocal begin
        result, count = step(index, clip), index + 1 - num_warmup
        ends_group = count >= 0 and count % group == 0
        if ends_group and count > 0:
            seconds.append((now(device) - begin) / group)
        if between is not None:
            between(clip)
        if ends_group:
            begin = now(device)
        return result

    trainer.step = timed_step
    trainer.fit()
    return statistics.median(seconds)


class Mark(NamedTuple):
    """When a part of a step ended."""

    part: str
    seconds: float


def mark_parts(trainer: Trainer, device: torch.device) -> list[Mark]:
    """Trains without a graph to the end, and returns when each part of each step ended, with a wait for the device.

    The batch has been read when the objective is called, and the regularizer is called within it.
    """
    marks: list[Mark] = []

    def mark(part: str) -> Callable[..., None]:
        return lambda *_: marks.append(Mark(part, now(device)))

    optimizer = trainer.optimizer.optimizer
    trainer.objective.register_forward_pre_hook(mark("data"))
    trainer.regularizer.register_forward_pre_hook(mark("forward"))
    trainer.regularizer.register_forward_hook(mark("regularizer"))
    optimizer.register_step_pre_hook(mark("backward"))
    optimizer.register_step_post_hook(mark("optimizer"))
    trainer.fit()
    return marks


def parts_ms(marks: Sequence[Mark], num_warmup: int) -> dict[str, float]:
    """Median milliseconds from one mark to the next, by the part that the second one ends, without the first steps."""
    times: dict[str, list[float]] = {part: [] for part in PARTS}
    for before, after in itertools.pairwise(marks):
        times[after.part].append(after.seconds - before.seconds)
    return {part: 1e3 * statistics.median(values[num_warmup - 1 :]) for part, values in times.items()}
