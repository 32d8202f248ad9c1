"""Prepared weights of a predictor: consecutive linear maps composed, all cast and packed once."""

import copy
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from lewm.models.jepa import JEPA
from lewm.models.predictor import AdaLNBlock, Predictor
from lewm.models.projector import MLPProjector
from lewm.models.rollout.packed_linear import PackedLinear


class BlockWeights(NamedTuple):
    """Prepared weights of an AdaLNBlock.

    Attributes:
      modulation: map to shifts, scales and gates, with the 1 of 1 + scale in its bias.
      norm: LayerNorm of the attention.
      query: map to queries, divided by the root of head_dim.
      key_value: map to keys and values.
      alone: attention of a position to itself alone: to_out after the value.
      out: output map of the attention.
      mlp_norm, up, down: layers of the MLP.
    """

    modulation: PackedLinear
    norm: nn.Module
    query: PackedLinear
    key_value: PackedLinear
    alone: PackedLinear
    out: PackedLinear
    mlp_norm: nn.Module
    up: PackedLinear
    down: PackedLinear

    @classmethod
    def of(cls, block: AdaLNBlock, dtype: torch.dtype) -> "BlockWeights":
        attention, mlp, modulation = block.attention, block.mlp, cast(nn.Linear, block.modulation[1])
        up, down = cast(nn.Linear, mlp[1]), cast(nn.Linear, mlp[4])
        query, key, value = attention.to_qkv.weight.chunk(3)
        out, bias = attention.to_out.weight, attention.to_out.bias
        one = torch.zeros(6, block.width).to(modulation.bias)
        one[[1, 4]] = 1
        return cls(
            modulation=PackedLinear(modulation.weight, modulation.bias + one.flatten(), dtype),
            norm=_frozen(attention.norm),
            query=PackedLinear(query * (len(query) / attention.num_heads) ** -0.5, None, dtype),
            key_value=PackedLinear(torch.cat([key, value]), None, dtype),
            alone=PackedLinear(out @ value, bias, dtype),
            out=PackedLinear(out, bias, dtype),
            mlp_norm=_frozen(mlp[0]),
            up=PackedLinear(up.weight, up.bias, dtype),
            down=PackedLinear(down.weight, down.bias, dtype),
        )


class PredictorWeights(NamedTuple):
    """Prepared weights of action encoder, predictor and predictor_projector.

    Attributes:
      action_encoder, input, norm: copies of the model's modules, in float32.
      positions: (context, width) float32.
      num_heads: number of attention heads.
      blocks: weights of the blocks, in the dtype of the matrix products.
      project: map from the predictor's width to D, in that dtype, too.
    """

    action_encoder: nn.Module
    input: nn.Module
    positions: Tensor
    num_heads: int
    blocks: tuple[BlockWeights, ...]
    norm: nn.Module
    project: Callable[[Tensor], Tensor]

    @classmethod
    @torch.no_grad()
    def of(cls, model: JEPA, dtype: torch.dtype) -> "PredictorWeights":
        """Prepares the weights of a model in eval mode; they have no gradient."""
        predictor = cast(Predictor, model.predictor)
        blocks = [cast(AdaLNBlock, block) for block in predictor.blocks]
        return cls(
            action_encoder=_frozen(model.action_encoder),
            input=_frozen(predictor.input),
            positions=predictor.positions.weight.detach().clone(),
            num_heads=blocks[0].attention.num_heads,
            blocks=tuple(BlockWeights.of(block, dtype) for block in blocks),
            norm=_frozen(predictor.norm),
            project=_projection(model.predictor_projector, dtype),
        )

    @property
    def widest(self) -> int:
        """Size of the widest activation of a sequence."""
        return max(max(len(block.key_value.weight), len(block.up.weight)) for block in self.blocks)

    def num_bytes(self, horizon: int, window: int) -> int:
        """Approximate bytes of a sequence during a rollout.

        These are the modulations of all its steps, the frames, keys and values of the window and of the one before it,
        and a few activations.
        """
        item, size = self.blocks[0].up.weight.dtype.itemsize, self.positions.dtype.itemsize
        modulations = size * horizon * sum(len(block.modulation.weight) for block in self.blocks)
        keys_values = 2 * item * window * sum(len(block.key_value.weight) for block in self.blocks)
        frames = 2 * size * horizon * self.positions.shape[1]
        return modulations + keys_values + frames + 4 * size * self.widest


def _frozen(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).requires_grad_(False)


def _projection(projector: nn.Module, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """The projector in eval mode; of an MLP, the BatchNorm is part of the Linear before it."""
    if not isinstance(projector, MLPProjector):
        return _frozen(projector).to(dtype)
    linear, norm, _, output = cast(tuple[nn.Linear, nn.BatchNorm1d, nn.GELU, nn.Linear], tuple(projector))
    fused = nn.utils.fuse_linear_bn_eval(linear, norm)
    up, down = (PackedLinear(layer.weight, layer.bias, dtype) for layer in (fused, output))
    return lambda x: down(up(x, gelu=True))
