"""Throughput of a training: frames, waiting for data, memory, and MFU, operations as a share of a device's own rate."""

import copy
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from lewm.clip import Clip
from lewm.models import JEPA
from lewm.training.model_spec import ModelSpec

_SIZE = {"cpu": 1024, "cuda": 8192}
"""Rows of the matrices that are multiplied, by device: enough for its full rate."""

_REPEATS = 5
"""Products behind the median; one goes before."""

_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda gradient, q, k, v, *_, **__: sdpa_backward_flop_count(gradient, q, k, v)
    ),
}
"""Operations of the attention that torch takes for tensors without a GPU; torch 2.11 does not count them."""


def count_flops(call: Callable[[], Any]) -> int:
    """Floating-point operations of a call, forward and backward, a multiply-add as two.

    Counted are matrix products, convolutions and attention, with the scores that its backward pass computes again. The
    call must run operation by operation: what CUDA graphs replay and the compiler fuses is not seen.
    """
    with FlopCounterMode(display=False, custom_mapping=_ATTENTION) as counter:
        call()
    return int(counter.get_total_flops())


def count_model_flops(model: JEPA, spec: ModelSpec, batch_size: int, num_frames: int, rollout_steps: int = 1) -> int:
    """Floating-point operations of a model in a training step, on a copy that knows shapes and no numbers.

    Those of the regularizer and the optimizer, about one in a hundred, and of a contrast are left out.
    """
    shapes = copy.deepcopy(model).to("meta")
    pixels = torch.empty(batch_size, num_frames, 3, spec.frame_size, spec.frame_size, dtype=torch.uint8, device="meta")
    actions = torch.empty(batch_size, num_frames - 1, spec.action_dim, device="meta")

    def step() -> None:
        z = shapes.encode(pixels)
        loss = (shapes.predict_clip(z, actions, rollout_steps) - z[:, 1:]).square().mean()
        (loss if shapes.actor is None else loss + shapes.actor.loss(z, actions)).backward()

    with torch.compiler.set_stance("force_eager"):
        return count_flops(step)


@cache
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


class Meter:
    """Meter of a training's throughput since its last reading.

    Args:
      frames_per_step: frames that a step trains on.
      device: device of the training.
      matrix_seconds: seconds that a step's operations would take at the rate of a large matrix product; None if they
        are not known.
    """

    def __init__(self, frames_per_step: int, device: torch.device, matrix_seconds: float | None = None) -> None:
        self._frames_per_step, self._device, self._matrix_seconds = frames_per_step, device, matrix_seconds
        self.restart()

    def restart(self) -> None:
        """Leaves out what has happened since the last reading."""
        self._since, self._waited, self._num_steps = time.perf_counter(), 0.0, 0

    def watch(self, batches: Iterable[Clip]) -> Iterator[Clip]:
        """The same batches; the time that each is waited for is counted."""
        begun = time.perf_counter()
        for clip in batches:
            self._waited += time.perf_counter() - begun
            self._num_steps += 1
            yield clip
            begun = time.perf_counter()

    def read(self) -> dict[str, float]:
        """Numbers to log, and a new beginning. On a GPU the steps have to be done by now."""
        seconds = max(time.perf_counter() - self._since, 1e-9)
        values = {
            "speed/frames_per_second": self._num_steps * self._frames_per_step / seconds,
            "speed/waiting_for_data": self._waited / seconds,
            "speed/memory_gb": memory_bytes(self._device) / 1e9,
        }
        if self._matrix_seconds is not None:
            values["speed/mfu"] = self._num_steps * self._matrix_seconds / seconds
        self.restart()
        return values


def memory_bytes(device: torch.device) -> int:
    """Memory of this process: on a GPU the most that its tensors have taken, else what it has in RAM now."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return int(psutil.Process().memory_info().rss)
