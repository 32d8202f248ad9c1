"""Path actor: inverse dynamics along the straight path between two embeddings (RWM, arXiv 2609.29171)."""

import torch
from torch import Tensor

from lewm.errors import InputError
from lewm.models.actor import Actor, normalized_mlp
from lewm.models.sizes import check_sizes


class PathActor(Actor):
    """MLP from a point on a straight latent path and the step to the next point to the action block between them.

    Of two frames n blocks apart in a clip, the path has n + 1 evenly spaced points. In training the block that was
    recorded k blocks after the first frame belongs to the step from point k. Acting needs no forward model: the first
    step of the path from the current frame to the goal is decoded.

    Args:
      embedding_dim: D.
      action_dim: A.
      hidden_dim: width of the hidden layers.
      num_layers: number of hidden layers.
      pairs_per_clip: steps on paths between random frames that the loss takes from each clip.
      path_weight: weight of the squared error on paths.
      encoded_weight: weight of the squared error from one encoded frame to the next.
      consistency_weight: weight of the squared distance between a path's points and the encoded frames at their time.
      num_blocks: blocks that are planned to the goal, so that the first step is this part of the way.

    Raises:
      InputError: a size is too small, or a weight is negative.
    """

    def __init__(
        self,
        embedding_dim: int,
        action_dim: int,
        hidden_dim: int,
        num_layers: int,
        pairs_per_clip: int,
        path_weight: float,
        encoded_weight: float,
        consistency_weight: float,
        num_blocks: int,
    ) -> None:
        super().__init__()
        check_sizes(pairs_per_clip=pairs_per_clip, num_blocks=num_blocks)
        weights = {"path": path_weight, "encoded": encoded_weight, "consistency": consistency_weight}
        if negative := [f"{name}_weight={weight}" for name, weight in weights.items() if weight < 0]:
            raise InputError(f"{negative[0]} must be at least 0")
        self.pairs_per_clip, self.num_blocks = pairs_per_clip, num_blocks
        self.path_weight, self.encoded_weight, self.consistency_weight = weights.values()
        self.mlp = normalized_mlp(2 * embedding_dim, action_dim, hidden_dim, num_layers)

    def forward(self, z: Tensor, past_actions: Tensor, z_goal: Tensor) -> Tensor:
        return self._block(z[:, -1], (z_goal - z[:, -1]) / self.num_blocks)

    def loss(self, z: Tensor, actions: Tensor) -> Tensor:
        z = z.float()
        start, count, place = self._draw(len(z), actions.shape[1], z.device)
        first, step = _at(z, start), (_at(z, start + count) - _at(z, start)) / count[..., None]
        point, passed = first + place[..., None] * step, start + place
        on_path = (self._block(point, step) - _at(actions, passed)).square().mean()
        encoded = (self._block(z[:, :-1], z[:, 1:] - z[:, :-1]) - actions).square().mean()
        consistency = (point - _at(z, passed)).square().mean()
        return self.path_weight * on_path + self.encoded_weight * encoded + self.consistency_weight * consistency

    def _block(self, z: Tensor, step: Tensor) -> Tensor:
        """(..., D) embeddings and steps -> (..., A) action blocks."""
        block: Tensor = self.mlp(torch.cat([z, step], dim=-1)).float()
        return block

    def _draw(self, num_clips: int, num_blocks: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Draws (B, P) first frames, numbers of blocks, and places below these, from torch's global generator."""
        shares = torch.rand(3, num_clips, self.pairs_per_clip, device=device)
        start = (shares[0] * num_blocks).long().clamp(max=num_blocks - 1)
        count = 1 + torch.minimum((shares[1] * (num_blocks - start)).long(), num_blocks - start - 1)
        place = torch.minimum((shares[2] * count).long(), count - 1)
        return start, count, place


def _at(values: Tensor, index: Tensor) -> Tensor:
    """(B, T, D) values at (B, P) times -> (B, P, D)."""
    return torch.take_along_dim(values, index[..., None], dim=1)
