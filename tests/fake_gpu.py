"""A GPU that is not there: shapes alone are computed on it, and whoever asks for a number of it gets an error."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode


class Copies(TorchDispatchMode):
    """Counts copies from the GPU to the CPU, for each of which the CPU waits.

    Attributes:
      num_back: their number so far.
    """

    def __init__(self):
        super().__init__()
        self.num_back = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        on_gpu = any(isinstance(each, torch.Tensor) and each.is_cuda for each in arguments)
        self.num_back += on_gpu and isinstance(result, torch.Tensor) and not result.is_cuda
        return result


@contextmanager
def fake_gpu(*modules: ModuleType) -> Iterator[Copies]:
    """Lets tensors be made with device="cuda". item(), tolist(), bool() and masks of such a tensor raise.

    Args:
      modules: modules whose cached tensors are forgotten after the block, where they are of no use.
    """
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), Copies() as copies:
            yield copies
    finally:
        for module in modules:
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
