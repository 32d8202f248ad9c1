"""Regularizers of embeddings: modules with forward(z (B, T, D), *, generator) -> ()."""

from torch import nn

from lewm.regularizers.sigreg import SIGReg

REGULARIZERS: dict[str, type[nn.Module]] = {"sigreg": SIGReg}

__all__ = ["REGULARIZERS", "SIGReg"]
