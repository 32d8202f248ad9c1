"""Fast paths of JEPA.rollout: cached, packed, and as a CUDA graph."""
