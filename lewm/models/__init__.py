"""JEPA world models: encoders, projectors, flows and predictors, by name."""

from lewm.models.affine_predictor import AffinePredictor
from lewm.models.auto_compressing import AutoCompressingNetwork
from lewm.models.euclidean_attention import EuclideanAttention
from lewm.models.flow import InvertibleFlow
from lewm.models.jepa import JEPA
from lewm.models.predictor import ActionEncoder, Predictor
from lewm.models.prefix_predictor import PrefixPredictor
from lewm.models.projector import MLPProjector
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

__all__ = [
    "ACTION_ENCODERS",
    "ENCODERS",
    "FLOWS",
    "JEPA",
    "PREDICTORS",
    "PROJECTORS",
    "ActionEncoder",
    "AffinePredictor",
]
__all__ += ["AutoCompressingNetwork", "EuclideanAttention", "InvertibleFlow", "MLPProjector", "Predictor"]
__all__ += ["PrefixPredictor", "ViTEncoder"]
