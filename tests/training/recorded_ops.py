"""A recording of torch operations on a CPU, replayed as a CUDA graph is: the same operations on the same memory."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

WAITS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal")
"""Operations after which the host knows a number that a GPU has calculated."""


class RecordedOps(TorchDispatchMode):
    """Keeps each operation with the tensors that it reads and writes. Its replay knows no Python of what was recorded.

    Numbers of the host are part of a recording, as in a graph: they stay what they were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.name().split(".")[0] not in WAITS, f"{func.name()} makes a GPU wait"
        result = func(*args, **(kwargs or {}))
        outputs = [value for value in tree_flatten(result)[0] if isinstance(value, Tensor)]
        self.calls.append((func, args, kwargs or {}, outputs))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        """Makes the operations again; their results go where they went."""
        for func, args, kwargs, outputs in self.calls:
            if func.is_view:
                continue  # the memory that it looks at is written by the others
            results = [value for value in tree_flatten(func(*args, **kwargs))[0] if isinstance(value, Tensor)]
            if not func._schema.is_mutable:
                for old, new in zip(outputs, results, strict=True):
                    if old.data_ptr() != new.data_ptr():
                        old.copy_(new)
