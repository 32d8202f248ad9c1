"""Time, memory and error of a loss and its gradient."""

import ctypes
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lewm.provenance import cpu_name
from lewm.training.throughput import now

Loss = Callable[[Tensor], Tensor]


class Contender(NamedTuple):
    """A loss to time, and what it should be: `exact` takes and gives float64."""

    loss: Loss
    exact: Loss


def gaussian(size: tuple[int, ...], device: str) -> Tensor:
    """Samples of another seed than the losses have: MMD would compare them with themselves."""
    return torch.randn(size, generator=torch.Generator().manual_seed(1)).to(device)


def value_and_gradient(loss: Loss, z: Tensor) -> tuple[Tensor, Tensor]:
    z = z.detach().requires_grad_()
    value = loss(z)
    value.backward()
    return value.detach(), z.grad


def medians(functions: dict[str, Callable[[], Any]], device: torch.device, repeats: int) -> dict[str, float]:
    """ms of each, called in turn; two calls of each go before."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for repeat in range(repeats + 2):
        for name, function in functions.items():
            begin = now(device)
            function()
            if repeat >= 2:
                times[name].append(1e3 * (now(device) - begin))
    return {name: statistics.median(values) for name, values in times.items()}


def errors(contender: Contender, z: Tensor) -> tuple[float | None, float | None]:
    """Relative errors of value and gradient; None where a regularizer refuses float64."""
    try:
        wanted, wanted_grad = value_and_gradient(contender.exact, z.double())
    except RuntimeError:  # it draws in float32 and multiplies
        return None, None
    value, grad = value_and_gradient(contender.loss, z)
    scale, grad_scale = wanted.abs().clamp(min=1e-30), wanted_grad.norm().clamp(min=1e-30)
    return ((value - wanted).abs() / scale).item(), ((grad - wanted_grad).norm() / grad_scale).item()


def peak_mb(function: Callable[[], Any], device: torch.device) -> float | None:
    """Growth of memory during one call; None on a CPU without Linux's /proc."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    if not Path("/proc/self/clear_refs").exists():
        return None
    ctypes.CDLL(None).malloc_trim(0)  # what was freed before is not there to be used again
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak begins anew
    before = resident_mb("VmRSS")
    function()
    return resident_mb("VmHWM") - before


def resident_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def machine(device: str) -> dict[str, Any]:
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "cpu": cpu_name(),
        "num_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
    }
