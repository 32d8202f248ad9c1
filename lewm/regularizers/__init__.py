"""Regularizers of embeddings: modules that map embeddings (B, T, D) to a scalar loss."""

from typing import cast

from lewm.config import Component, build
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


def build_regularizer(config: Component) -> Regularizer:
    """Builds the regularizer of {name, weight, **arguments}; the weight is left to the objective."""
    component = {key: value for key, value in config.items() if key != "weight"}
    return cast(Regularizer, build(REGULARIZERS, component, "regularizer"))


__all__ = [
    "MMD",
    "REGULARIZERS",
    "NoRegularizer",
    "Regularizer",
    "SIGReg",
    "VICReg",
    "Wristband",
    "build_regularizer",
]
