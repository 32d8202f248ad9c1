"""Heads in a run folder: safetensors and JSON in <run>/heads/<name>/, tied to the weights that they were fitted to."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from lewm.config import Component, from_dict, known_keys
from lewm.errors import InputError
from lewm.files import read_versioned, sha256_of, whole_folder, write_json
from lewm.heads.config import FittingConfig, HeadConfig
from lewm.heads.fitting import FittedHead, build_head
from lewm.heads.head import Head
from lewm.training.checkpoint import Checkpoint
from lewm.training.tensors import load_weights, save_tensors

FORMAT = "lewm-head"
VERSION = 3
WEIGHTS, DESCRIPTION = "head.safetensors", "head.json"


@dataclass(frozen=True)
class _Description:
    """Content of head.json beside its format and version.

    Attributes:
      model_weights: SHA-256 of the model.safetensors that the head was fitted to.
      files: SHA-256 of each file, by name.
      head: configuration of the head.
      fitting: settings that it was fitted with.
      errors: errors on held-out episodes, by name.
    """

    model_weights: str
    files: dict[str, str]
    head: Component
    fitting: FittingConfig
    errors: dict[str, Any]


def save_head(run_dir: Path, config: HeadConfig, fitted: FittedHead, model_weights: str) -> Path:
    """Writes <run_dir>/heads/<name>, whole or not at all.

    Args:
      run_dir: run folder.
      config: configuration of the head.
      fitted: the head and its errors.
      model_weights: SHA-256 of the model.safetensors that the head was fitted to.

    Returns:
      The folder of the head.

    Raises:
      InputError: the disk is full.
    """
    path = run_dir / "heads" / config.name
    tensors = {key: value.contiguous() for key, value in fitted.head.state_dict().items()}
    with whole_folder(path) as partial:
        try:
            save_tensors(tensors, partial / WEIGHTS)
        except OSError as error:  # a full disk, say
            raise InputError(f"cannot write the head {path} ({error}): make room, then fit it again") from error
        files = {WEIGHTS: sha256_of(partial / WEIGHTS)}
        described = _Description(model_weights, files, config.head, config.fitting, fitted.errors)
        write_json(partial / DESCRIPTION, {"format": FORMAT, "version": VERSION, **asdict(described)})
    return path


class Heads(Mapping[str, Head]):
    """The heads of a run by name, in eval mode and without gradients of their weights. Each is read when asked for.

    Args:
      run_dir: run folder.
      checkpoint: checkpoint whose weights the heads must have been fitted to.
      device: device of the heads.
    """

    def __init__(self, run_dir: Path, checkpoint: Checkpoint, device: str) -> None:
        self._run_dir, self._checkpoint, self._device = run_dir, checkpoint, device
        self._read: dict[str, Head] = {}
        self._hashes: dict[str, str] = {}

    def __getitem__(self, name: str) -> Head:
        """The head of a name. InputError: it is not there, is damaged, or was fitted to other weights."""
        if name not in self._read:
            path, again = self._run_dir / "heads" / name, f"`lewm train-head run={self._run_dir} head={name}`"
            if not path.exists():
                raise InputError(f"{self._run_dir} holds no head {name!r}: fit it with {again}")
            try:
                head, self._hashes[name] = _read_head(path, self._checkpoint)
            except InputError as error:
                raise InputError(f"{error}: fit it again with {again}") from None
            self._read[name] = head.to(self._device).eval().requires_grad_(False)
        return self._read[name]

    def used(self) -> dict[str, str]:
        """SHA-256 of the weights of each head that was asked for so far, by name."""
        return dict(sorted(self._hashes.items()))

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        found = sorted((self._run_dir / "heads").glob(f"*/{DESCRIPTION}"))
        return [path.parent.name for path in found if path.parent.suffix != ".partial"]


def _read_head(path: Path, checkpoint: Checkpoint) -> tuple[Head, str]:
    """The head in a folder, and the SHA-256 of its weights."""
    described = _read_description(path / DESCRIPTION)
    if described.model_weights != checkpoint.weights_hash:
        raise InputError(f"{path} was fitted to other weights than those of {checkpoint.path}")
    if described.head.get("name") != path.name:
        raise InputError(f"{path} is damaged: it holds the head {described.head.get('name')!r}")
    sha256 = str(described.files.get(WEIGHTS))
    try:
        head = build_head(HeadConfig(described.head, described.fitting), checkpoint.spec)
    except InputError as error:
        raise InputError(f"{path} is damaged: {error}") from None
    load_weights(head, path / WEIGHTS, sha256, "head")
    return head, sha256


def _read_description(file: Path) -> _Description:
    """The content of head.json. Unknown keys are ignored: later versions may have more."""
    values = read_versioned(file, "a head", FORMAT, VERSION)
    if isinstance(values.get("fitting"), dict):  # heads that name no precision were fitted in float32
        values["fitting"] = {"precision": "float32", **values["fitting"]}
    try:
        return cast(_Description, from_dict(known_keys(values, _Description), _Description))
    except InputError as error:
        raise InputError(f"{file} is damaged: {error}") from None
