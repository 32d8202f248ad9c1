"""Checkpoints: folders of safetensors and JSON that appear whole or not at all. Loading one runs no code from it."""

import math
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from lewm.errors import InputError
from lewm.files import read_versioned, sha256_of, whole_folder, write_json
from lewm.training.model_spec import ModelSpec
from lewm.training.tensors import load_weights, read_tensors, save_tensors

FORMAT = "lewm-model"
VERSION = 1
WEIGHTS, REGULARIZER, OPTIMIZER = "model.safetensors", "regularizer.safetensors", "optimizer.safetensors"
AVERAGE = "average.safetensors"
DESCRIPTION = "model.json"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder whose description has been read and checked.

    Attributes:
      path: the folder.
      spec: specification of the model.
      step: training steps that led to the weights.
      seconds: seconds that they took.
      hashes: SHA-256 of each file, by name.
      trained_on: what the last of them ran on, see describe_accelerator(); empty for older checkpoints.
    """

    path: Path
    spec: ModelSpec
    step: int
    seconds: float
    hashes: dict[str, str]
    trained_on: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> "Checkpoint":
        """Reads a checkpoint folder. InputError: it is none, or its description is damaged or of another version."""
        file = path / DESCRIPTION
        described = read_versioned(file, "a checkpoint", FORMAT, VERSION, "train the model again")
        step, hashes = described.get("step"), described.get("files")
        if type(step) is not int or step < 0:
            raise InputError(f"{file} is damaged: step={step!r} must be a whole number of at least 0")
        seconds = described.get("seconds", 0.0)  # older checkpoints lack them
        if type(seconds) not in (int, float) or not 0 <= seconds < math.inf:
            raise InputError(f"{file} is damaged: seconds={seconds!r} must be a number of at least 0")
        if not isinstance(hashes, dict) or not all(isinstance(value, str) for value in hashes.values()):
            raise InputError(f"{file} is damaged: it has no hashes of the files")
        trained_on = described.get("trained_on", {})
        if not isinstance(trained_on, dict):
            raise InputError(f"{file} is damaged: trained_on={trained_on!r} must be an object")
        try:
            return cls(path, ModelSpec.from_dict(described), step, float(seconds), hashes, trained_on)
        except InputError as error:
            raise InputError(f"{file} is damaged: {error}") from None

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the weights of load_weights(), by which heads and results name the model."""
        return self.hashes[self._evaluated]

    @property
    def _evaluated(self) -> str:
        """File of the weights to evaluate: the averaged ones, where there are any."""
        return AVERAGE if AVERAGE in self.hashes else WEIGHTS

    def load_weights(self, model: nn.Module) -> None:
        """Fills a model of this architecture with the weights to evaluate, averaged where training.ema_decay was given.

        Raises:
          InputError: the weights are missing, damaged, NaN, or do not fit.
        """
        load_weights(model, self.path / self._evaluated, self.hashes.get(self._evaluated), "model")

    def load_last_weights(self, model: nn.Module) -> None:
        """Fills a model with the weights of the last step, to go on training. InputError: as for load_weights()."""
        load_weights(model, self.path / WEIGHTS, self.hashes.get(WEIGHTS), "model")

    def load_average(self, model: nn.Module) -> None:
        """Fills a model with the averaged weights. InputError: there are none, or as for load_weights()."""
        if AVERAGE not in self.hashes:
            raise InputError(f"{self.path} holds no averaged weights: resume it with training.ema_decay=null")
        load_weights(model, self.path / AVERAGE, self.hashes[AVERAGE], "model")

    def copy_weights(self, folder: Path) -> None:
        """Copies the weights to evaluate into a folder, as a checkpoint to plan with and to fine-tune.

        Raises:
          InputError: the weights are missing or damaged.
        """
        read_tensors(self.path / self._evaluated, self.hashes[self._evaluated])
        shutil.copyfile(self.path / self._evaluated, folder / WEIGHTS)
        _describe(folder, self.spec, self.step, self.seconds, {WEIGHTS: self.weights_hash}, self.trained_on)

    def load_regularizer(self, regularizer: nn.Module) -> None:
        """Fills the buffers of a regularizer, such as a calibration. InputError: as for the weights."""
        load_weights(regularizer, self.path / REGULARIZER, self.hashes.get(REGULARIZER), "regularizer")

    def load_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Fills an optimizer of the model's parameters. InputError: a tensor is missing, or does not fit.

        Parameters may be in other groups than when it was written: they are named by their positions in the model.
        """
        groups = optimizer.state_dict()["param_groups"]
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        places = {position: place for place, position in enumerate(parameter_positions(optimizer))}
        state: dict[int, dict[str, Tensor]] = {place: {} for place in places.values()}
        try:
            for name, value in read_tensors(self.path / OPTIMIZER, self.hashes.get(OPTIMIZER)).items():
                position, key = name.split(".")
                place = places[int(position)]
                if value.dim() and value.shape != parameters[place].shape:
                    raise ValueError(f"{name} has the shape {tuple(value.shape)}")
                state[place][key] = value
        except (ValueError, KeyError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"the optimizer in {self.path} does not fit the model: {error}") from None
        lacking = 0
        for group in groups:
            keys = set().union(*(state[place] for place in group["params"]))
            lacking += sum(state[place].keys() != keys or not keys for place in group["params"])
        if self.step and lacking:
            raise InputError(f"the optimizer in {self.path} lacks tensors of {lacking} parameters")
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def parameter_positions(optimizer: torch.optim.Optimizer) -> list[int]:
    """Positions of an optimizer's parameters among those of the model: what its groups say, else their own order."""
    counts = iter(range(sum(len(group["params"]) for group in optimizer.param_groups)))
    numbered = [[next(counts) for _ in group["params"]] for group in optimizer.param_groups]
    groups = zip(optimizer.param_groups, numbered, strict=True)
    return [position for group, own in groups for position in group.get("positions", own)]


class Snapshot(NamedTuple):
    """Copies of all that a checkpoint holds of a training, on the CPU. Training can go on.

    Attributes:
      weights: state of the model.
      regularizer: buffers of the regularizer.
      optimizer: state of the optimizer by "position of the parameter.name".
      average: state of the averaged model; empty where nothing is averaged.
    """

    weights: dict[str, Tensor]
    regularizer: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    average: dict[str, Tensor]

    @classmethod
    def take(
        cls,
        model: nn.Module,
        regularizer: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: nn.Module | None = None,
    ) -> "Snapshot":
        """Copies the states."""
        weights, entries = _copied(model.state_dict()), optimizer.state_dict()["state"]
        positions = parameter_positions(optimizer) if entries else []
        moments = {
            f"{positions[place]}.{key}": value for place, entry in entries.items() for key, value in entry.items()
        }
        averaged = _copied(average.state_dict()) if average is not None else {}
        return cls(weights, _copied(regularizer.state_dict()), _copied(moments), averaged)


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }


def save_checkpoint(
    folder: Path,
    spec: ModelSpec,
    step: int,
    snapshot: Snapshot,
    *,
    seconds: float = 0.0,
    trained_on: Mapping[str, Any] | None = None,
    keep_last: int = 1,
    keep_every: int | None = None,
) -> Path:
    """Writes <folder>/step_<step> and, once it is complete, removes older checkpoints.

    Args:
      folder: checkpoints/ of the run folder.
      spec: specification of the model.
      step: training steps made so far.
      snapshot: what is saved.
      seconds: seconds that they took.
      trained_on: what they ran on, see describe_accelerator().
      keep_last: number of latest checkpoints that stay, this one included.
      keep_every: checkpoints whose step is a multiple of this stay, too; None for no others.

    Returns:
      The folder of the checkpoint.

    Raises:
      InputError: the disk is full.
    """
    path = folder / _name_of(step)
    for remains in folder.glob("step_*.partial"):
        if _step_of(remains.with_suffix("")) is not None:  # a killed process left it
            shutil.rmtree(remains)
    parts = dict(zip((WEIGHTS, REGULARIZER, OPTIMIZER, AVERAGE), snapshot, strict=True))
    tensors = {name: values for name, values in parts.items() if values or name != AVERAGE}
    with whole_folder(path) as partial:
        try:
            for name, values in tensors.items():
                save_tensors(values, partial / name)
        except OSError as error:  # a full disk, say
            raise InputError(
                f"cannot write the checkpoint {path} ({error}): the one before it is kept; make room, then resume=true"
            ) from error
        hashes = {name: sha256_of(partial / name) for name in tensors}
        _describe(partial, spec, step, seconds, hashes, trained_on)
    older = {number: each for number, each in checkpoints(folder.parent).items() if number <= step}
    for number in sorted(older)[:-keep_last]:
        if not keep_every or number % keep_every:
            shutil.rmtree(older[number])
    return path


def _describe(
    folder: Path,
    spec: ModelSpec,
    step: int,
    seconds: float,
    hashes: dict[str, str],
    trained_on: Mapping[str, Any] | None,
) -> None:
    """Writes model.json; the arguments as in Checkpoint."""
    described = {"format": FORMAT, "version": VERSION, "step": step, "seconds": seconds, "files": hashes}
    described |= {"trained_on": trained_on} if trained_on else {}
    write_json(folder / DESCRIPTION, {**described, **asdict(spec)})


class CheckpointWriter:
    """Writer of checkpoints in a thread of its own, one at a time, while the training goes on.

    A context: at its end everything is written. An error of a checkpoint is raised by the next call, or at the end.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "checkpoints")
        self._last: Future[Path] | None = None

    def write(self, *arguments: Any, **keywords: Any) -> None:
        """Calls save_checkpoint with these arguments, once the checkpoint before is written."""
        self.wait()
        self._last = self._executor.submit(save_checkpoint, *arguments, **keywords)

    def wait(self) -> None:
        """Waits until the last checkpoint is written, and raises what went wrong."""
        if self._last is not None:
            self._last.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown()
        if error is None:
            self.wait()


def checkpoints(run_dir: Path) -> dict[int, Path]:
    """The complete checkpoints of a run folder, by step. Folders of other names beside them, copies say, are none."""
    found = {path: _step_of(path) for path in (run_dir / "checkpoints").glob("step_*") if path.is_dir()}
    return {step: path for path, step in found.items() if step is not None}


def _step_of(path: Path) -> int | None:
    """The step that save_checkpoint() gives this name; None for any other name."""
    digits = re.fullmatch(r"step_([0-9]+)", path.name)
    return int(digits[1]) if digits and path.name == _name_of(int(digits[1])) else None


def _name_of(step: int) -> str:
    """Name of a checkpoint's folder."""
    return f"step_{step:07d}"


def latest_checkpoint(run_dir: Path) -> Path | None:
    """The checkpoint of the highest step of a run folder, or None."""
    found = checkpoints(run_dir)
    return found[max(found)] if found else None


def find_checkpoint(path: Path) -> Path:
    """The checkpoint that a path names: itself, or the last one of a run folder. InputError: there is none."""
    if (path / DESCRIPTION).exists():
        return path
    latest = latest_checkpoint(path)
    if latest is None:
        raise InputError(f"{path} holds no checkpoint: give the folder of a trained run")
    return latest
