"""Planners that search action sequences for a cost, and the receding-horizon control around them."""

from lewm.planning.cem import CEM
from lewm.planning.gradient import Gradient
from lewm.planning.grasp import GRASP
from lewm.planning.guarded import Guarded, NoSearch
from lewm.planning.icem import ICEM
from lewm.planning.mpc import MPC
from lewm.planning.mppi import MPPI
from lewm.planning.protocols import Planner
from lewm.planning.random_shooting import RandomShooting

PLANNERS: dict[str, type[Planner]] = {
    "actor": NoSearch,
    "cem": CEM,
    "gradient": Gradient,
    "grasp": GRASP,
    "guarded": Guarded,
    "icem": ICEM,
    "mppi": MPPI,
    "random_shooting": RandomShooting,
}

__all__ = [
    "CEM",
    "GRASP",
    "ICEM",
    "MPC",
    "MPPI",
    "PLANNERS",
    "Gradient",
    "Guarded",
    "NoSearch",
    "Planner",
    "RandomShooting",
]
