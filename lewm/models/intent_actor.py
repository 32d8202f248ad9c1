"""Intent actor: one Gaussian action law for the next frame and for a far goal (INTACT, arXiv 2607.26056)."""

import torch
from torch import Tensor, nn

from lewm.errors import InputError
from lewm.models.actor import Actor, normalized_mlp

MIN_LOG_STD, MAX_LOG_STD = -5.0, 2.0
"""Bounds of the logarithm of the standard deviation of a normalized action."""


class IntentActor(Actor):
    """MLP from [z, m, z * m, what was before] to a Gaussian of the next action block, m being the latent way to go.

    Two conditions are trained: m = z_next - z, and m = z_last - z with the last frame of the clip as a goal. The loss
    is the negative log-likelihood, its mean over the numbers of an action block.

    Args:
      embedding_dim: D.
      action_dim: A.
      hidden_dim: width of the hidden layers.
      num_layers: number of hidden layers.
      local_weight: weight of the loss for the next frame.
      goal_weight: weight of the loss for the goal.
      sees_action: whether it sees the action block before.
      goal_gradient: whether gradients flow through the embedding of the goal.
      sees_velocity: whether it sees z minus the embedding before. For what is before the first frame of an episode or
        clip, learned vectors stand.

    Raises:
      InputError: a size is too small, or a weight is negative.
    """

    def __init__(
        self,
        embedding_dim: int,
        action_dim: int,
        hidden_dim: int,
        num_layers: int,
        local_weight: float,
        goal_weight: float,
        sees_action: bool,
        goal_gradient: bool = False,
        sees_velocity: bool = False,
    ) -> None:
        super().__init__()
        if min(local_weight, goal_weight) < 0:
            raise InputError(f"local_weight={local_weight} and goal_weight={goal_weight} must be at least 0")
        self.local_weight, self.goal_weight, self.goal_gradient = local_weight, goal_weight, goal_gradient
        self.sees_action, self.sees_velocity = sees_action, sees_velocity
        num_inputs = 3 + sees_action + sees_velocity
        self.mlp = normalized_mlp(num_inputs * embedding_dim, 2 * action_dim, hidden_dim, num_layers)
        if sees_action:
            self.embed_action = nn.Linear(action_dim, embedding_dim)
            self.no_action = nn.Parameter(torch.zeros(embedding_dim))
        if sees_velocity:
            self.no_velocity = nn.Parameter(torch.zeros(embedding_dim))

    def forward(self, z: Tensor, past_actions: Tensor, z_goal: Tensor) -> Tensor:
        before = [each[:, -1] for each in self._before(z[:, -2:], past_actions[:, -1:])]
        return self._gaussian(z[:, -1], z_goal - z[:, -1], before)[0]

    def loss(self, z: Tensor, actions: Tensor) -> Tensor:
        before = self._before(z[:, :-1], actions[:, :-1])
        local = self._surprise(z[:, :-1], z[:, 1:] - z[:, :-1], before, actions)
        z_goal = z[:, -1:] if self.goal_gradient else z[:, -1:].detach()
        goal = self._surprise(z[:, :-1], z_goal - z[:, :-1], before, actions)
        return self.local_weight * local + self.goal_weight * goal

    def _before(self, z: Tensor, actions: Tensor) -> list[Tensor]:
        """What was before each frame: (B, t, D) embeddings, (B, t-1, A) actions between them -> (B, t, D) each."""
        before = []
        if self.sees_action:
            before.append(_led_by(self.no_action, self.embed_action(actions)))
        if self.sees_velocity:
            before.append(_led_by(self.no_velocity, z[:, 1:] - z[:, :-1]))
        return before

    def _gaussian(self, z: Tensor, way: Tensor, before: list[Tensor]) -> tuple[Tensor, Tensor]:
        """(..., D) embeddings, ways to go, and what was before -> (..., A) means and logarithms of the deviations."""
        mean, log_std = self.mlp(torch.cat([z, way, z * way, *before], dim=-1)).float().chunk(2, dim=-1)
        return mean, log_std.clamp(MIN_LOG_STD, MAX_LOG_STD)

    def _surprise(self, z: Tensor, way: Tensor, before: list[Tensor], actions: Tensor) -> Tensor:
        """() negative log-likelihood of the actions, up to the constant."""
        mean, log_std = self._gaussian(z, way, before)
        return (0.5 * ((actions.float() - mean) * torch.exp(-log_std)).square() + log_std).mean()


def _led_by(first: Tensor, others: Tensor) -> Tensor:
    """(D,) vector for the first frame, (B, t-1, D) of the others -> (B, t, D)."""
    return torch.cat([first.expand(others.shape[0], 1, -1), others], dim=1)
