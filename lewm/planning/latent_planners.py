"""Latent planners: with a search, with an action law, or with both."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from lewm.planning.candidates import cheaper, evaluate
from lewm.planning.proposal import Proposal
from lewm.planning.protocols import ActionCost, Generators, OnIteration, Plan, Planner


@dataclass(frozen=True)
class PlanningProblem:
    """Planning problems of B episodes that have seen equally many frames.

    Attributes:
      z: (B, T, D) embeddings of the last frames.
      past_actions: (B, T-1, A) action blocks between them.
      z_goal: (B, D) embeddings of the goals.
      mean: (B, H, A) rest of the last plan, or the initial actions.
      generator: B sources of noise.
      make_cost: makes the cost of candidates, which takes in the context; not called where nothing is imagined.
    """

    z: Tensor
    past_actions: Tensor
    z_goal: Tensor
    mean: Tensor
    generator: Generators
    make_cost: Callable[[], ActionCost]

    @cached_property
    def cost(self) -> ActionCost:
        """Cost of candidates, made once."""
        return self.make_cost()


class LatentPlanner(Protocol):
    """A planner that knows embeddings, where a Planner knows the cost of actions alone.

    Attributes:
      name: value of planning.proposal.
      uses_mean: whether the plan depends on PlanningProblem.mean.
    """

    name: ClassVar[str]
    uses_mean: ClassVar[bool]

    def __call__(self, problem: PlanningProblem, on_iteration: OnIteration | None = None) -> Plan:
        """Plans H action blocks for each episode; on_iteration is called after each iteration of a search."""
        ...


@dataclass(frozen=True)
class Search:
    """A search that starts from the rest of the last plan.

    Attributes:
      search: planner that searches the action sequences.
    """

    search: Planner
    name: ClassVar[str] = "none"
    uses_mean: ClassVar[bool] = True

    def __call__(self, problem: PlanningProblem, on_iteration: OnIteration | None = None) -> Plan:
        return self.search(problem.cost, problem.mean, generator=problem.generator, on_iteration=on_iteration)


@dataclass(frozen=True)
class Amortized:
    """The proposal of an action law, without a search. Its cost is unknown: nan.

    Attributes:
      proposal: proposes action sequences.
    """

    proposal: Proposal
    name: ClassVar[str] = "amortized"
    uses_mean: ClassVar[bool] = False

    def __call__(self, problem: PlanningProblem, on_iteration: OnIteration | None = None) -> Plan:
        actions = propose(self.proposal, problem)
        return Plan(actions, torch.full_like(actions[:, 0, 0], torch.nan))


@dataclass(frozen=True)
class Seeded:
    """A search that starts from the proposal of an action law.

    Attributes:
      search: planner that searches the action sequences.
      proposal: proposes where to start.
    """

    search: Planner
    proposal: Proposal
    name: ClassVar[str] = "seeded"
    uses_mean: ClassVar[bool] = False

    def __call__(self, problem: PlanningProblem, on_iteration: OnIteration | None = None) -> Plan:
        start = propose(self.proposal, problem)
        return self.search(problem.cost, start, generator=problem.generator, on_iteration=on_iteration)


@dataclass(frozen=True)
class Cheaper:
    """A search that starts from the rest of the last plan, and a proposal: the plan of lower predicted cost.

    A proposal whose cost is not finite loses.

    Attributes:
      search: planner that searches the action sequences.
      proposal: proposes the other plan.
    """

    search: Planner
    proposal: Proposal
    name: ClassVar[str] = "cheaper"
    uses_mean: ClassVar[bool] = True

    def __call__(self, problem: PlanningProblem, on_iteration: OnIteration | None = None) -> Plan:
        searched = Search(self.search)(problem, on_iteration)
        proposed = propose(self.proposal, problem)[:, None]
        return cheaper(searched, evaluate(problem.cost, proposed), proposed)


def propose(proposal: Proposal, problem: PlanningProblem) -> Tensor:
    """(B, H, A) proposed action blocks."""
    return proposal(problem.z, problem.past_actions, problem.z_goal, problem.mean.shape[1])
