"""Compilation of a model: its blocks, each kind once, and the first and last operations of its encoder."""

from torch import nn

from lewm.models import JEPA
from lewm.models.predictor import Predictor
from lewm.models.prefix_predictor import PrefixPredictor
from lewm.models.vit import ViTEncoder


def compile_parts(model: JEPA) -> None:
    """Lets torch compile the transformer blocks of encoder and predictor, and the encoder's first and last operations.

    That happens when they are first called. All blocks of a kind share one compiled function, which torch keeps on the
    disk for the next run. Names of weights stay. A part of another class than the shipped ones stays as it is.
    """
    if isinstance(model.encoder, ViTEncoder):
        model.encoder.compile_parts()
    blocks: list[nn.Module] = []
    if isinstance(model.predictor, Predictor | PrefixPredictor):
        blocks += model.predictor.blocks
    if isinstance(model.predictor, PrefixPredictor):
        blocks += model.predictor.prefix_blocks
    for block in blocks:
        block.compile()
