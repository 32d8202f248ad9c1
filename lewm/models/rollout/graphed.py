"""Rollouts replayed as CUDA graphs, without the launches between kernels."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lewm.models.rollout.cached import CachedRollout

MAX_GRAPHS = 64
"""Most graphs kept: enough for five iCEM searches with different numbers of episodes or seen frames."""


class Graph(NamedTuple):
    """A recorded rollout: its inputs are written, it is replayed, its output is read."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    output: Tensor


class GraphedRollout:
    """A CachedRollout that is recorded as a CUDA graph for each shape of contexts and candidates, then replayed.

    The cross-entropy method has two shapes of candidates, iCEM one for each size of its population. As long as the
    number of episodes and that of the frames they have seen stay, nothing is recorded from the second plan on. The
    graphs used last are kept, at most MAX_GRAPHS, in memory that they share: nothing of a replay but its output is
    needed after it, and that is copied at once. When the weights change, all are recorded anew. Candidates that
    require a gradient go through the CachedRollout.

    Args:
      rollout: cached rollout of a model on a GPU.
    """

    def __init__(self, rollout: CachedRollout) -> None:
        self.rollout, self.window, self.batch_size = rollout, rollout.window, rollout.batch_size
        self._graphs: OrderedDict[tuple[object, ...], Graph] = OrderedDict()
        self._weights: object = None  # what the recordings read; held, so that their memory is not used otherwise
        self._memory: tuple[Any, torch.cuda.Stream] | None = None

    def __call__(self, z: Tensor, past_actions: Tensor) -> Callable[[Tensor], Tensor]:
        """Takes in (B, T, D), (B, T-1, A) contexts; returns a map from (B, N, H, A) candidates to (B, N, H, D)."""

        def imagine(candidates: Tensor) -> Tensor:
            if torch.is_grad_enabled() and candidates.requires_grad:
                return self.rollout(z, past_actions)(candidates)
            with torch.no_grad():
                return self._replay((z, past_actions, candidates))

        return imagine

    def _replay(self, inputs: tuple[Tensor, ...]) -> Tensor:
        weights = self.rollout.current_weights()
        if weights is not self._weights:
            self._graphs.clear()
            self._weights, self._memory = weights, None  # memory that no graph holds any more cannot be shared again
        key = tuple(tensor.shape for tensor in inputs)
        if key not in self._graphs:
            self._graphs[key] = self.record(inputs)
            while len(self._graphs) > MAX_GRAPHS:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(key)
        recorded = self._graphs[key]
        for static, tensor in zip(recorded.inputs, inputs, strict=True):
            static.copy_(tensor)
        recorded.graph.replay()
        return recorded.output.clone()

    def record(self, inputs: tuple[Tensor, ...]) -> Graph:
        """Records a graph for inputs of these shapes."""
        z, past_actions, candidates = (tensor.clone() for tensor in inputs)
        with torch.cuda.device(candidates.device):
            if self._memory is None:
                self._memory = torch.cuda.graph_pool_handle(), torch.cuda.Stream()
            pool, stream = self._memory
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):  # libraries set themselves up in the first calls, which cannot be recorded
                for _ in range(2):
                    self.rollout(z, past_actions)(candidates)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool, stream=stream):
                output = self.rollout(z, past_actions)(candidates)
        return Graph(graph, (z, past_actions, candidates), output)
