"""The encoder: timm's vision transformer on uint8 frames."""

from functools import partial
from typing import Literal

import torch
from timm.layers import build_sincos2d_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ViTEncoder(nn.Module):
    """Frames to one feature vector each.

    Args:
      image_size: height and width of the frames, a multiple of patch_size.
      patch_size, width, depth, num_heads: as in every ViT.
      pooling: "cls", the row of a class token (LeWM), or "mean", the mean over the patches.
      positions: "learned" from a random start (LeWM), or fixed 2-D "sincos", which small models need: from random
        positions a short training can lose one image axis altogether.

    Attributes:
      output_dim: `width`.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        width: int,
        depth: int,
        num_heads: int,
        pooling: Literal["cls", "mean"],
        positions: Literal["learned", "sincos"],
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"patch_size={patch_size} does not divide the frame size {image_size}")
        if pooling not in ("cls", "mean") or positions not in ("learned", "sincos"):
            raise ValueError(f"pooling is cls or mean, positions learned or sincos; got {pooling!r}, {positions!r}")
        self.output_dim = width
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)
        self.vit = VisionTransformer(
            img_size=image_size,
            patch_size=patch_size,
            embed_dim=width,
            depth=depth,
            num_heads=num_heads,
            num_classes=0,
            class_token=pooling == "cls",
            global_pool="token" if pooling == "cls" else "avg",
            fc_norm=False,
            norm_layer=partial(nn.LayerNorm, eps=1e-12),
        )
        if positions == "sincos":
            grid = image_size // patch_size
            table = build_sincos2d_pos_embed([grid, grid], dim=width)[None]
            with torch.no_grad():
                self.vit.pos_embed.zero_()[:, -grid * grid :] = table
            self.vit.pos_embed.requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, C, h, w) uint8 -> (N, width)."""
        features: Tensor = self.vit((pixels.to(self.mean.dtype) - self.mean) / self.std)
        return features
