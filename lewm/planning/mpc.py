"""Model-predictive control: plans in latent space, of which a part is executed before the next plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lewm.errors import InputError
from lewm.planning.costs import GoalCost
from lewm.planning.keyed_noise import KeyedNoise
from lewm.planning.latent_planners import LatentPlanner, PlanningProblem
from lewm.planning.protocols import Generators, OnIteration, Plan, WorldModel
from lewm.planning.rollout_cost import RolloutCost, SharedRollout, action_cost
from lewm.seeding import derive_seed
from lewm.uploading import upload


class MPCState(NamedTuple):
    """State of control in B episodes, each with a past of its own.

    Attributes:
      episodes: B identifiers that the planner's noise is keyed by.
      z_goal: (B, D) embeddings of the goals.
      memory: (B, context, D) embeddings of the last frames, the newest last; zeros before the first frame.
      blocks: (B, context-1, A) normalized action blocks executed between them.
      num_frames: number of frames in the memory of each episode.
      mean: (B, H, A) where the next search starts.
      num_plans: number of plans made in each episode.
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
      model: world model in eval mode.
      rollout: rollout of candidates in the model.
      planner: planner in latent space.
      goal_cost: cost of imagined embeddings and actions.
      context: frames that control remembers.
      horizon: H, model steps that a plan looks ahead.
      subgoal: share of the straight latent way to the goal at which each plan aims; 1 is the goal itself.
      seed: seed of the planner's noise, which is a function of (seed, episode, plan).
    """

    model: WorldModel
    rollout: SharedRollout
    planner: LatentPlanner
    goal_cost: GoalCost
    context: int
    horizon: int
    subgoal: float
    seed: int

    def __post_init__(self) -> None:
        if min(self.horizon, self.context) < 1:
            raise InputError(f"planning.horizon={self.horizon} and context={self.context} must be at least 1")

    @torch.no_grad()
    def start(self, pixels: Tensor, goal_pixels: Tensor, episodes: tuple[int, ...], action_dim: int) -> MPCState:
        """Begins B episodes.

        Args:
          pixels: (B, C, h, w) uint8 first frames.
          goal_pixels: (B, C, h, w) uint8 goal frames.
          episodes: B identifiers that the planner's noise is keyed by.
          action_dim: A, numbers in an action block.
        """
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
        """Plans H action blocks from the last frames. The next search starts from this plan.

        Args:
          state: state of B episodes.
          rows: episodes that plan now, in the order of the plan; all by default, and there may be none.
          on_iteration: called after each iteration of a search. Episodes that have seen equally many frames are
            searched together, those with the fewest first.

        Returns:
          The plan, and the state after it.
        """
        rows = range(len(state.episodes)) if rows is None else rows
        actions, costs = state.mean[_index(rows, state.mean)], state.mean.new_zeros(len(rows))
        for places in _groups([state.num_frames[row] for row in rows]):
            found = self.planner(self._problem(self.keep(state, [rows[place] for place in places])), on_iteration)
            actions = _put(actions, places, found.actions)
            costs = _put(costs, places, found.cost)
        mean = _put(state.mean, rows, actions)
        num_plans = tuple(number + (row in rows) for row, number in enumerate(state.num_plans))
        return Plan(actions, costs), state._replace(mean=mean, num_plans=num_plans)

    @torch.no_grad()
    def observe(self, state: MPCState, pixels: Tensor, actions: Tensor, rows: Sequence[int] | None = None) -> MPCState:
        """Takes in the frames after one executed action block.

        Args:
          state: state of B episodes.
          pixels: (R, C, h, w) uint8 frames that followed the actions.
          actions: (R, A) executed action blocks.
          rows: R episodes that this happened to; all by default.
        """
        rows = range(len(state.episodes)) if rows is None else rows
        if not len(rows):
            return state
        index = _index(rows, state.mean)
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
        """Goes on to other goals: (B, C, h, w) uint8 frames."""
        return state._replace(z_goal=self.model.encode(goal_pixels[:, None])[:, 0])

    def keep(self, state: MPCState, rows: Sequence[int] | Tensor) -> MPCState:
        """Returns the state of these episodes alone, in this order."""
        rows = rows.tolist() if isinstance(rows, Tensor) else list(rows)
        index = _index(rows, state.mean)
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
        """Embeddings that the model predicts for action blocks: (B, H, A) -> (B, H, D)."""
        z_next = state.z_goal.new_zeros(*actions.shape[:2], state.z_goal.shape[1])
        for places in _groups(state.num_frames):
            seen = self.keep(state, places)
            futures = self.rollout(seen.z, seen.actions)
            z_next = _put(z_next, places, futures(actions[_index(places, actions)][:, None])[:, 0])
        return z_next

    def _problem(self, state: MPCState) -> PlanningProblem:
        """The planning problem of episodes that have seen equally many frames."""

        z_goal = torch.lerp(state.z[:, -1], state.z_goal, self.subgoal)

        def make_cost() -> RolloutCost:
            return action_cost(self.model, self.rollout, self.goal_cost, state.z, state.actions, z_goal)

        return PlanningProblem(state.z, state.actions, z_goal, state.mean, self.noise(state), make_cost)

    def noise(self, state: MPCState) -> Generators:
        """Sources of noise of the next plan of each episode: generators, or KeyedNoise on a GPU."""
        seeds = [derive_seed(self.seed, *key) for key in zip(state.episodes, state.num_plans, strict=True)]
        if state.z.is_cuda:
            return KeyedNoise(_index(seeds, state.z))
        return [torch.Generator().manual_seed(seed) for seed in seeds]


def _groups(num_frames: Sequence[int]) -> list[list[int]]:
    """Groups the places of equal numbers, the smallest number first."""
    numbers = sorted(set(num_frames))
    return [[place for place, number in enumerate(num_frames) if number == wanted] for wanted in numbers]


def _put(values: Tensor, rows: Sequence[int], new: Tensor) -> Tensor:
    """Returns (B, ...) values with (R, ...) new ones in R rows."""
    return values.index_copy(0, _index(rows, values), new)


def _index(numbers: Sequence[int], like: Tensor) -> Tensor:
    """Numbers as an int64 tensor on the device of `like`."""
    return upload(np.array(numbers, np.int64), like.device)
