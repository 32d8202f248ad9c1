"""Copies of arrays on a device."""

import numpy as np
import torch

from lewm import uploading
from lewm.uploading import upload


class OnCPU:
    """Stands for a tensor on the CPU and notes what is done with it."""

    def __init__(self):
        self.done = []

    def pin_memory(self):
        self.done.append("pin_memory")
        return self

    def to(self, device, non_blocking=False):
        self.done.append((str(device), non_blocking))
        return self


def test_an_array_comes_as_it_is():
    array = np.arange(6, dtype=np.int64).reshape(2, 3)
    assert torch.equal(upload(array, "cpu"), torch.tensor([[0, 1, 2], [3, 4, 5]]))
    assert upload(array, torch.device("cpu")).dtype == torch.int64


def test_a_copy_to_a_gpu_is_not_waited_for(monkeypatch):
    for device in ("cuda", torch.device("cuda:1")):
        tensor = OnCPU()
        monkeypatch.setattr(uploading.torch, "as_tensor", lambda array, tensor=tensor: tensor)
        upload(np.zeros(2), device)
        assert tensor.done == ["pin_memory", (str(device), True)]
