"""Heads in a run folder: safetensors and JSON in <run>/heads/<name>/, tied to the weights that they were fitted to."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from lewm.errors import InputError
from lewm.files import sha256_of, whole_folder, write_json
from lewm.heads.config import HeadConfig
from lewm.heads.fitting import FittedHead, build_head
from lewm.training.checkpoint import Checkpoint

FORMAT = "lewm-head"
VERSION = 2


def save_head(run_dir: Path, config: HeadConfig, fitted: FittedHead, weights_hash: str) -> Path:
    """Writes <run_dir>/heads/<name>, whole or not at all.

    Args:
      run_dir: the run folder.
      config: of the head.
      fitted: the head and its errors.
      weights_hash: SHA-256 of the model.safetensors that it was fitted to.

    Raises:
      InputError: the disk is full.
    """
    name = config.head["name"]
    path = run_dir / "heads" / name
    tensors = {key: value.contiguous() for key, value in fitted.head.state_dict().items()}
    described = {
        "format": FORMAT,
        "version": VERSION,
        "weights": weights_hash,
        **asdict(config),
        "errors": fitted.errors,
    }
    with whole_folder(path) as partial:
        try:
            save_file(tensors, partial / "head.safetensors")
        except SafetensorError as error:  # of a full disk, say
            raise InputError(f"cannot write the head {path} ({error}): make room, then fit it again") from error
        write_json(partial / "head.json", described)
    return path


class Heads(Mapping[str, nn.Module]):
    """The heads of a run by name, in eval mode and without gradients of their weights. Each is read when asked for.

    Args:
      run_dir: the run folder.
      checkpoint: checkpoint whose weights the heads must have been fitted to.
      device: device of the heads.
    """

    def __init__(self, run_dir: Path, checkpoint: Checkpoint, device: str) -> None:
        self._run_dir, self._checkpoint, self._device = run_dir, checkpoint, device
        self._read: dict[str, nn.Module] = {}

    def __getitem__(self, name: str) -> nn.Module:
        """InputError: it is not there, is damaged, or was fitted to other weights."""
        if name not in self._read:
            self._read[name] = (
                _read_head(self._run_dir, name, self._checkpoint).to(self._device).eval().requires_grad_(False)
            )
        return self._read[name]

    def used(self) -> dict[str, str]:
        """The heads that were asked for so far, and SHA-256 of their weights."""
        return {name: sha256_of(self._run_dir / "heads" / name / "head.safetensors") for name in sorted(self._read)}

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        found = sorted((self._run_dir / "heads").glob("*/head.json"))
        return [path.parent.name for path in found if path.parent.suffix != ".partial"]


def _read_head(run_dir: Path, name: str, checkpoint: Checkpoint) -> nn.Module:
    path, again = run_dir / "heads" / name, f"scripts/train_head.py run={run_dir} head={name}"
    if not path.exists():
        raise InputError(f"{run_dir} holds no head {name!r}: fit it with {again}")
    try:
        described: dict[str, Any] = json.loads((path / "head.json").read_text())
        tensors = load_file(path / "head.safetensors")
        if (described["format"], described["version"]) != (FORMAT, VERSION):
            raise InputError(f"{path} is not a head of format {FORMAT} version {VERSION}: fit it again with {again}")
        component, weights = described["head"], described["weights"]
        max_steps = described["fitting"]["max_steps"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged ({error!r}): fit it again with {again}") from None
    if weights != checkpoint.weights_hash:
        raise InputError(
            f"{path} was fitted to other weights than those of {checkpoint.path}: fit it again with {again}"
        )
    head = build_head(component, checkpoint.spec, max_steps)
    try:
        head.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"the weights in {path} do not fit the head ({reason}): fit it again with {again}") from None
    return head
