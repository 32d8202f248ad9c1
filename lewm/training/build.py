"""Models, regularizers and planners from their configurations."""

import math
from typing import cast

from torch import Tensor, nn

from lewm.config import Component, ModelConfig, PlanningConfig, build
from lewm.errors import InputError
from lewm.models import ACTION_ENCODERS, ENCODERS, FLOWS, JEPA, PREDICTORS, PROJECTORS
from lewm.planning import MPC, PLANNERS
from lewm.planning.costs import GOAL_COSTS
from lewm.regularizers import REGULARIZERS, Regularizer
from lewm.training.objective import Objective


def build_model(config: ModelConfig, image_size: int, action_dim: int) -> JEPA:
    """A model with random weights (from torch's global generator) for frames of image_size and blocks of action_dim."""
    encoder = build(ENCODERS, config.encoder, "encoder", image_size=image_size)
    predictor = build(
        PREDICTORS, config.predictor, "predictor", embedding_dim=config.embedding_dim, context=config.context
    )

    def projector(input_dim: int) -> nn.Module:
        return cast(
            nn.Module,
            build(PROJECTORS, config.projector, "projector", input_dim=input_dim, output_dim=config.embedding_dim),
        )

    return JEPA(
        encoder=encoder,
        projector=projector(encoder.output_dim),
        action_encoder=build(
            ACTION_ENCODERS,
            config.action_encoder,
            "action_encoder",
            input_dim=action_dim,
            output_dim=predictor.output_dim,
        ),
        predictor=predictor,
        predictor_projector=projector(predictor.output_dim),
        context=config.context,
        # Last, so that the other parts begin with the weights that they have without a flow.
        flow=None if config.flow is None else build(FLOWS, config.flow, "flow", dim=config.embedding_dim),
    )


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


def build_mpc(model: JEPA, planner: Component, planning: PlanningConfig, low: Tensor, high: Tensor, seed: int) -> MPC:
    """The controller; low and high (A,) bound an action block in normalized space."""
    if not 1 <= planning.num_executed <= planning.horizon:
        raise InputError(
            f"planning.num_executed={planning.num_executed} must be between 1 and planning.horizon={planning.horizon}"
        )
    if planning.context > model.context:
        raise InputError(f"planning.context={planning.context}, but the model was trained on {model.context} frames")
    if planning.goal_cost not in GOAL_COSTS:
        raise InputError(f"unknown planning.goal_cost={planning.goal_cost!r}; there are {', '.join(GOAL_COSTS)}")
    return MPC(
        model=model,
        planner=build(PLANNERS, planner, "planner", low=low, high=high),
        goal_cost=GOAL_COSTS[planning.goal_cost],
        context=planning.context,
        horizon=planning.horizon,
        batch_size=planning.batch_size,
        seed=seed,
    )
