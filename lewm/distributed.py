"""Means over all ranks that a gradient flows through. Without a process group they are the plain operations."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def num_ranks() -> int:
    """Processes that train together; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _AllReduceMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x / num_ranks()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        grad = grad_outputs[0].clone()
        dist.all_reduce(grad)
        return grad / num_ranks()


def mean_over_ranks(x: Tensor) -> Tensor:
    """Mean of `x` over ranks, the same shape; each rank's loss contributes to each rank's gradient.

    With DDP, which averages the parameters' gradients, a loss of this mean has the gradient that one process with the
    whole batch would have.
    """
    return x if num_ranks() == 1 else _AllReduceMean.apply(x)
