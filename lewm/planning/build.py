"""Construction of control from configurations."""

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

from torch import Tensor, nn

from lewm.config import Component, PlanningConfig, build, suggestion
from lewm.errors import InputError
from lewm.planning import PLANNERS
from lewm.planning.costs import GOAL_COSTS, GoalCost
from lewm.planning.guarded import Guarded, NoSearch
from lewm.planning.latent_planners import Amortized, Cheaper, LatentPlanner, Search, Seeded
from lewm.planning.mpc import MPC
from lewm.planning.proposal import ActionLaw, Proposal
from lewm.planning.protocols import Planner, WorldModel
from lewm.planning.rollout_cost import SharedRollout

PROPOSALS = ("none", "amortized", "seeded", "cheaper")
"""Values of planning.proposal."""

RENAMED = {"alone": "amortized", "initial": "seeded", "guarded": "cheaper"}
"""Former values of planning.proposal."""


def build_mpc(
    model: WorldModel,
    rollout: SharedRollout,
    planner: Component,
    planning: PlanningConfig,
    low: Tensor,
    high: Tensor,
    seed: int,
    heads: Mapping[str, nn.Module] | None = None,
    actor: ActionLaw | None = None,
) -> MPC:
    """Builds control with a model.

    Args:
      model: world model; in eval mode when it plans.
      rollout: rollout of candidates in the model.
      planner: configuration of the search.
      planning: configuration of control.
      low, high: (A,) or (K, a) bounds of an action block in normalized space.
      seed: seed of the planner's noise.
      heads: heads that were fitted to the model's embeddings, by name; asked only for what is needed.
      actor: the model's actor, which proposes in place of an inverse-dynamics head.

    Raises:
      InputError: a value is not allowed, or a head is missing.
    """
    heads = heads or {}
    if not 1 <= planning.num_executed <= planning.horizon:
        raise InputError(
            f"planning.num_executed={planning.num_executed} must be between 1 and planning.horizon={planning.horizon}"
        )
    search = build(PLANNERS, planner, "planner", low=low, high=high)
    bounds = low.flatten(), high.flatten()
    _check_proposal(planning.proposal)
    proposal, wanted_by = planning.proposal, f"planning.proposal={planning.proposal}"
    if isinstance(search, NoSearch) or (proposal == "none" and isinstance(search, Guarded)):
        proposal, wanted_by = search.proposal, f"planner={planner['name']}"
    return MPC(
        model=model,
        rollout=rollout,
        planner=_latent_planner(
            proposal, search, lambda: Proposal(model, _law(wanted_by, actor, heads), rollout.window, *bounds)
        ),
        goal_cost=build_goal_cost(planning.goal_cost, heads),
        context=planning.context,
        horizon=planning.horizon,
        subgoal=planning.subgoal,
        seed=seed,
    )


def build_goal_cost(config: str | Component, heads: Mapping[str, nn.Module]) -> GoalCost:
    """Builds the cost of imagined embeddings.

    Args:
      config: name of the cost, {name, **arguments}, or {name: sum, parts: [{weight, cost}, ...]}; the cost of a part
        is again a name or a component.
      heads: heads that were fitted to the model's embeddings, by name; asked only for what is needed.

    Raises:
      InputError: there is no such cost or argument, or its head is missing.
    """
    component = {"name": config} if isinstance(config, str) else config
    name, arguments = component.get("name"), dict[str, Any]()
    if name not in GOAL_COSTS:
        raise InputError(f"unknown planning.goal_cost={name!r}{suggestion(str(name), GOAL_COSTS)}")
    if name == "sum":
        arguments["parts"] = _weighted_costs(component, heads)
        component = {"name": name}
    if name == "temporal_distance":
        arguments["head"] = _head(heads, name, f"planning.goal_cost={name}")
    return cast(GoalCost, build(GOAL_COSTS, component, "planning.goal_cost", **arguments))


def _check_proposal(proposal: str) -> None:
    """Refuses a value of planning.proposal that there is not, or no longer."""
    if proposal in RENAMED:
        raise InputError(f"planning.proposal={proposal} has another name: give planning.proposal={RENAMED[proposal]}")
    if proposal not in PROPOSALS:
        raise InputError(f"unknown planning.proposal={proposal!r}{suggestion(proposal, PROPOSALS)}")


def _latent_planner(proposal: str, search: Planner, make_proposal: Callable[[], Proposal]) -> LatentPlanner:
    """The planner that planning.proposal names."""
    if proposal == "none":
        return Search(search)
    proposed = make_proposal()
    if proposal == "amortized":
        return Amortized(proposed)
    return Seeded(search, proposed) if proposal == "seeded" else Cheaper(search, proposed)


def _law(wanted_by: str, actor: ActionLaw | None, heads: Mapping[str, nn.Module]) -> ActionLaw:
    """The actor, or the inverse-dynamics head where the model was trained without one."""
    if actor is not None:
        return actor
    head = _head(heads, "inverse_dynamics", wanted_by)
    return lambda z, past_actions, z_goal: cast(Tensor, head(z, z_goal))


def _head(heads: Mapping[str, nn.Module], name: str, key: str) -> Any:
    """The head of this name. InputError: it was not fitted."""
    if name not in heads:
        raise InputError(f"{key} needs a head: train with heads=[{name}], or fit it with `lewm train-head head={name}`")
    return heads[name]


def _weighted_costs(component: Component, heads: Mapping[str, nn.Module]) -> tuple[tuple[float, GoalCost], ...]:
    parts = component.get("parts")
    if component.keys() != {"name", "parts"} or not isinstance(parts, list):
        raise InputError(f"planning.goal_cost sum takes parts: [{{weight, cost}}, ...], not {component}")
    for part in parts:
        if not isinstance(part, dict) or part.keys() != {"weight", "cost"}:
            raise InputError(f"planning.goal_cost sum: a part is {{weight: 1, cost: {{name: ...}}}}, not {part!r}")
        weight = part["weight"]
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise InputError(f"planning.goal_cost sum: weight={weight!r} must be a number")
    return tuple((float(part["weight"]), build_goal_cost(part["cost"], heads)) for part in parts)
