"""Diagnostics of embeddings: Gaussianity, slice tests, predictability, probes, geometry."""
