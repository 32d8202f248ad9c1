"""JEPA world models from pixels: training with one Gaussian regularizer, and planning in latent space."""

__version__ = "0.1.0"
