"""Attention to learned prototypes: the input is the query, keys and values are parameters."""

import math
from collections.abc import Callable
from typing import Literal, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lewm.errors import InputError
from lewm.models.auto_compressing import AutoCompressingNetwork


def _identity(input_dim: int, output_dim: int) -> nn.Module:
    assert input_dim == output_dim
    return nn.Identity()


QUERY_TRANSFORMS: dict[str, Callable[[int, int], nn.Module]] = {
    "identity": _identity,
    "linear": nn.Linear,
    "auto_compressing": AutoCompressingNetwork,
}
COMBINATIONS: dict[str, Callable[[int, int], nn.Module]] = {
    "linear": nn.Linear,
    "auto_compressing": AutoCompressingNetwork,
}


class EuclideanAttention(nn.Module):
    """Attention over learned keys by Euclidean distance to the query: (..., input_dim) -> (..., output_dim).

    The logit of head h and key k is <q, k> - exp(scale_h) |k|^2 / 2: at scale 0 that is -|q - k|^2 / 2 without |q|^2,
    which softmax ignores. A LayerNorm over the keys, without bias and with the weight exp(w) per key, sets how sharp
    the attention is, whatever the norms of queries and keys; every head sees the whole query.

    Args:
      input_dim, output_dim: sizes of input and output.
      num_heads: number of heads.
      num_keys: keys of each head.
      head_dim: size of a value.
      logits: "euclidean", or "dot_product": <q, k> / sqrt(input_dim).
      normalized_keys: keys are divided by their norm.
      learned_temperature: logits of head h are multiplied by exp(temperature_h) after the LayerNorm.
      values: "constant" v, or "affine" v + v_out <q, v_in>, a map of rank 1 that hardly matters at the start.
      query_transform: name in QUERY_TRANSFORMS of the map from the input to the query.
      combination: name in COMBINATIONS of the map from the concatenated values of all heads to the output.

    Raises:
      InputError: a size is too small or a name unknown.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        num_heads: int = 4,
        num_keys: int = 64,
        head_dim: int = 64,
        logits: Literal["euclidean", "dot_product"] = "euclidean",
        normalized_keys: bool = False,
        learned_temperature: bool = False,
        values: Literal["constant", "affine"] = "constant",
        query_transform: str = "identity",
        combination: str = "linear",
    ) -> None:
        super().__init__()
        for key, size, smallest in (("num_heads", num_heads, 1), ("num_keys", num_keys, 2), ("head_dim", head_dim, 1)):
            if size < smallest:
                raise InputError(f"{key}={size} must be at least {smallest}")
        for value, known in (
            (logits, ("euclidean", "dot_product")),
            (values, ("constant", "affine")),
            (query_transform, tuple(QUERY_TRANSFORMS)),
            (combination, tuple(COMBINATIONS)),
        ):
            if value not in known:
                raise InputError(f"{value!r} is none of {', '.join(known)}")
        self.logits, self.normalized_keys = logits, normalized_keys
        self.query_transform = QUERY_TRANSFORMS[query_transform](input_dim, input_dim)
        self.keys = nn.Parameter(torch.randn(num_heads, num_keys, input_dim))
        # The soft attention of the start averages over nearly all keys: without the factor its mean would hardly vary.
        drawn = math.sqrt(num_keys) * torch.randn(num_heads, num_keys, head_dim)
        self.values = nn.Parameter(drawn - drawn.mean(1, keepdim=True))
        self.scale = nn.Parameter(torch.zeros(num_heads)) if logits == "euclidean" else None
        self.log_norm_weight = nn.Parameter(torch.full((num_keys,), -1.0))
        self.temperature = nn.Parameter(torch.zeros(num_heads)) if learned_temperature else None
        self.values_in = self.values_out = None
        if values == "affine":
            self.values_in = nn.Parameter(torch.randn(num_heads, num_keys, input_dim) / math.sqrt(input_dim))
            self.values_out = nn.Parameter(1e-2 * torch.randn(num_heads, num_keys, head_dim))
        self.combination = COMBINATIONS[combination](num_heads * head_dim, output_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., input_dim) -> (..., output_dim)."""
        query = self.query_transform(x)
        weights = self._weights(query)
        heads = torch.einsum("... h k, h k v -> ... h v", weights, self.values)
        if self.values_in is not None and self.values_out is not None:
            along = torch.einsum("... d, h k d -> ... h k", query, self.values_in)
            heads = heads + torch.einsum("... h k, h k v -> ... h v", weights * along, self.values_out)
        return cast(Tensor, self.combination(rearrange(heads, "... h v -> ... (h v)")))

    def _weights(self, query: Tensor) -> Tensor:
        """Attention weights: (..., input_dim) -> (..., heads, keys), summing to 1 over the keys."""
        keys = F.normalize(self.keys, dim=-1) if self.normalized_keys else self.keys
        logits = torch.einsum("... d, h k d -> ... h k", query, keys)
        if self.scale is not None:
            logits = logits - 0.5 * self.scale.exp()[:, None] * keys.square().sum(-1)
        else:
            logits = logits / math.sqrt(keys.shape[-1])
        logits = F.layer_norm(logits, (keys.shape[1],), self.log_norm_weight.exp())
        if self.temperature is not None:
            logits = logits * self.temperature.exp()[:, None]
        return logits.softmax(-1)
