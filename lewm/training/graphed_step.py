"""Training steps replayed as a CUDA graph, without the launches between kernels."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from lewm.clip import Clip

NUM_EAGER = 3
"""Steps before the recording: libraries and compiled kernels set themselves up in them."""


class StepResult(NamedTuple):
    """What a training step leaves behind, on the device and detached.

    Attributes:
      losses: (4,) the numbers of a Loss.
      z: (B, T, D) float32 embeddings.
      grad_norm: () norm of the gradient before it was clipped.
    """

    losses: Tensor
    z: Tensor
    grad_norm: Tensor


Update = Callable[[Clip], StepResult]
"""A training step: forward and backward pass and optimizer, on a batch on the device."""


class Recording(NamedTuple):
    """A recorded step: write the inputs, call replay, read the outputs."""

    inputs: Clip
    replay: Callable[[], None]
    outputs: StepResult


class GraphedStep:
    """A training step that is recorded as a CUDA graph after NUM_EAGER steps, and replayed from then on.

    A replay runs the same kernels on the same memory. So shapes are fixed, and whatever changes from step to step has
    to be in tensors that are written before: the batch, the learning rate, the regularizer's weight. Random numbers are
    those of the generators' seeds at the time of the replay.

    Args:
      update: the step. It makes no GPU wait and reads no number on the host.
      generators: generators that it draws from, beside torch's default one.
      device: GPU.
    """

    def __init__(self, update: Update, generators: Sequence[torch.Generator], device: torch.device) -> None:
        self._update, self._generators, self._device = update, generators, device
        self._num_calls = 0
        self._recording: Recording | None = None

    def __call__(self, clip: Clip) -> StepResult:
        """Makes a step; what it returns is overwritten by the next one."""
        self._num_calls += 1
        if self._num_calls <= NUM_EAGER:
            return self.warm_up(clip)
        if self._recording is None:
            self._recording = self.record(Clip(*(tensor.clone() for tensor in clip)))
        for static, tensor in zip(self._recording.inputs, clip, strict=True):
            static.copy_(tensor, non_blocking=True)
        self._recording.replay()
        return self._recording.outputs

    def warm_up(self, clip: Clip) -> StepResult:
        """Makes a step on the stream of the recording, which autograd's nodes then belong to."""
        here = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            result = self._update(clip)
        here.wait_stream(self._stream)
        return result

    def record(self, clip: Clip) -> Recording:
        """Records the step on this batch, which stays the place of the later ones. Nothing is calculated yet."""
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        # Other threads, which write checkpoints and pin batches, may go on while this one records.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            outputs = self._update(clip)
        return Recording(clip, graph.replay, outputs)

    @cached_property
    def _stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self._device)
