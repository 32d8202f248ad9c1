"""The world model: frames to embeddings, embeddings and actions to the next embeddings."""

from lewm.models.jepa import JEPA
from lewm.models.predictor import ActionEncoder, Predictor
from lewm.models.projector import MLPProjector
from lewm.models.vit import ViTEncoder

ENCODERS = {"vit": ViTEncoder}
PROJECTORS = {"mlp": MLPProjector}
PREDICTORS = {"adaln": Predictor}
ACTION_ENCODERS = {"mlp": ActionEncoder}

__all__ = ["ACTION_ENCODERS", "ENCODERS", "JEPA", "PREDICTORS", "PROJECTORS", "ActionEncoder", "MLPProjector"]
__all__ += ["Predictor", "ViTEncoder"]
