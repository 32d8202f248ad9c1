"""Training loop of a world model."""

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import torch
from accelerate import Accelerator
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
from lewm.training.checkpoint import Checkpoint, save_checkpoint
from lewm.training.interrupt import Interrupt
from lewm.training.model_spec import ModelSpec
from lewm.training.objective import Loss, Objective
from lewm.training.schedule import learning_rate
from lewm.training.tensors import not_finite

Validate = Callable[[JEPA], dict[str, float]]


class Trainer:
    """Trainer of an objective on clips, with logging, validation and checkpoints in the run folder.

    What a step does is a function of (seed, step): a run that was interrupted and resumed is the same run.

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
    ) -> None:
        self.config, self.spec, self.accelerator = config, spec, accelerator
        self.clips, self.validate, self.progress = clips, validate, progress
        self.model, self.regularizer = objective.model, objective.regularizer
        self._plain_objective, self._regularizer_weight = objective, objective.regularizer_weight
        optimizer = torch.optim.AdamW(
            [parameter for parameter in objective.parameters() if parameter.requires_grad],
            lr=config.training.learning_rate,
            weight_decay=config.training.weight_decay,
            fused=True,
        )
        self.objective, self.optimizer = accelerator.prepare(objective, optimizer)

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
            checkpoint.load_weights(self.model)
            checkpoint.load_regularizer(self.regularizer)
            checkpoint.load_optimizer(self.optimizer.optimizer)
        start = checkpoint.step if checkpoint else 0
        if not self.accelerator.is_main_process:
            return self._loop(start, None)
        with Tracker(self.config.run_dir, start) as tracker:
            return self._loop(start, tracker)

    def _loop(self, start: int, tracker: Tracker | None) -> bool:
        training = self.config.training
        bar = self.progress.add_task("training", total=training.num_steps, completed=start, unit="steps")
        meter = _RateMeter(training.batch_size * training.num_frames)
        with Interrupt() as interrupt:
            for step, clip in enumerate(self._batches(start), start):
                self.objective.train()
                loss, z, grad_norm = self._step(step, clip)
                meter.tick()
                self.progress.update(bar, advance=1, visible=tracker is not None)
                if (step + 1) % training.log_every == 0:
                    self._log(tracker, step, loss, z, grad_norm, meter)
                if (step + 1) % training.validate_every == 0 or step + 1 == training.num_steps:
                    self._validate(tracker, step)
                    meter.restart()
                stop = interrupt.wanted(self.accelerator.device)
                if stop or (step + 1) % training.checkpoint_every == 0 or step + 1 == training.num_steps:
                    self._save(step + 1)
                if stop:
                    return step + 1 == training.num_steps
        return True

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

    def _step(self, step: int, clip: Clip) -> tuple[Loss, Tensor, Tensor]:
        config, accelerator = self.config, self.accelerator
        torch.manual_seed(derive_seed(config.seed, step, accelerator.process_index))  # dropout
        generator = torch.Generator(accelerator.device).manual_seed(
            derive_seed(config.seed, step)
        )  # equal on all ranks
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, config.training.num_steps, config.training.warmup_fraction)
            group["lr"] *= config.training.learning_rate
        change = config.training.final_weight_fraction - 1
        self._plain_objective.regularizer_weight = self._regularizer_weight * (
            1 + change * step / config.training.num_steps
        )
        clip = Clip(*(tensor.to(accelerator.device, non_blocking=True) for tensor in clip))
        loss, z = self.objective(clip, generator)
        accelerator.backward(loss.total)
        grad_norm = accelerator.clip_grad_norm_(self.objective.parameters(), config.training.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss, z, cast(Tensor, grad_norm)

    def _log(
        self, tracker: Tracker | None, step: int, loss: Loss, z: Tensor, grad_norm: Tensor, meter: "_RateMeter"
    ) -> None:
        total, prediction, regularizer = self.accelerator.reduce(torch.stack(loss).detach(), "mean").tolist()
        if not math.isfinite(total):
            raise InputError(
                f"the loss is {total} at step {step}: lower training.learning_rate="
                f"{self.config.training.learning_rate}; the last checkpoint is kept"
            )
        z = cast(Tensor, self.accelerator.gather(z))
        if tracker is None:
            return
        values = {
            "loss/total": total,
            "loss/prediction": prediction,
            "loss/regularizer": regularizer,
            "regularizer/weight": self._plain_objective.regularizer_weight,
            "regularizer/statistic": self.regularizer.statistic(regularizer, self.config.training.batch_size),
            "train/prediction_over_copy_last": prediction / copy_last_loss(z),
            **{f"train/{name}": value for name, value in rank_and_std(z.flatten(0, 1)).items()},
            "train/grad_norm": float(grad_norm),
            "train/learning_rate": self.optimizer.param_groups[0]["lr"],
            "speed/frames_per_second": meter.rate(),
        }
        tracker.log(step, values)

    def _validate(self, tracker: Tracker | None, step: int) -> None:
        if tracker is not None:
            self.model.eval()
            values = self.validate(self.model)
            tracker.log(step, values)
            shown = {tag: value for tag, value in values.items() if not tag.startswith("gaussianity/")}
            line = ", ".join(f"{tag.split('/')[-1]} {value:.3f}" for tag, value in shown.items())
            self.progress.console.print(f"step {step + 1}: {line}", soft_wrap=True)
        self.accelerator.wait_for_everyone()

    def _save(self, step: int) -> None:
        if not_finite(self.model.state_dict()):
            raise InputError(
                f"weights are not finite at step {step}: lower training.learning_rate="
                f"{self.config.training.learning_rate}; the last checkpoint is kept"
            )
        if self.accelerator.is_main_process:
            save_checkpoint(
                self.config.run_dir / "checkpoints",
                self.spec,
                step,
                self.model,
                self.regularizer,
                self.optimizer.optimizer,
                keep_last=self.config.training.keep_checkpoints,
                keep_every=self.config.training.keep_every,
            )
        self.accelerator.wait_for_everyone()


def copy_last_loss(z: Tensor) -> float:
    """Prediction loss of no change: (B, T, D) embeddings -> mean squared step, at least 1e-12 so as to divide by it."""
    return max((z[:, 1:] - z[:, :-1]).square().mean().item(), 1e-12)


class _RateMeter:
    """Meter of frames per second since its last reading."""

    def __init__(self, frames_per_step: int) -> None:
        self._frames_per_step = frames_per_step
        self.restart()

    def restart(self) -> None:
        self._since, self._num_steps = time.perf_counter(), 0

    def tick(self) -> None:
        self._num_steps += 1

    def rate(self) -> float:
        rate = self._num_steps * self._frames_per_step / max(time.perf_counter() - self._since, 1e-9)
        self.restart()
        return rate
