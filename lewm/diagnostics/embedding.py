"""Embeddings of many frames, made in pieces."""

import torch
from torch import Tensor

from lewm.models import JEPA


@torch.inference_mode()
def embed(model: JEPA, pixels: Tensor, batch_size: int) -> Tensor:
    """Encodes at most batch_size frames at a time: (B, T, C, h, w) uint8 -> (B, T, D) float32 on the CPU.

    Embeddings come from the device all together: else it would wait before each piece for the one before.
    """
    device = next(model.parameters()).device
    pieces = pixels.split(max(batch_size // pixels.shape[1], 1))
    return torch.cat([model.encode(piece.to(device)).float() for piece in pieces]).cpu()
