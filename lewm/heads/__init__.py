"""Heads: small networks that are fitted to the embeddings of a trained model, or instead of one."""

from lewm.heads.behaviour_cloning import BehaviourCloning
from lewm.heads.head import Head
from lewm.heads.inverse_dynamics import InverseDynamics
from lewm.heads.temporal_distance import TemporalDistance

HEADS: dict[str, type[Head]] = {
    "inverse_dynamics": InverseDynamics,
    "temporal_distance": TemporalDistance,
    "behaviour_cloning": BehaviourCloning,
}

__all__ = ["HEADS", "BehaviourCloning", "Head", "InverseDynamics", "TemporalDistance"]
