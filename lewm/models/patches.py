"""Linear patch embedding of a ViT as one matrix product."""

from typing import cast

import torch.nn.functional as F
from timm.layers import PatchEmbed
from torch import Tensor, nn


def embed_patches(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """A convolution over patches that do not overlap, as one matrix product: (N, C, h, w) -> (N, num_patches, width).

    Its backward pass is faster than the convolution's.
    """
    height, width = convolution.kernel_size
    patches = x.unflatten(3, (-1, width)).unflatten(2, (-1, height)).permute(0, 2, 4, 1, 3, 5)
    return F.linear(patches.flatten(3).flatten(1, 2), convolution.weight.flatten(1), convolution.bias)


class LinearPatches(PatchEmbed):
    """timm's patch embedding with the same parameters, as one matrix product."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, num_patches, embed_dim)."""
        return cast(Tensor, self.norm(embed_patches(x, self.proj)))
