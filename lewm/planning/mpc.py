"""Model-predictive control: plan in latent space, execute a little, look again."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lewm.errors import InputError
from lewm.planning.costs import GoalCost, action_cost
from lewm.planning.protocols import Generators, Plan, Planner, WorldModel
from lewm.seeding import derive_seed


class MPCState(NamedTuple):
    """What control remembers of B episodes.

    Attributes:
      episodes: B identifiers that the planner's noise is keyed by.
      z_goal: (B, D) embeddings of the goals.
      z: (B, T, D) embeddings of the frames seen last, at most `context`.
      actions: (B, T-1, A) normalized action blocks executed between them.
      mean: (B, H, A) where the next plan starts its search.
      num_plans: plans made so far.
    """

    episodes: tuple[int, ...]
    z_goal: Tensor
    z: Tensor
    actions: Tensor
    mean: Tensor
    num_plans: int


@dataclass(frozen=True)
class MPC:
    """Receding-horizon control of a batch of episodes. Every frame and every goal is encoded once.

    Attributes:
      model: in eval mode.
      planner: searches the action sequences.
      goal_cost: judges what the model imagines.
      context: most embeddings that a prediction sees, and so the frames that control remembers.
      horizon: H, model steps that a plan looks ahead.
      seed: of the planner's noise, a function of (seed, episode, plan).
      batch_size: most sequences that go through the model at once.
    """

    model: WorldModel
    planner: Planner
    goal_cost: GoalCost
    context: int
    horizon: int
    seed: int
    batch_size: int

    def __post_init__(self) -> None:
        if min(self.horizon, self.context, self.batch_size) < 1:
            raise InputError(
                f"planning.horizon={self.horizon}, context={self.context} and batch_size={self.batch_size}"
                " must be at least 1"
            )

    @torch.inference_mode()
    def start(self, pixels: Tensor, goal_pixels: Tensor, episodes: tuple[int, ...], action_dim: int) -> MPCState:
        """Begins episodes: (B, C, h, w) uint8 first frames, (B, C, h, w) goal frames, B identifiers, A."""
        z, z_goal = self.model.encode(torch.stack([pixels, goal_pixels], dim=1)).split(1, dim=1)
        no_actions = z.new_zeros(len(z), 0, action_dim)
        mean = z.new_zeros(len(z), self.horizon, action_dim)
        return MPCState(episodes, z_goal[:, 0], z, no_actions, mean, num_plans=0)

    def plan(self, state: MPCState) -> tuple[Plan, MPCState]:
        """Plans H action blocks from what was seen last; the next plan starts its search from this one."""
        cost = action_cost(
            self.model,
            self.goal_cost,
            state.z,
            state.actions,
            state.z_goal,
            context=self.context,
            batch_size=self.batch_size,
        )
        plan = self.planner(cost, state.mean, generator=self._generators(state))
        return plan, state._replace(mean=plan.actions, num_plans=state.num_plans + 1)

    @torch.inference_mode()
    def observe(self, state: MPCState, pixels: Tensor, actions: Tensor) -> MPCState:
        """Takes in the (B, C, h, w) frames that followed the executed (B, A) action blocks."""
        z = torch.cat([state.z, self.model.encode(pixels[:, None])], dim=1)[:, -self.context :]
        past = torch.cat([state.actions, actions[:, None]], dim=1)
        mean = torch.cat([state.mean[:, 1:], torch.zeros_like(state.mean[:, :1])], dim=1)
        return state._replace(z=z, actions=past[:, past.shape[1] - (z.shape[1] - 1) :], mean=mean)

    def _generators(self, state: MPCState) -> Generators:
        return [
            torch.Generator(state.z.device).manual_seed(derive_seed(self.seed, episode, state.num_plans))
            for episode in state.episodes
        ]
