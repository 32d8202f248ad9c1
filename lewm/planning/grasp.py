"""Gradient descent on actions and virtual states together, after GRASP (Psenka et al. 2026, arXiv 2602.00475)."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lewm.errors import InputError
from lewm.planning.candidates import cheaper, clip, evaluate, nothing_yet
from lewm.planning.descent import Adam, Descent, gradients
from lewm.planning.noise import draw_normal
from lewm.planning.protocols import ActionCost, Generators, Iteration, LiftedCost, OnIteration, Plan


@dataclass(frozen=True)
class GRASP(Descent):
    """GRASP: Adam on the actions and on virtual embeddings, with a penalty for the model's disagreement.

    With z the virtual embeddings and p = predict(actions, z) each predicted from those before it, it descends
    judge(p, actions) + residual_weight * sum (p - z)^2, the sum over all steps but the last, whose z leads nowhere. No
    gradient passes through more than one prediction. Every `sync_every` iterations, first of all at the start, the
    actions take a step on what they truly cost, and z becomes what they truly lead to, with Adam's moments of 0. Only
    such costs decide which plan is best.

    Attributes beside those of Descent, whose learning rate is that of the actions:
      state_learning_rate: learning rate of the virtual embeddings, in their units.
      state_std: standard deviation of the noise that each lifted iteration adds to the virtual embeddings.
      state_gradient: share of the gradient that reaches them as inputs of the model. 0 is GRASP's, which needs a goal
        cost that judges every step; 1 is plain collocation.
      residual_weight: weight of the squared distance between virtual and predicted embeddings.
      sync_every: iterations between steps on the true cost; 1 is Adam on the actions alone.
    """

    state_learning_rate: float
    state_std: float
    state_gradient: float
    residual_weight: float
    sync_every: int

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("state_learning_rate", "residual_weight"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name}={getattr(self, name)} must be positive")
        if not self.state_std >= 0:
            raise InputError(f"state_std={self.state_std} must not be negative")
        if not 0 <= self.state_gradient <= 1:
            raise InputError(f"state_gradient={self.state_gradient} must be between 0 and 1")
        if self.sync_every < 1:
            raise InputError(f"sync_every={self.sync_every} must be at least 1")

    def __call__(
        self, cost: ActionCost, mean: Tensor, *, generator: Generators, on_iteration: OnIteration | None = None
    ) -> Plan:
        """Returns the cheapest of the candidates whose true cost was computed; the last are among them."""
        if not isinstance(cost, LiftedCost):
            raise InputError("the planner grasp needs a cost with imagine, predict and judge; see LiftedCost")
        mean = clip(mean, self.low, self.high)
        best = nothing_yet(mean)
        candidates = self.draw(mean, self.std, generator)
        adam = Adam(candidates, self.learning_rate)
        for index in range(self.num_iterations):
            num_lifted = index % self.sync_every
            if num_lifted == 0:
                costs, candidates, best = self.descend(cost, candidates, best, adam, generator)
            else:
                if num_lifted == 1:
                    z = self._imagine(cost, candidates)
                    state_adam = Adam(z, self.state_learning_rate)
                costs, (slope, z_slope) = gradients(partial(self._lifted, cost), candidates, z)
                candidates = clip(adam.step(candidates, slope), self.low, self.high)
                noise = draw_normal(tuple(z.shape[1:]), generator, z)
                z = state_adam.step(z, z_slope) + self.state_std * noise
            if on_iteration is not None:
                on_iteration(Iteration(index, costs, best.actions, None, best.cost))
        return cheaper(best, evaluate(cost, candidates), candidates)

    @staticmethod
    @torch.no_grad()
    def _imagine(cost: LiftedCost, candidates: Tensor) -> Tensor:
        return cost.imagine(candidates)

    def _lifted(self, cost: LiftedCost, candidates: Tensor, z: Tensor) -> Tensor:
        """Lifted objective, descended between steps on the true cost: (B, N, H, A), (B, N, H, D) -> (B, N)."""
        z_input = torch.lerp(z.detach(), z, self.state_gradient)
        z_next = cost.predict(candidates, z_input)
        residual = (z_next - z)[:, :, :-1].square().sum((2, 3))
        return cost.judge(z_next, candidates) + self.residual_weight * residual
