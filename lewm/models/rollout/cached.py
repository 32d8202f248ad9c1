"""Cached rollouts: JEPA.rollout of many action sequences from shared contexts, without repeated work."""

import math
from collections.abc import Callable, Sequence
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor

from lewm.errors import InputError
from lewm.models.jepa import JEPA
from lewm.models.rollout.predictor_weights import BlockWeights, PredictorWeights

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
GPU_MEMORY = 4 * 2**30
"""Most bytes of the sequences that go through a model on a GPU at once."""

KeysValues = tuple[tuple[Tensor, Tensor], ...]
"""An (R, heads x head_dim) key and value for each position of the window that later ones attend to."""

Cache = tuple[KeysValues, ...]
"""Keys and values of each block."""


class CachedRollout:
    """JEPA.rollout for N action sequences from each of B contexts, without repeated work.

    While the window grows, a step evaluates the newest embedding alone, on cached keys and values. Positions are
    learned and count within the window, so once it slides its embeddings are evaluated anew, but of the last block
    only keys and values, except for the newest. What an action does to the blocks is computed once for all windows;
    the context frames but the last once for all N sequences. The first position of a window attends to itself alone,
    which is one matrix.

    Args:
      model: in eval mode when it is used, with a Predictor. Its weights may change until then and later.
      window: most embeddings that a prediction sees.
      batch_size: most sequences that go through the model at once; None chooses what suits the device.
      precision: float32, or bfloat16 for the matrix products of the predictor.
      memory: bytes that as many sequences may take as go through the model at once where batch_size is None; None is
        GPU_MEMORY on a GPU, and on a CPU a mebibyte, its cache, for the widest activation of each core.

    Raises:
      InputError: an argument is out of its range.
    """

    def __init__(
        self,
        model: JEPA,
        window: int,
        batch_size: int | None = None,
        precision: str = "float32",
        memory: int | None = None,
    ) -> None:
        if not 1 <= window <= model.context:
            raise InputError(f"window={window} must be between 1 and the model's context={model.context}")
        for name, number in (("batch_size", batch_size), ("memory", memory)):
            if number is not None and number < 1:
                raise InputError(f"{name}={number} must be at least 1")
        if precision not in PRECISIONS:
            raise InputError(f"precision={precision!r}; there are {', '.join(PRECISIONS)}")
        self.model, self.window, self.batch_size, self.dtype = model, window, batch_size, PRECISIONS[precision]
        self.memory = memory
        self._weights: tuple[object, PredictorWeights] | None = None

    def __call__(self, z: Tensor, past_actions: Tensor) -> Callable[[Tensor], Tensor]:
        """Takes in the contexts.

        Args:
          z: (B, T, D) embeddings of the context frames; the last `window` count.
          past_actions: (B, T-1, A) action blocks between them.

        Returns:
          From (B, N, H, A) action blocks to the (B, N, H, D) embeddings that they lead to. It has a gradient in them,
          not in the weights.
        """
        z = z[:, -self.window :]
        past_actions = past_actions[:, past_actions.shape[1] - (z.shape[1] - 1) :]
        futures = Futures(self.current_weights(), self.dtype, self.window, z, past_actions)

        def imagine(candidates: Tensor) -> Tensor:
            num_candidates = candidates.shape[1]
            rows = torch.arange(len(candidates) * num_candidates, device=candidates.device) // num_candidates
            batch_size = self.batch_size or self._fitting_batch_size(futures.weights, horizon=candidates.shape[2])
            num_pieces = math.ceil(len(rows) / batch_size)
            pieces = zip(rows.chunk(num_pieces), candidates.flatten(0, 1).chunk(num_pieces), strict=True)
            return torch.cat([futures(row, actions) for row, actions in pieces]).unflatten(0, (-1, num_candidates))

        return imagine

    def current_weights(self) -> PredictorWeights:
        """Prepared weights of the model, prepared again when their memory or PyTorch's version counter has changed."""
        assert not self.model.training, "BatchNorm and dropout would change what is imagined"
        parts = (self.model.action_encoder, self.model.predictor, self.model.predictor_projector)
        tensors = chain.from_iterable((*part.parameters(), *part.buffers()) for part in parts)
        version = tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
        if self._weights is None or self._weights[0] != version:
            self._weights = (version, PredictorWeights.of(self.model, self.dtype))
        return self._weights[1]

    def _fitting_batch_size(self, weights: PredictorWeights, horizon: int) -> int:
        if self.memory is None and not weights.positions.is_cuda:
            return max(2**20 * torch.get_num_threads() // (weights.widest * self.dtype.itemsize), 1)
        return max((self.memory or GPU_MEMORY) // weights.num_bytes(horizon, self.window), 1)


class Futures:
    """Rollouts from B contexts.

    Args:
      weights: prepared weights of the predictor.
      dtype: type of its matrix products.
      window: most embeddings that a prediction sees.
      z: (B, T, D) embeddings of the context frames, T at most `window`.
      past_actions: (B, T-1, A) action blocks between them.
    """

    def __init__(
        self, weights: PredictorWeights, dtype: torch.dtype, window: int, z: Tensor, past_actions: Tensor
    ) -> None:
        self.weights, self.dtype, self.window = weights, dtype, window
        self.num_past = past_actions.shape[1]
        frames = weights.input(z)
        self.last_frame = frames[:, -1]
        modulations = self._modulations(past_actions)
        nothing: Cache = ((),) * len(weights.blocks)
        self.shared = [nothing]  # of the frames before the last, from each frame on that a window may start at
        for start in reversed(range(self.num_past)):
            past = [modulation[start:] for modulation in modulations]
            cache, _ = self._advance(nothing, frames[:, start:-1].unbind(1), past, grows=True, wanted=False)
            self.shared.insert(0, cache)

    def __call__(self, episodes: Tensor, actions: Tensor) -> Tensor:
        """Predicts the embeddings of R sequences.

        Args:
          episodes: (R,) index of the context that each sequence follows.
          actions: (R, H, A) action blocks.

        Returns:
          (R, H, D) embeddings.
        """
        horizon, modulations = actions.shape[1], self._modulations(actions)
        frames, z_next = [self.last_frame[episodes]], list[Tensor]()
        for step in range(horizon):
            end = self.num_past + step + 1  # of the window, counted from the first context frame
            start = max(end - self.window, 0)
            first_new = step
            if step == 0 or start > 0:
                first_new = max(start - self.num_past, 0)
                cache = _of_episodes(self.shared[min(start, self.num_past)], episodes)
            new = [modulation[first_new : step + 1] for modulation in modulations]
            grows = end < self.window and step + 1 < horizon
            cache, x = self._advance(cache, frames[first_new:], new, grows=grows, wanted=True)
            x = self.weights.norm(x)
            z_next.append(self.weights.project(x.to(self.dtype)).to(x.dtype))
            if step + 1 < horizon:
                frames.append(self.weights.input(z_next[-1]))
        return torch.stack(z_next, dim=1)

    def _modulations(self, actions: Tensor) -> list[Tensor]:
        """Modulations of each block, (T, R, 6 x width), by (R, T, A) action blocks."""
        embedding = F.silu(self.weights.action_encoder(actions.transpose(0, 1))).to(self.dtype)
        return [block.modulation(embedding).to(actions.dtype) for block in self.weights.blocks]

    def _advance(
        self, cache: Cache, frames: Sequence[Tensor], modulations: Sequence[Tensor], *, grows: bool, wanted: bool
    ) -> tuple[Cache, Tensor]:
        """Evaluates the positions that follow those in the cache, block by block, so that weights are read once.

        Args:
          cache: keys and values of the positions before.
          frames: n embeddings (R, width).
          modulations: (n, R, 6 x width) for each block.
          grows: whether later positions will attend to the last one.
          wanted: whether the output of the last one matters; that of the others never does.

        Returns:
          The cache with these positions, and the (R, width) output of the last one.
        """
        first, last = len(cache[0]), len(frames) - 1
        xs = [x + self.weights.positions[first + t] for t, x in enumerate(frames)]
        longer = []
        for index, (block, past, modulation) in enumerate(zip(self.weights.blocks, cache, modulations, strict=True)):
            for t, x in enumerate(xs):
                output_matters = (wanted and t == last) or index + 1 < len(self.weights.blocks)
                past, xs[t] = self._evaluate(block, past, x, modulation[t], grows or t < last, output_matters)
            longer.append(past)
        return tuple(longer), xs[-1]

    def _evaluate(
        self, block: BlockWeights, past: KeysValues, x: Tensor, modulation: Tensor, keep: bool, output_matters: bool
    ) -> tuple[KeysValues, Tensor]:
        """Evaluates a block at one position: (R, width), (R, 6 x width) -> keys and values, (R, width) output."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = modulation.chunk(6, dim=-1)
        y = torch.addcmul(shift_a, _normalize(x), scale_a)
        past, attended = self._attend(block, block.norm(y).to(self.dtype), past, keep, output_matters)
        if not output_matters:
            return past, x
        x = torch.addcmul(x, gate_a, attended.to(x.dtype))
        y = torch.addcmul(shift_m, _normalize(x), scale_m)
        y = block.down(block.up(block.mlp_norm(y).to(self.dtype), gelu=True))
        return past, torch.addcmul(x, gate_m, y.to(x.dtype))

    def _attend(
        self, block: BlockWeights, y: Tensor, past: KeysValues, keep: bool, output_matters: bool
    ) -> tuple[KeysValues, Tensor]:
        """Attention of one position: (R, width) -> keys and values with its own if kept, (R, width) output."""
        if keep or past:
            key, value = block.key_value(y).chunk(2, dim=-1)
            attended_to = (*past, (key, value))
        else:
            attended_to = past
        if not output_matters:
            return attended_to, y
        return attended_to, block.out(self._weigh(block.query(y), attended_to)) if past else block.alone(y)

    def _weigh(self, query: Tensor, keys_values: KeysValues) -> Tensor:
        """Attends with one query to a few keys, too small for attention kernels: (R, inner) -> (R, inner)."""
        heads = (self.weights.num_heads, -1)
        scores = [(query * key).unflatten(-1, heads).sum(-1) for key, _ in keys_values]
        weights = torch.stack(scores).softmax(0)[..., None]  # along the last dimension it is 15 times as slow
        values = [value.unflatten(-1, heads) for _, value in keys_values]
        attended = values[0] * weights[0]
        for value, weight in zip(values[1:], weights[1:], strict=True):
            attended = torch.addcmul(attended, value, weight)
        return attended.flatten(-2)


def _normalize(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def _of_episodes(cache: Cache, episodes: Tensor) -> Cache:
    return tuple(tuple((key[episodes], value[episodes]) for key, value in block) for block in cache)
