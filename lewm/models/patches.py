"""Linear patch embedding of a ViT as one matrix product."""

from typing import cast

import torch.nn.functional as F
from timm.layers import PatchEmbed
from torch import Tensor, nn


def split_patches(x: Tensor, size: int) -> Tensor:
    """Splits frames into patches of size x size pixels: (N, C, h, w) -> (N, num_patches, C x size x size)."""
    patches = x.unflatten(3, (-1, size)).unflatten(2, (-1, size)).permute(0, 2, 4, 1, 3, 5)
    return patches.flatten(3).flatten(1, 2)


def embed_patches(patches: Tensor, convolution: nn.Conv2d) -> Tensor:
    """A convolution over patches that do not overlap: (N, num_patches, C x size x size) -> (N, num_patches, width).

    Its backward pass is faster than the convolution's.
    """
    return F.linear(patches, convolution.weight.flatten(1), convolution.bias)


class LinearPatches(PatchEmbed):
    """timm's patch embedding with the same parameters, of frames that are split already."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_patches, C x size x size) -> (N, num_patches, embed_dim)."""
        return cast(Tensor, self.norm(embed_patches(x, self.proj)))
