"""Regularizers of embeddings: modules that map embeddings (B, T, D) to a scalar loss."""

from lewm.regularizers.mmd import MMD
from lewm.regularizers.none import NoRegularizer
from lewm.regularizers.regularizer import Regularizer
from lewm.regularizers.sigreg.sigreg import SIGReg
from lewm.regularizers.vicreg import VICReg
from lewm.regularizers.wristband.wristband import Wristband

REGULARIZERS: dict[str, type[Regularizer]] = {
    "sigreg": SIGReg,
    "wristband": Wristband,
    "mmd": MMD,
    "vicreg": VICReg,
    "none": NoRegularizer,
}

__all__ = ["MMD", "REGULARIZERS", "NoRegularizer", "Regularizer", "SIGReg", "VICReg", "Wristband"]
