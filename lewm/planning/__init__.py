"""Planners that search action sequences for a cost, and the receding-horizon control around them."""

from lewm.planning.cem import CEM
from lewm.planning.mpc import MPC
from lewm.planning.protocols import Planner

PLANNERS: dict[str, type[Planner]] = {"cem": CEM}

__all__ = ["CEM", "MPC", "PLANNERS", "Planner"]
