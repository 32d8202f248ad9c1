"""Files of tensors: safetensors that are checked when they are read."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

import lewm
from lewm.errors import InputError
from lewm.files import sha256_of


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or infinite numbers."""
    return [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Writes a safetensors file with metadata: format pt, and the version of this package.

    Equal tensors give equal bytes, and the file has the permissions of any other, neither of which safetensors' own
    save_file() gives.

    Args:
      tensors: contiguous tensors on the CPU, by name.
      path: file.
    """
    content = memoryview(save(dict(tensors)))
    end = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
    header = {"__metadata__": {"format": "pt", "lewm": lewm.__version__}, **json.loads(bytes(content[_LENGTH:end]))}
    described = json.dumps(header, separators=(",", ":")).encode()
    described += b" " * (-len(described) % _LENGTH)  # tensors begin at a multiple of 8 bytes
    with path.open("wb") as file:
        file.writelines([len(described).to_bytes(_LENGTH, "little"), described, content[end:]])


_LENGTH = 8
"""Bytes in front of a safetensors file that tell the length of its header."""


def read_tensors(path: Path, sha256: str | None) -> dict[str, Tensor]:
    """Reads a safetensors file.

    Args:
      path: file.
      sha256: hex digest that was noted when the file was written; None if there is none.

    Raises:
      InputError: the file is missing, or is not the one that was written.
    """
    try:
        if sha256_of(path) != sha256:
            raise InputError(f"{path} is damaged: its SHA-256 is not the one in the JSON file beside it")
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is missing or damaged: {error}") from None


def load_weights(module: nn.Module, path: Path, sha256: str | None, what: str) -> None:
    """Fills a module with the tensors of a safetensors file.

    Args:
      module: module of the architecture that was saved.
      path: file.
      sha256: hex digest that was noted when the file was written; None if there is none.
      what: word for the module in messages.

    Raises:
      InputError: the file is missing or damaged, a weight is NaN or infinite, or they do not fit the module.
    """
    tensors = read_tensors(path, sha256)
    if wrong := not_finite(tensors):
        raise InputError(f"{path} is damaged: {wrong[0]} is not finite everywhere")
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(
            f"the weights in {path} do not fit the {what}: {str(error).splitlines()[-1].strip()}"
        ) from None
