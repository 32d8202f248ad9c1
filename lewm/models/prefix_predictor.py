"""Action-prefix predictor of Fast-LeWM (arXiv 2606.26217): each embedding ahead straight from the current one."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lewm.errors import InputError
from lewm.models.predictor import CausalAttention
from lewm.models.sizes import check_sizes


class PrefixBlock(nn.Module):
    """A block of the causal transformer over action blocks: x + attention(x), then x + mlp(x)."""

    def __init__(self, width: int, num_heads: int, head_dim: int, dropout: float) -> None:
        super().__init__()
        self.attention = CausalAttention(width, num_heads, head_dim, dropout)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, K, width) -> (N, K, width)."""
        x = x + self.attention(x)
        return cast(Tensor, x + self.mlp(self.norm(x)))


class FusionBlock(nn.Module):
    """A residual MLP with AdaLN-zero: x + gate * mlp(norm(x) * (1 + scale) + shift).

    shift, scale and gate come from the state token and the prefix token and are zero at the start.
    """

    def __init__(self, width: int, mlp_dim: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(mlp_dim, width), nn.Dropout(dropout)
        )
        modulation = nn.Linear(width, 3 * width)
        nn.init.zeros_(modulation.weight)
        nn.init.zeros_(modulation.bias)
        self.modulation = nn.Sequential(nn.SiLU(), modulation)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(N, K, width), (N, K, width) -> (N, K, width)."""
        shift, scale, gate = self.modulation(condition).chunk(3, dim=-1)
        return cast(Tensor, x + gate * self.mlp(F.layer_norm(x, (self.width,), eps=1e-6) * (1 + scale) + shift))


class PrefixPredictor(nn.Module):
    """Predictor of the embeddings k = 1 ... K steps ahead, each straight from the current one.

    A causal transformer over the K action blocks makes a token of each prefix of them. An MLP makes the state token of
    the embedding. The prediction of step k begins as the state token and goes through residual MLPs, which state token
    and prefix token k modulate. No prediction is fed back.

    Sizes are those of the paper; that its fusion dimension is the hidden width of the MLP that joins both tokens, and
    that the transformer's MLPs are four times as wide as it, is our reading.

    Args:
      embedding_dim: D.
      context: most action blocks of a prefix, so that many steps ahead are predicted straight.
      width: width of tokens and blocks.
      action_depth, num_heads, head_dim: blocks of the transformer, number and size of its attention heads.
      depth, mlp_dim: number of residual MLPs, and their hidden width.
      fusion_dim: hidden width of the MLP from both tokens to the condition of the residual MLPs.
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
        action_depth: int,
        num_heads: int,
        head_dim: int,
        depth: int,
        mlp_dim: int,
        fusion_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        check_sizes(width=width, action_depth=action_depth, num_heads=num_heads, head_dim=head_dim)
        check_sizes(depth=depth, mlp_dim=mlp_dim, fusion_dim=fusion_dim)
        if not 0 <= dropout <= 1:
            raise InputError(f"dropout={dropout} must be between 0 and 1")
        self.output_dim = width
        self.state = nn.Sequential(nn.Linear(embedding_dim, width), nn.GELU(), nn.Linear(width, width))
        self.positions = nn.Embedding(context, width)
        self.prefix_blocks = nn.ModuleList(
            PrefixBlock(width, num_heads, head_dim, dropout) for _ in range(action_depth)
        )
        self.prefix_norm = nn.LayerNorm(width)
        self.fusion = nn.Sequential(nn.Linear(2 * width, fusion_dim), nn.GELU(), nn.Linear(fusion_dim, width))
        self.blocks = nn.ModuleList(FusionBlock(width, mlp_dim, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def ahead(self, z: Tensor, action_embedding: Tensor) -> Tensor:
        """Predicts K steps ahead: (N, D), (N, K, width) -> (N, K, width), K at most `context`.

        out[:, k] sees the embedding and the actions 0 ... k only.
        """
        prefix = action_embedding + self.positions.weight[: action_embedding.shape[1]]
        for block in self.prefix_blocks:
            prefix = block(prefix)
        state = self.state(z)[:, None].expand_as(prefix)
        condition = self.fusion(torch.cat([state, self.prefix_norm(prefix)], dim=-1))
        x = state
        for block in self.blocks:
            x = block(x, condition)
        return cast(Tensor, self.norm(x))

    def forward(self, z: Tensor, action_embedding: Tensor) -> Tensor:
        """Predicts one step ahead: (B, T, D), (B, T, width) -> (B, T, width); out[:, t] sees step t alone."""
        return self.ahead(z.flatten(0, 1), action_embedding.flatten(0, 1)[:, None])[:, 0].unflatten(0, z.shape[:2])
