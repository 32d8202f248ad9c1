"""SIGReg, sketched isotropic Gaussian regularization, and the characteristic functions that it compares."""

from lewm.regularizers.sigreg.sigreg import SIGReg

__all__ = ["SIGReg"]
