"""Planners around an action law: its plan as it is, and a small search near it (INTACT, arXiv 2607.26056)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lewm.planning.icem import ICEM
from lewm.planning.protocols import ActionCost, Generators, OnIteration, Plan


@dataclass(frozen=True)
class NoSearch:
    """Plan of an action law as it is: that of the model's actor, or of an inverse-dynamics head. Its cost is nan.

    Attributes:
      low, high: (A,) or (K, a) bounds of an action block in normalized space.
      proposal: what planning.proposal is then, whatever it says: there is no search to start or to compare with.
    """

    low: Tensor
    high: Tensor
    proposal: ClassVar[str] = "amortized"

    def __call__(
        self, cost: ActionCost, mean: Tensor, *, generator: Generators, on_iteration: OnIteration | None = None
    ) -> Plan:
        """Returns the mean, which is where a search would start."""
        return Plan(mean, torch.full_like(mean[:, 0, 0], torch.nan))


@dataclass(frozen=True)
class Guarded(ICEM):
    """Small search around the plan of an action law, which is its first candidate; the best so far competes on.

    Attributes beside those of ICEM:
      proposal: value of planning.proposal where that is none.
    """

    proposal: ClassVar[str] = "seeded"
