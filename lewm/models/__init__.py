"""JEPA world models: encoders, projectors, flows, predictors, actors and contrasts, by name."""

from lewm.models.actor import Actor
from lewm.models.affine_predictor import AffinePredictor
from lewm.models.auto_compressing import AutoCompressingNetwork
from lewm.models.euclidean_attention import EuclideanAttention
from lewm.models.flow import InvertibleFlow
from lewm.models.intent_actor import IntentActor
from lewm.models.jepa import JEPA
from lewm.models.path_actor import PathActor
from lewm.models.predictor import ActionEncoder, Predictor
from lewm.models.prefix_predictor import PrefixPredictor
from lewm.models.projector import MLPProjector
from lewm.models.temporal_contrast import TemporalContrast
from lewm.models.vit import ViTEncoder

ENCODERS = {"vit": ViTEncoder}
PROJECTORS = {
    "mlp": MLPProjector,
    "euclidean_attention": EuclideanAttention,
    "auto_compressing": AutoCompressingNetwork,
}
FLOWS = {"affine_coupling": InvertibleFlow}
PREDICTORS = {"adaln": Predictor, "affine": AffinePredictor, "prefix": PrefixPredictor}
ACTION_ENCODERS = {"mlp": ActionEncoder}
ACTORS: dict[str, type[Actor]] = {"intent": IntentActor, "path": PathActor}
CONTRASTS = {"temporal": TemporalContrast}

__all__ = [
    "ACTION_ENCODERS",
    "ACTORS",
    "CONTRASTS",
    "ENCODERS",
    "FLOWS",
    "JEPA",
    "PREDICTORS",
    "PROJECTORS",
    "ActionEncoder",
    "Actor",
    "AffinePredictor",
]
__all__ += [
    "AutoCompressingNetwork",
    "EuclideanAttention",
    "IntentActor",
    "InvertibleFlow",
    "MLPProjector",
    "PathActor",
]
__all__ += ["Predictor", "PrefixPredictor", "TemporalContrast", "ViTEncoder"]
