"""Training loop of a world model."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import cast

import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from rich.progress import Progress
from torch import Tensor

from lewm.clip import Clip
from lewm.config import TrainConfig
from lewm.data.batches import load_batches
from lewm.data.clips import Clips
from lewm.data.sampler import StepSampler
from lewm.diagnostics.gaussianity import rank_and_std
from lewm.errors import InputError
from lewm.models import JEPA
from lewm.seeding import derive_seed
from lewm.tracking import Tracker
from lewm.training.accelerator import describe_accelerator
from lewm.training.checkpoint import Checkpoint, CheckpointWriter, Snapshot
from lewm.training.compiling import compile_parts
from lewm.training.graphed_step import GraphedStep, StepResult
from lewm.training.interrupt import Interrupt
from lewm.training.model_spec import ModelSpec
from lewm.training.objective import Loss, Objective
from lewm.training.optimizers import build_optimizer
from lewm.training.schedule import Schedule
from lewm.training.switches import choose_switches
from lewm.training.tensors import not_finite
from lewm.training.throughput import Meter, count_model_flops, matrix_flops_per_s
from lewm.training.weight_average import WeightAverage

Validate = Callable[[JEPA], dict[str, float]]


class Trainer:
    """Trainer of an objective on clips, with logging, validation and checkpoints in the run folder.

    What a step does is a function of (seed, step), unless max_seconds lets the schedule run by the clock: a run that
    was interrupted and resumed is the same run. On a GPU no step waits for the one before it.

    Example:
      ```python
      objective = build_objective(spec.build_model(), config.regularizer)
      trainer = Trainer(config, spec, start_accelerator(config), objective, clips, validation, progress)
      if trainer.fit():  # False after Ctrl-C
          run = Run.open(config.run_dir)
      ```

    Args:
      config: configuration of the run.
      spec: specification of the model, kept in every checkpoint.
      accelerator: accelerator with device, precision and ranks.
      objective: loss of the model, on the CPU, with initial weights.
      clips: clips of the training episodes.
      validate: function from the model in eval mode to the numbers to log, called on the main process.
      progress: progress display that gets a bar.
      mirror: tracker beside TensorBoard, of the main process; see lewm.trackers.
    """

    def __init__(
        self,
        config: TrainConfig,
        spec: ModelSpec,
        accelerator: Accelerator,
        objective: Objective,
        clips: Clips,
        validate: Validate,
        progress: Progress,
        mirror: GeneralTracker | None = None,
    ) -> None:
        self.config, self.spec, self.accelerator = config, spec, accelerator
        self.clips, self.validate, self.progress, self._mirror = clips, validate, progress, mirror
        self.model, self.regularizer, self._plain_objective = objective.model, objective.regularizer, objective
        self._regularizer_weight = objective.regularizer_weight.item()
        device = accelerator.device
        dtype = torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32
        optimizer = build_optimizer(config, objective, device, dtype)
        self.objective, self.optimizer = accelerator.prepare(objective, optimizer)
        for group in self.optimizer.param_groups:
            group["lr"] = torch.tensor(group["initial_lr"], device=device)
        decay = config.training.ema_decay
        self._average = None if decay is None else WeightAverage(self.model, decay)
        self.schedule = Schedule(config.training, device)
        self._directions = torch.Generator(device)
        num_terms, since_last_log = len(Loss._fields), config.training.log_every
        self._losses = torch.zeros(since_last_log, num_terms, device=device)
        switches = choose_switches(config.training, accelerator, self.regularizer)
        if switches.compile:
            compile_parts(self.model)
        self._update = GraphedStep(self.update, [self._directions], device) if switches.graph else self.update

    def fit(self, checkpoint: Checkpoint | None = None) -> bool:
        """Trains to the last step, and writes a checkpoint.

        Args:
          checkpoint: checkpoint to go on from; None to begin.

        Returns:
          False if it was interrupted before the last step; the checkpoint is of the step that it reached.

        Raises:
          InputError: the loss or the weights become NaN or infinite; the last checkpoint is kept.
        """
        if checkpoint is not None:
            checkpoint.load_last_weights(self.model)
            if self._average is not None:
                checkpoint.load_average(self._average.model)
            checkpoint.load_regularizer(self.regularizer)
            checkpoint.load_optimizer(self.optimizer.optimizer)
        start, seconds = (checkpoint.step, checkpoint.seconds) if checkpoint else (0, 0.0)
        self.schedule = Schedule(self.config.training, self.accelerator.device, seconds)
        with ExitStack() as stack:
            writer = stack.enter_context(CheckpointWriter())
            is_main = self.accelerator.is_main_process
            tracker = stack.enter_context(Tracker(self.config.run_dir, start, self._mirror)) if is_main else None
            finished = self._loop(start, tracker, writer)
        self.accelerator.wait_for_everyone()
        return finished

    def _loop(self, start: int, tracker: Tracker | None, writer: CheckpointWriter) -> bool:
        training, schedule = self.config.training, self.schedule
        bar = self.progress.add_task("training", total=training.num_steps, completed=start, unit="steps")
        meter = self._make_meter()
        self.objective.train()
        schedule.advance(start)
        with Interrupt() as interrupt:
            for index, clip in enumerate(meter.watch(self._batches(start)), start):
                if schedule.is_over:
                    break
                result = self.step(index, clip)
                schedule.advance(index + 1)
                total = schedule.expected_steps(index + 1)
                self.progress.update(bar, completed=index + 1, total=total, visible=tracker is not None)
                if (index + 1) % training.log_every == 0:
                    self._log(tracker, index, result, meter)
                if (index + 1) % training.validate_every == 0 or schedule.is_over:
                    self._validate(tracker, index)
                    meter.restart()
                stop = interrupt.wanted(self.accelerator.device)
                if stop or (index + 1) % training.checkpoint_every == 0 or schedule.is_over:
                    self._save(index + 1, writer)
                if stop:
                    return schedule.is_over
        return True

    def _make_meter(self) -> Meter:
        training, accelerator = self.config.training, self.accelerator
        frames_per_step = training.batch_size * training.num_frames
        if accelerator.num_processes > 1:  # operations that the ranks make together cannot be counted on one
            return Meter(frames_per_step, accelerator.device)
        dtype = torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32
        sizes = training.batch_size, training.num_frames, training.rollout_steps
        flops = count_model_flops(self.model, self.spec, *sizes)
        return Meter(frames_per_step, accelerator.device, flops / matrix_flops_per_s(accelerator.device, dtype))

    def _batches(self, start: int) -> Iterator[Clip]:
        training, accelerator = self.config.training, self.accelerator
        sampler = StepSampler(
            self.clips.owners,
            training.batch_size,
            clips_per_episode=training.clips_per_episode,
            start=start,
            num_steps=training.num_steps,
            seed=self.config.seed,
            rank=accelerator.process_index,
            num_ranks=accelerator.num_processes,
        )
        return load_batches(
            self.clips,
            sampler,
            self.config.data.num_workers,
            accelerator.device,
            partial(self.progress.console.print, soft_wrap=True),
        )

    def step(self, index: int, clip: Clip) -> StepResult:
        """Makes step number `index` on a batch of clips. What it returns is overwritten by the next step."""
        torch.manual_seed(derive_seed(self.config.seed, index, self.accelerator.process_index))  # dropout
        self._directions.manual_seed(derive_seed(self.config.seed, index))  # equal on all ranks
        for group in self.optimizer.param_groups:
            group["lr"].fill_(group["initial_lr"] * self.schedule.rate_factor)
        self._plain_objective.regularizer_weight.fill_(self._regularizer_weight * self.schedule.weight_factor)
        result = self._update(Clip(*(tensor.to(self.accelerator.device, non_blocking=True) for tensor in clip)))
        if self._average is not None:
            self._average.update(index)
        self._losses[index % len(self._losses)].copy_(result.losses)
        return result

    def update(self, clip: Clip) -> StepResult:
        """Forward and backward pass and the optimizer, on a batch on the device; nothing in it is read by the host."""
        self.optimizer.zero_grad()
        loss, z = self.objective(clip, self._directions)
        self.accelerator.backward(loss.total)
        grad_norm = self.accelerator.clip_grad_norm_(self.objective.parameters(), self.config.training.max_grad_norm)
        self.optimizer.step()
        return StepResult(torch.stack(loss).detach(), z, cast(Tensor, grad_norm))

    def _finite_losses(self, index: int) -> list[float]:
        """Total loss and its terms at step number `index`, all ranks' mean. Those since the last log are checked."""
        losses = self.accelerator.reduce(self._losses.clone(), "mean").tolist()
        place = index % len(losses)
        for number, terms in enumerate(losses[: place + 1], index - place):
            for name, value in zip(Loss._fields[1:], terms[1:], strict=True):
                if not math.isfinite(value):
                    raise InputError(
                        f"the {name} loss is {value} at step {number}: lower training.learning_rate="
                        f"{self.config.training.learning_rate} or look for NaN in the data; the last checkpoint is"
                        " kept"
                    )
        return cast(list[float], losses[place])

    def _log(self, tracker: Tracker | None, index: int, result: StepResult, meter: Meter) -> None:
        total, prediction, regularizer, actor, contrast = self._finite_losses(index)
        z = cast(Tensor, self.accelerator.gather(result.z))
        if tracker is None:
            return
        values = {
            "loss/total": total,
            "loss/prediction": prediction,
            "loss/regularizer": regularizer,
            **({} if self.model.actor is None else {"loss/actor": actor}),
            **({} if self.model.contrast is None else {"loss/contrast": contrast}),
            "regularizer/weight": self._plain_objective.regularizer_weight.item(),
            "regularizer/statistic": self.regularizer.statistic(regularizer, self.config.training.batch_size),
            "train/prediction_over_copy_last": prediction / copy_last_loss(z),
            **{f"train/{name}": value for name, value in rank_and_std(z.flatten(0, 1)).items()},
            "train/grad_norm": result.grad_norm.item(),
            "train/learning_rate": self.optimizer.param_groups[0]["lr"].item(),
            **meter.read(),
        }
        tracker.log(index, values)

    def _validate(self, tracker: Tracker | None, index: int) -> None:
        self._finite_losses(index)
        if tracker is not None:
            self.model.eval()
            with torch.compiler.set_stance("force_eager"):  # blocks are compiled for the training batch
                values = self.validate(self.model if self._average is None else self._average.model)
            self.objective.train()
            tracker.log(index, values)
            shown = {tag: value for tag, value in values.items() if not tag.startswith("gaussianity/")}
            line = ", ".join(f"{tag.split('/')[-1]} {value:.3f}" for tag, value in shown.items())
            self.progress.console.print(f"step {index + 1}: {line}", soft_wrap=True)
        self.accelerator.wait_for_everyone()

    def _save(self, step: int, writer: CheckpointWriter) -> None:
        training = self.config.training
        average = None if self._average is None else self._average.model
        snapshot = Snapshot.take(self.model, self.regularizer, self.optimizer.optimizer, average)
        if not_finite(snapshot.weights) or not_finite(snapshot.average):
            raise InputError(
                f"weights are not finite at step {step}: lower training.learning_rate="
                f"{training.learning_rate}; the last checkpoint is kept"
            )
        if self.accelerator.is_main_process:
            writer.write(
                self.config.run_dir / "checkpoints",
                self.spec,
                step,
                snapshot,
                seconds=self.schedule.seconds,
                trained_on=describe_accelerator(self.accelerator),
                keep_last=training.keep_checkpoints,
                keep_every=training.keep_every,
            )


def copy_last_loss(z: Tensor) -> float:
    """Prediction loss of no change: (B, T, D) embeddings -> mean squared step, at least 1e-12 so as to divide by it."""
    return max((z[:, 1:] - z[:, :-1]).square().mean().item(), 1e-12)
