"""Model-predictive control: plan in latent space, execute a little, look again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lewm.errors import InputError
from lewm.planning.candidates import cheaper, evaluate
from lewm.planning.costs import GoalCost
from lewm.planning.proposal import Proposal
from lewm.planning.protocols import Generators, OnIteration, Plan, Planner, WorldModel
from lewm.planning.rollout_cost import RolloutCost, SharedRollout, action_cost
from lewm.seeding import derive_seed

PROPOSAL_USES = ("none", "alone", "initial", "guarded")


class MPCState(NamedTuple):
    """What control remembers of B episodes, each with a past of its own.

    Attributes:
      episodes: B identifiers that the planner's noise is keyed by.
      z_goal: (B, D) embeddings of the goals.
      memory: (B, context, D) embeddings of the frames seen last, the newest last; zeros before the first frame.
      blocks: (B, context-1, A) normalized action blocks executed between them.
      num_frames: of each episode, how many of the memory were seen.
      mean: (B, H, A) where the next plan starts its search.
      num_plans: of each episode, made so far.
    """

    episodes: tuple[int, ...]
    z_goal: Tensor
    memory: Tensor
    blocks: Tensor
    num_frames: tuple[int, ...]
    mean: Tensor
    num_plans: tuple[int, ...]

    @property
    def z(self) -> Tensor:
        """(B, T, D) embeddings of the last frames, T the most that an episode has seen."""
        return self.memory[:, self.memory.shape[1] - max(self.num_frames) :]

    @property
    def actions(self) -> Tensor:
        """(B, T-1, A) normalized action blocks between them."""
        return self.blocks[:, self.memory.shape[1] - max(self.num_frames) :]


@dataclass(frozen=True)
class MPC:
    """Receding-horizon control of a batch of episodes. Every frame and every goal is encoded once.

    An episode's plans are a function of its own past: not of its neighbours, nor of when these plan and observe.

    Attributes:
      model: in eval mode.
      rollout: imagines candidates as the model does.
      planner: searches the action sequences.
      goal_cost: judges what the model imagines.
      context: frames that control remembers.
      horizon: H, model steps that a plan looks ahead.
      seed: of the planner's noise, a function of (seed, episode, plan).
      proposal: action sequences without a search, or None.
      proposal_use: none; alone (the plan is the proposal, with a cost of nan); initial (the search starts from it);
        guarded (of the searched plan and the proposal the cheaper is taken).
    """

    model: WorldModel
    rollout: SharedRollout
    planner: Planner
    goal_cost: GoalCost
    context: int
    horizon: int
    seed: int
    proposal: Proposal | None = None
    proposal_use: str = "none"

    def __post_init__(self) -> None:
        if min(self.horizon, self.context) < 1:
            raise InputError(f"planning.horizon={self.horizon} and context={self.context} must be at least 1")
        if self.proposal_use not in PROPOSAL_USES:
            raise InputError(f"planning.proposal={self.proposal_use!r}; there are {', '.join(PROPOSAL_USES)}")
        if self.proposal_use != "none" and self.proposal is None:
            raise InputError(f"planning.proposal={self.proposal_use} needs an inverse-dynamics head: fit one first")

    @torch.no_grad()
    def start(self, pixels: Tensor, goal_pixels: Tensor, episodes: tuple[int, ...], action_dim: int) -> MPCState:
        """Begins episodes: (B, C, h, w) uint8 first frames, (B, C, h, w) goal frames, B identifiers, A."""
        z, z_goal = self.model.encode(torch.stack([pixels, goal_pixels], dim=1)).unbind(1)
        memory = torch.cat([z.new_zeros(len(z), self.context - 1, z.shape[-1]), z[:, None]], dim=1)
        return MPCState(
            episodes=episodes,
            z_goal=z_goal,
            memory=memory,
            blocks=z.new_zeros(len(z), self.context - 1, action_dim),
            num_frames=(1,) * len(z),
            mean=z.new_zeros(len(z), self.horizon, action_dim),
            num_plans=(0,) * len(z),
        )

    def plan(
        self, state: MPCState, rows: Sequence[int] | None = None, on_iteration: OnIteration | None = None
    ) -> tuple[Plan, MPCState]:
        """Plans H action blocks from what was seen last; the next plan starts its search from this one.

        Args:
          state: of B episodes.
          rows: those that plan now; all by default, and there may be none. The plan has their order.
          on_iteration: is called after each iteration of a search. Episodes that have seen equally many frames are
            searched together, those with the fewest first.
        """
        rows = range(len(state.episodes)) if rows is None else rows
        actions, costs = state.mean[list(rows)], state.mean.new_zeros(len(rows))
        for places in _groups([state.num_frames[row] for row in rows]):
            found = self._search(self.keep(state, [rows[place] for place in places]), on_iteration)
            actions = _put(actions, places, found.actions)
            costs = _put(costs, places, found.cost)
        mean = _put(state.mean, rows, actions)
        num_plans = tuple(number + (row in rows) for row, number in enumerate(state.num_plans))
        return Plan(actions, costs), state._replace(mean=mean, num_plans=num_plans)

    @torch.no_grad()
    def observe(self, state: MPCState, pixels: Tensor, actions: Tensor, rows: Sequence[int] | None = None) -> MPCState:
        """Takes in the (R, C, h, w) frames that followed the executed (R, A) action blocks of R rows, else of all."""
        rows = range(len(state.episodes)) if rows is None else rows
        if not len(rows):
            return state
        index = torch.tensor(list(rows), device=state.mean.device)
        z = self.model.encode(pixels[:, None])
        memory = torch.cat([state.memory[index], z], dim=1)[:, 1:]
        blocks = torch.cat([state.blocks[index], actions[:, None]], dim=1)[:, 1:]
        mean = torch.cat([state.mean[index, 1:], torch.zeros_like(state.mean[index, :1])], dim=1)
        seen = tuple(min(number + (row in rows), self.context) for row, number in enumerate(state.num_frames))
        return state._replace(
            memory=_put(state.memory, rows, memory),
            blocks=_put(state.blocks, rows, blocks),
            mean=_put(state.mean, rows, mean),
            num_frames=seen,
        )

    @torch.no_grad()
    def set_goal(self, state: MPCState, goal_pixels: Tensor) -> MPCState:
        """Goes on to other goals, (B, C, h, w) uint8 frames."""
        return state._replace(z_goal=self.model.encode(goal_pixels[:, None])[:, 0])

    def keep(self, state: MPCState, rows: Sequence[int] | Tensor) -> MPCState:
        """The state of these episodes alone, in this order."""
        rows = rows.tolist() if isinstance(rows, Tensor) else list(rows)
        index = torch.tensor(rows, dtype=torch.long, device=state.mean.device)
        return MPCState(
            episodes=tuple(state.episodes[row] for row in rows),
            z_goal=state.z_goal[index],
            memory=state.memory[index],
            blocks=state.blocks[index],
            num_frames=tuple(state.num_frames[row] for row in rows),
            mean=state.mean[index],
            num_plans=tuple(state.num_plans[row] for row in rows),
        )

    @torch.no_grad()
    def imagine(self, state: MPCState, actions: Tensor) -> Tensor:
        """(B, H, A) action blocks -> the (B, H, D) embeddings that the planner takes them to lead to."""
        z_next = state.z_goal.new_zeros(*actions.shape[:2], state.z_goal.shape[1])
        for places in _groups(state.num_frames):
            seen = self.keep(state, places)
            z_next = _put(z_next, places, self.rollout(seen.z, seen.actions)(actions[places][:, None])[:, 0])
        return z_next

    def _search(self, state: MPCState, on_iteration: OnIteration | None) -> Plan:
        """The plan of episodes that have seen equally many frames."""
        if self.proposal_use == "alone":
            actions = self._propose(state)
            return Plan(actions, torch.full_like(actions[:, 0, 0], torch.nan))
        cost, mean = self._cost(state), state.mean
        if self.proposal_use == "initial":
            mean = self._propose(state)
        plan = self.planner(cost, mean, generator=self.noise(state), on_iteration=on_iteration)
        if self.proposal_use != "guarded":
            return plan
        proposed = self._propose(state)[:, None]
        return cheaper(plan, evaluate(cost, proposed), proposed)

    def _cost(self, state: MPCState) -> RolloutCost:
        return action_cost(self.model, self.rollout, self.goal_cost, state.z, state.actions, state.z_goal)

    def _propose(self, state: MPCState) -> Tensor:
        assert self.proposal is not None  # __post_init__
        return self.proposal(self.model, state.z, state.actions, state.z_goal, self.horizon)

    def noise(self, state: MPCState) -> Generators:
        """What the next plan of each episode draws from."""
        return [
            torch.Generator(state.z.device).manual_seed(derive_seed(self.seed, episode, number))
            for episode, number in zip(state.episodes, state.num_plans, strict=True)
        ]


def _groups(num_frames: Sequence[int]) -> list[list[int]]:
    """The places of equal numbers, the smallest number first."""
    numbers = sorted(set(num_frames))
    return [[place for place, number in enumerate(num_frames) if number == wanted] for wanted in numbers]


def _put(values: Tensor, rows: Sequence[int], new: Tensor) -> Tensor:
    """(B, ...) values with (R, ...) new ones in R rows."""
    return values.index_copy(0, torch.tensor(list(rows), dtype=torch.long, device=values.device), new)
