"""Objectives and planners, built of their configurations."""

import math
from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from lewm.config import Component, PlanningConfig, build, suggestion
from lewm.errors import InputError
from lewm.models import JEPA
from lewm.models.rollout.cached import PRECISIONS, CachedRollout
from lewm.models.rollout.graphed import GraphedRollout
from lewm.planning import MPC, PLANNERS
from lewm.planning.costs import GOAL_COSTS, GoalCost
from lewm.planning.mpc import PROPOSAL_USES
from lewm.planning.proposal import InverseDynamics, Proposal
from lewm.regularizers import REGULARIZERS, Regularizer
from lewm.training.objective import Objective


def build_regularizer(config: Component) -> Regularizer:
    """The regularizer of a component; its weight is the objective's."""
    component = {key: value for key, value in config.items() if key != "weight"}
    return cast(Regularizer, build(REGULARIZERS, component, "regularizer"))


def build_objective(model: JEPA, config: Component) -> Objective:
    """The loss: prediction and the regularizer of {name, weight, **arguments}."""
    regularizer, weight = build_regularizer(config), config.get("weight")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
        raise InputError(f"regularizer.weight={weight} must be a number of at least 0")
    return Objective(model, regularizer, float(weight))


def build_goal_cost(config: str | Component, heads: Mapping[str, nn.Module]) -> GoalCost:
    """The cost of a name, of {name, **arguments}, or of {name: sum, parts: [{weight, cost}, ...]}.

    Args:
      config: of the cost; the cost of a part is again a name or a component.
      heads: what was fitted to the model's embeddings, by name; asked only for what the cost needs.
    """
    component = {"name": config} if isinstance(config, str) else config
    name, arguments = component.get("name"), dict[str, Any]()
    if name not in GOAL_COSTS:
        raise InputError(f"unknown planning.goal_cost={name!r}{suggestion(str(name), GOAL_COSTS)}")
    if name == "sum":
        arguments["parts"] = _weighted_costs(component, heads)
        component = {"name": name}
    if name == "temporal_distance":
        if name not in heads:
            raise InputError(_needs_head(f"planning.goal_cost={name}", name))
        arguments["head"] = heads[name]
    return cast(GoalCost, build(GOAL_COSTS, component, "planning.goal_cost", **arguments))


def _needs_head(key: str, name: str) -> str:
    return f"{key} needs a head: train with heads=[{name}], or fit it with scripts/train_head.py head={name}"


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


def build_mpc(
    model: JEPA,
    planner: Component,
    planning: PlanningConfig,
    low: Tensor,
    high: Tensor,
    seed: int,
    heads: Mapping[str, nn.Module] | None = None,
) -> MPC:
    """The agent.

    Args:
      model: in eval mode when it plans.
      planner, planning: how to plan.
      low, high: (A,), or (K, a), bounds of an action block in normalized space.
      seed: of the planner's noise.
      heads: what was fitted to the model's embeddings, by name.
    """
    heads = heads or {}
    if not 1 <= planning.num_executed <= planning.horizon:
        raise InputError(
            f"planning.num_executed={planning.num_executed} must be between 1 and planning.horizon={planning.horizon}"
        )
    window = model.context if planning.window is None else planning.window
    for key, number in (("context", planning.context), ("window", window)):
        if number > model.context:
            raise InputError(f"planning.{key}={number}, but the model was trained on {model.context} frames")
    if planning.precision not in PRECISIONS:
        raise InputError(f"planning.precision={planning.precision!r}; there are {', '.join(PRECISIONS)}")
    try:
        rollout = CachedRollout(model, window, planning.batch_size, planning.precision)
    except ValueError as error:
        raise InputError(f"planning.{error}") from error
    proposal = None
    if planning.proposal != "none":
        head = heads.get("inverse_dynamics")
        if head is None and planning.proposal in PROPOSAL_USES:
            raise InputError(_needs_head(f"planning.proposal={planning.proposal}", "inverse_dynamics"))
        proposal = Proposal(cast(InverseDynamics, head), window, low.flatten(), high.flatten())
    return MPC(
        model=model,
        rollout=GraphedRollout(rollout) if low.is_cuda else rollout,
        planner=build(PLANNERS, planner, "planner", low=low, high=high),
        goal_cost=build_goal_cost(planning.goal_cost, heads),
        context=planning.context,
        horizon=planning.horizon,
        seed=seed,
        proposal=proposal,
        proposal_use=planning.proposal,
    )
