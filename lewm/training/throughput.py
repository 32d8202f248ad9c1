"""Operations of a computation, and the rate at which a device makes them: MFU is their rate as a share of that one."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

_SIZE = {"cpu": 1024, "cuda": 8192}
"""Rows of the matrices that are multiplied, by device: enough for its full rate."""

_REPEATS = 5
"""Products behind the median; one goes before."""


def count_flops(call: Callable[[], Any]) -> int:
    """Floating-point operations of a call, forward and backward, a multiply-add as two.

    Counted are matrix products, convolutions and attention, with the scores that its backward pass computes again. The
    call must run operation by operation: what CUDA graphs replay and the compiler fuses is not seen.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def matrix_flops_per_s(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product, the median of a few.

    Draws no numbers from torch's global generators.

    Args:
      device: device to measure; the call waits for it.
      dtype: type of the matrices. float32 is multiplied as torch.backends.cuda.matmul.allow_tf32 says.
    """
    size, generator = _SIZE[device.type], torch.Generator(device).manual_seed(0)
    matrix = torch.randn(size, size, generator=generator, device=device).to(dtype)
    product, seconds = torch.empty_like(matrix), []
    for _ in range(1 + _REPEATS):
        begin = now(device)
        torch.mm(matrix, matrix, out=product)
        seconds.append(now(device) - begin)
    return 2 * size**3 / statistics.median(seconds[1:])


def now(device: torch.device) -> float:
    """Seconds of a clock that is read when all that was launched on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
