"""Ranks: means over them that a gradient flows through, and the cores that they share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

from lewm.processes import num_cores


def num_ranks() -> int:
    """Processes that train together; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def num_local_ranks() -> int:
    """Those of them on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", num_ranks()))


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


def of_main_rank(number: float, device: torch.device) -> float:
    """The number of the first rank, on every rank; `device` is that of the ranks' collectives."""
    if num_ranks() == 1:
        return number
    shared = torch.tensor(number, dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return shared.item()


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        pieces = [torch.empty_like(x) for _ in range(num_ranks())]
        dist.all_gather(pieces, x.contiguous())
        return torch.cat(pieces)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        grad = grad_outputs[0].clone()
        dist.all_reduce(grad)
        return grad.tensor_split(num_ranks())[dist.get_rank()]


def gather_over_ranks(x: Tensor) -> Tensor:
    """(N, ...) of each rank -> (ranks x N, ...) of all, in order of rank; gradients as with `mean_over_ranks`."""
    return x if num_ranks() == 1 else cast(Tensor, _AllGather.apply(x))


@contextmanager
def one_thread() -> Iterator[None]:
    """Lets torch use one thread within a block, or within a function that this decorates.

    For many small operations, such as eigenvalue problems of some hundred rows: more threads gain little there, and
    where other programs keep the cores busy, each operation waits for a thread that has no core.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def use_all_cores(num_threads: int | None, num_local_ranks: int) -> None:
    """Lets torch use num_threads cores, or all cores that this process may run on, shared by the machine's ranks.

    Launchers set OMP_NUM_THREADS=1 on CPUs, which would leave the other cores idle.
    """
    torch.set_num_threads(num_threads or max(num_cores() // num_local_ranks, 1))
