"""Folded rollouts: JEPA.rollout of many action sequences from each of some contexts, for any predictor."""

from collections.abc import Callable
from itertools import chain

import torch
from torch import Tensor

from lewm.errors import InputError
from lewm.models.jepa import JEPA
from lewm.models.rollout.cached import PRECISIONS

MAX_SEQUENCES = 4096
"""Most sequences that go through the model at once where the caller names no number."""


class FoldedRollout:
    """JEPA.rollout for N action sequences from each of B contexts, as B x N sequences of their own.

    For predictors that see one embedding: there is nothing of a context that CachedRollout could keep.

    Args:
      model: in eval mode when it is used. Its weights may change until then and later.
      window: most embeddings that a prediction sees.
      batch_size: most sequences that go through the model at once; None is MAX_SEQUENCES.
      precision: float32, or bfloat16 for the matrix products.

    Raises:
      InputError: an argument is out of its range.
    """

    def __init__(self, model: JEPA, window: int, batch_size: int | None = None, precision: str = "float32") -> None:
        if not 1 <= window <= model.context:
            raise InputError(f"window={window} must be between 1 and the model's context={model.context}")
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size={batch_size} must be at least 1")
        if precision not in PRECISIONS:
            raise InputError(f"precision={precision!r}; there are {', '.join(PRECISIONS)}")
        self.model, self.window, self.batch_size, self.dtype = model, window, batch_size, PRECISIONS[precision]
        self._weights: tuple[int, ...] = ()

    def __call__(self, z: Tensor, past_actions: Tensor) -> Callable[[Tensor], Tensor]:
        """Takes in (B, T, D), (B, T-1, A) contexts; returns a map from (B, N, H, A) candidates to (B, N, H, D)."""
        z = z[:, -self.window :]
        past_actions = past_actions[:, past_actions.shape[1] - (z.shape[1] - 1) :]

        def imagine(candidates: Tensor) -> Tensor:
            assert not self.model.training, "BatchNorm and dropout would change what is imagined"
            num_candidates, size = candidates.shape[1], self.batch_size or MAX_SEQUENCES
            past, seen = (each[:, None].expand(-1, num_candidates, -1, -1).flatten(0, 1) for each in (past_actions, z))
            actions = torch.cat([past, candidates.flatten(0, 1)], dim=1)
            # Casts of the weights that autocast keeps would be those of the recording in every replay of a CUDA graph.
            with torch.autocast(z.device.type, self.dtype, self.dtype != torch.float32, cache_enabled=False):
                pieces = zip(seen.split(size), actions.split(size), strict=True)
                z_next = torch.cat([self.model.rollout(*piece, self.window) for piece in pieces])
            return z_next.to(z.dtype).unflatten(0, (-1, num_candidates))

        return imagine

    def current_weights(self) -> tuple[int, ...]:
        """Where the weights lie: the same object until one lies elsewhere. What they are is read at each call."""
        parts = (self.model.action_encoder, self.model.predictor, self.model.predictor_projector)
        tensors = chain.from_iterable((*part.parameters(), *part.buffers()) for part in parts)
        places = tuple(tensor.data_ptr() for tensor in tensors)
        if places != self._weights:
            self._weights = places
        return self._weights
