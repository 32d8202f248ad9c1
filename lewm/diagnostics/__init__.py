"""Diagnostics of embeddings: Gaussianity, predictability, linear probes, geometry, and their use in validation."""
