"""Checkpoints: safetensors and JSON in a folder that appears whole or not at all. Loading one runs no code from it."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lewm.config import TrainConfig, from_dict
from lewm.data.normalize import ActionNormalizer
from lewm.errors import InputError
from lewm.files import whole_folder, write_json
from lewm.models import JEPA
from lewm.training.build import build_model

FORMAT = "lewm-checkpoint"
VERSION = 5


@dataclass(frozen=True)
class ModelSpec:
    """All that is needed to use the weights.

    Attributes:
      config: of the run: architecture, context, frameskip, env.
      normalizer: action statistics of the training split.
      action_low, action_high: (a,) bounds of the raw actions.
      dataset_hash: content hash of the data that the model was trained on.
    """

    config: TrainConfig
    normalizer: ActionNormalizer
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    dataset_hash: str

    @property
    def action_dim(self) -> int:
        """A."""
        return len(self.action_low) * self.config.env.frameskip

    def build_model(self) -> JEPA:
        return build_model(self.config.model, self.config.env.frame_size, self.action_dim)


def save_checkpoint(
    folder: Path,
    spec: ModelSpec,
    step: int,
    model: nn.Module,
    regularizer: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> Path:
    """Writes <folder>/step_<step> and, once it is complete, removes the checkpoint before it."""
    path = folder / f"step_{step:07d}"
    with whole_folder(path) as partial:
        try:
            save_file(_contiguous(model), partial / "model.safetensors")
            save_file(_contiguous(regularizer), partial / "regularizer.safetensors")
            save_file(_optimizer_tensors(optimizer), partial / "optimizer.safetensors")
        except SafetensorError as error:  # of a full disk, say
            raise InputError(
                f"cannot write the checkpoint {path} ({error}): the one before it is kept; make room, then resume=true"
            ) from error
        write_json(partial / "checkpoint.json", {"format": FORMAT, "version": VERSION, "step": step, **asdict(spec)})
    for older in folder.glob("step_*"):
        if older.name < path.name:
            shutil.rmtree(older)
    return path


def latest_checkpoint(run_dir: Path) -> Path | None:
    """The last complete checkpoint of a run folder, or None."""
    return max((run_dir / "checkpoints").glob("step_*"), default=None)


def load_spec(path: Path) -> tuple[ModelSpec, int]:
    """The spec and the step of a checkpoint folder."""
    try:
        described = json.loads((path / "checkpoint.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a readable checkpoint: {error}") from None
    if not isinstance(described, dict) or (described.get("format"), described.get("version")) != (FORMAT, VERSION):
        raise InputError(f"{path} is not a checkpoint of format {FORMAT} version {VERSION}")
    try:
        spec = ModelSpec(
            config=from_dict(described["config"], TrainConfig),
            normalizer=ActionNormalizer(*(tuple(described["normalizer"][key]) for key in ("mean", "std"))),
            action_low=tuple(described["action_low"]),
            action_high=tuple(described["action_high"]),
            dataset_hash=described["dataset_hash"],
        )
        return spec, described["step"]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}/checkpoint.json is incomplete ({error})") from None


def load_weights(path: Path, model: nn.Module) -> None:
    """Fills `model` from a checkpoint folder."""
    try:
        model.load_state_dict(_read(path / "model.safetensors"))
    except RuntimeError as error:
        raise InputError(f"the weights in {path} do not fit the model: {str(error).splitlines()[-1].strip()}") from None


def load_optimizer(path: Path, optimizer: torch.optim.Optimizer) -> None:
    """Fills `optimizer` from a checkpoint folder."""
    state: dict[int, dict[str, Tensor]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    tensors = _read(path / "optimizer.safetensors")
    try:
        for name, value in tensors.items():
            index, key = name.split(".")
            if value.dim() and value.shape != parameters[int(index)].shape:
                raise ValueError(f"{name} has the shape {tuple(value.shape)}")
            state.setdefault(int(index), {})[key] = value
    except (ValueError, IndexError) as error:
        raise InputError(f"the optimizer in {path} does not fit the model: {error}") from None
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def load_regularizer(path: Path, regularizer: nn.Module) -> None:
    """Fills what a regularizer keeps, such as a calibration, from a checkpoint folder."""
    try:
        regularizer.load_state_dict(_read(path / "regularizer.safetensors"))
    except RuntimeError as error:
        raise InputError(f"the regularizer in {path} does not fit: {str(error).splitlines()[-1].strip()}") from None


def _contiguous(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.contiguous() for name, value in module.state_dict().items()}


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {f"{index}.{key}": value.contiguous() for index, entry in state.items() for key, value in entry.items()}


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is missing or damaged: {error}") from None
