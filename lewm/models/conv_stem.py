"""Convolutional stem of a ViT (Xiao et al., arXiv 2106.14881) beside the linear patch embedding."""

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from lewm.errors import InputError
from lewm.models.patches import embed_patches, split_patches


class ConvStem(nn.Module):
    """Patch embedding by the sum of a linear map of each patch and stride-2 convolutions to one token per patch.

    What convolutions learn of a small thing holds at every pixel; a linear map of 16 x 16 pixels learns it anew at
    each. Alone they smooth away what the linear map keeps from the first step on, the orientation of a block.

    Args:
      img_size: height and width of the frames.
      patch_size: pixels between tokens, a power of 2.
      in_chans: C.
      embed_dim: width of the transformer.
      **_: further arguments of timm's patch embedding, ignored.
    """

    def __init__(self, img_size: int, patch_size: int, in_chans: int, embed_dim: int, **_: object) -> None:
        super().__init__()
        num_layers = patch_size.bit_length() - 1
        if patch_size != 2**num_layers:
            raise InputError(f"patch_size={patch_size} must be a power of 2 for stem=conv")
        self.num_patches = (img_size // patch_size) ** 2
        widths = [in_chans, *(max(embed_dim >> (num_layers - 1 - layer), 16) for layer in range(num_layers))]
        layers: list[nn.Module] = []
        for num_inputs, num_outputs in pairwise(widths):
            layers += [nn.Conv2d(num_inputs, num_outputs, 3, 2, 1), nn.GroupNorm(1, num_outputs), nn.GELU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], embed_dim, 1))
        self.linear = nn.Conv2d(in_chans, embed_dim, patch_size, patch_size)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, num_patches, embed_dim)."""
        # On a CPU, convolutions are faster where the channels of a pixel lie beside one another, as in a token.
        frames = x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x
        convolved = cast(Tensor, self.layers(frames)).flatten(2).transpose(1, 2)
        return convolved + embed_patches(split_patches(x, self.linear.kernel_size[0]), self.linear)
