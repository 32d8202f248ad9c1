"""Action-conditioned predictor: a causal transformer with AdaLN-zero modulation by the actions."""

from typing import cast

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lewm.errors import InputError
from lewm.models.sizes import check_sizes


class ActionEncoder(nn.Module):
    """Encoder of action blocks: a small linear map, then an MLP (LeWM's 1x1 convolution and two layers).

    Args:
      input_dim: A.
      output_dim: width of the predictor.
      bottleneck_dim: width after the first map.
      hidden_dim: width of the MLP.

    Raises:
      InputError: a size is too small.
    """

    def __init__(self, input_dim: int, output_dim: int, bottleneck_dim: int, hidden_dim: int) -> None:
        super().__init__()
        check_sizes(bottleneck_dim=bottleneck_dim, hidden_dim=hidden_dim)
        self.input = nn.Linear(input_dim, bottleneck_dim)
        self.mlp = nn.Sequential(nn.Linear(bottleneck_dim, hidden_dim), nn.SiLU(), nn.Linear(hidden_dim, output_dim))

    def forward(self, actions: Tensor) -> Tensor:
        """(B, T, A) -> (B, T, output_dim)."""
        return cast(Tensor, self.mlp(self.input(actions)))


class CausalAttention(nn.Module):
    """Multi-head attention of each time step to itself and the steps before it, with a LayerNorm of its own."""

    def __init__(self, width: int, num_heads: int, head_dim: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * num_heads * head_dim, bias=False)
        self.to_out = nn.Linear(num_heads * head_dim, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width)."""
        q, k, v = rearrange(self.to_qkv(self.norm(x)), "b t (three m d) -> three b m t d", three=3, m=self.num_heads)
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout)
        return F.dropout(self.to_out(rearrange(attended, "b m t d -> b t (m d)")), self.dropout, self.training)


class AdaLNBlock(nn.Module):
    """A transformer block: x + gate * f(norm(x) * (1 + scale) + shift), for f attention, then MLP.

    shift, scale and gate come from the action embedding of the same step and are zero at the start.
    """

    def __init__(self, width: int, num_heads: int, head_dim: int, mlp_dim: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.attention = CausalAttention(width, num_heads, head_dim, dropout)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, mlp_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_dim, width),
            nn.Dropout(dropout),
        )
        modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(modulation.weight)
        nn.init.zeros_(modulation.bias)
        self.modulation = nn.Sequential(nn.SiLU(), modulation)

    def forward(self, x: Tensor, action_embedding: Tensor) -> Tensor:
        """(B, T, width), (B, T, width) -> (B, T, width)."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(action_embedding).chunk(6, dim=-1)
        x = x + gate_a * self.attention(self._norm(x) * (1 + scale_a) + shift_a)
        return x + gate_m * self.mlp(self._norm(x) * (1 + scale_m) + shift_m)

    def _norm(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, (self.width,), eps=1e-6)


class Predictor(nn.Module):
    """Causal transformer from embeddings and action embeddings to predictions, in the predictor's width.

    Args:
      embedding_dim: D.
      context: most time steps that a prediction may see.
      width: width of the blocks; a linear map leads from D to it where they differ.
      depth: number of blocks.
      num_heads, head_dim: number and size of the attention heads.
      mlp_dim: hidden width of the MLPs.
      dropout: dropout probability.

    Attributes:
      output_dim: `width`.

    Raises:
      InputError: a size is too small.
    """

    def __init__(
        self,
        embedding_dim: int,
        context: int,
        width: int,
        depth: int,
        num_heads: int,
        head_dim: int,
        mlp_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        check_sizes(width=width, depth=depth, num_heads=num_heads, head_dim=head_dim, mlp_dim=mlp_dim)
        if not 0 <= dropout <= 1:
            raise InputError(f"dropout={dropout} must be between 0 and 1")
        self.output_dim = width
        self.input = nn.Identity() if width == embedding_dim else nn.Linear(embedding_dim, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(AdaLNBlock(width, num_heads, head_dim, mlp_dim, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, z: Tensor, action_embedding: Tensor) -> Tensor:
        """(B, T, D), (B, T, width) -> (B, T, width), T at most `context`; out[:, t] sees steps 0 ... t only."""
        x = self.input(z) + self.positions.weight[: z.shape[1]]
        for block in self.blocks:
            x = block(x, action_embedding)
        return cast(Tensor, self.norm(x))
