"""Sweeps of training runs: which cells there are, running them, and comparing what they left."""
