"""Rollouts on a GPU without the launches between their kernels."""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lewm.models.cached_rollout import CachedRollout

MAX_GRAPHS = 8


class _Graph(NamedTuple):
    """A recorded rollout: its inputs are written, it is replayed, its output is read.

    Attributes:
      weights: that the recording reads; held, so that their memory is not used for something else.
    """

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, Tensor, Tensor]
    output: Tensor
    weights: object


class GraphedRollout:
    """A CachedRollout that is recorded as a CUDA graph for each shape of contexts and candidates, then replayed.

    A plan of the cross-entropy method has two shapes, so from the second plan on nothing is recorded or compiled. The
    graphs used last are kept, at most MAX_GRAPHS. Candidates that require a gradient go through the CachedRollout.

    Args:
      rollout: of a model on a GPU.
    """

    def __init__(self, rollout: CachedRollout) -> None:
        self.rollout, self.window = rollout, rollout.window
        self._graphs: OrderedDict[tuple[object, ...], _Graph] = OrderedDict()

    def __call__(self, z: Tensor, past_actions: Tensor) -> Callable[[Tensor], Tensor]:
        """(B, T, D), (B, T-1, A) contexts -> from (B, N, H, A) candidates to (B, N, H, D) embeddings."""

        def imagine(candidates: Tensor) -> Tensor:
            if torch.is_grad_enabled() and candidates.requires_grad:
                return self.rollout(z, past_actions)(candidates)
            with torch.no_grad():
                return self._replay((z, past_actions, candidates))

        return imagine

    def _replay(self, inputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        key = (*(tensor.shape for tensor in inputs), id(self.rollout.current_weights()))
        if key not in self._graphs:
            self._graphs[key] = self._record(inputs)
            while len(self._graphs) > MAX_GRAPHS:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(key)
        recorded = self._graphs[key]
        for static, tensor in zip(recorded.inputs, inputs, strict=True):
            static.copy_(tensor)
        recorded.graph.replay()
        return recorded.output.clone()

    def _record(self, inputs: tuple[Tensor, Tensor, Tensor]) -> _Graph:
        z, past_actions, candidates = tuple(tensor.clone() for tensor in inputs)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # libraries set themselves up in the first calls, which cannot be recorded
            for _ in range(2):
                self.rollout(z, past_actions)(candidates)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = self.rollout(z, past_actions)(candidates)
        return _Graph(graph, (z, past_actions, candidates), output, self.rollout.current_weights())
