"""SIGReg and its characteristic functions."""

from lewm.regularizers.sigreg.sigreg import SIGReg

__all__ = ["SIGReg"]
