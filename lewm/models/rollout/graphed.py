"""Rollouts replayed as CUDA graphs, without the launches between kernels."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lewm.models.rollout.cached import CachedRollout
from lewm.models.rollout.folded import FoldedRollout

MAX_GRAPHS = 64
"""Most graphs kept: enough for searches of 21 different numbers of episodes or seen frames."""

NUM_SIZES = 3
"""Most numbers of candidates that graphs of a search are recorded for."""

Key = tuple[object, ...]
"""Shapes of the inputs of a rollout."""


class Graph(NamedTuple):
    """A recorded rollout: its inputs are written, it is replayed, its output is read.

    Of fewer candidates than it was recorded for, the first ones are written and read.
    """

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    output: Tensor


class GraphedRollout:
    """A rollout that is recorded as a CUDA graph for each shape of contexts and candidates, then replayed.

    A shape that comes for the first time goes through the rollout itself; one that comes again is recorded. The numbers
    of candidates of a shrinking population are rounded up to NUM_SIZES sizes, see padded_size. As long as the number of
    episodes and that of the frames they have seen stay, nothing is recorded from the third plan on. The graphs used
    last are kept, at most MAX_GRAPHS, in memory that they share: nothing of a replay but its output is needed after it,
    and that is copied at once. When the weights change, all are recorded anew. Candidates that require a gradient go
    through the rollout itself.

    Args:
      rollout: rollout of a model on a GPU.
    """

    def __init__(self, rollout: CachedRollout | FoldedRollout) -> None:
        self.rollout, self.window, self.batch_size = rollout, rollout.window, rollout.batch_size
        self._graphs: OrderedDict[Key, Graph] = OrderedDict()
        self._seen: set[Key] = set()
        self._largest: dict[Key, int] = {}  # number of candidates so far, by the shape of all else
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
        z, past_actions, candidates = inputs
        num, others = candidates.shape[1], (z.shape, past_actions.shape, candidates.shape[2:])
        self._largest[others] = max(num, self._largest.get(others, 0))
        size = padded_size(num, self._largest[others])
        key = (*others, size)
        if key not in self._seen:
            self._seen.add(key)
            return self.rollout(z, past_actions)(candidates)
        if key not in self._graphs:
            padding = candidates[:, :1].expand(-1, size - num, -1, -1)
            self._graphs[key] = self.record((z, past_actions, torch.cat([candidates, padding], dim=1)))
            while len(self._graphs) > MAX_GRAPHS:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(key)
        recorded = self._graphs[key]
        static_z, static_past_actions, static_candidates = recorded.inputs
        static_z.copy_(z)
        static_past_actions.copy_(past_actions)
        static_candidates[:, :num].copy_(candidates)
        recorded.graph.replay()
        return recorded.output[:, :num].clone()

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


def padded_size(num: int, largest: int) -> int:
    """Number of candidates that `num` are rounded up to: the largest of a search, its half or its quarter.

    What a GPU computes in vain takes less time than recording a graph for every number.
    """
    sizes = (math.ceil(largest / 2**halvings) for halvings in range(NUM_SIZES))
    return min(size for size in sizes if size >= num)
