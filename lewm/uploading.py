"""Copies of arrays on a device."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def upload(array: NDArray[Any] | Tensor, device: torch.device | str) -> Tensor:
    """Copies an array to a device. To a GPU it goes by pinned memory: nobody waits for the work under way there."""
    tensor = torch.as_tensor(array)
    if torch.device(device).type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
