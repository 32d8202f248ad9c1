"""Encoder of frames: timm's vision transformer on uint8 pixels."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from timm.layers import build_sincos2d_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lewm.errors import InputError
from lewm.models.conv_stem import ConvStem
from lewm.models.patches import LinearPatches, split_patches
from lewm.models.sizes import check_sizes

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ViTEncoder(nn.Module):
    """Vision transformer that maps each frame to one feature vector.

    Args:
      image_size: height and width of the frames, a multiple of patch_size.
      patch_size: height and width of a patch.
      width: width of the transformer.
      depth: number of blocks.
      num_heads: number of attention heads.
      pooling: "cls", the row of a class token (LeWM), or "mean", the mean over the patches.
      normalization: "imagenet" (LeWM), or "dataset": the mean frame of the data is subtracted. Where nothing is new, a
        patch is zero, and a small model finds what moves an order of magnitude sooner.
      stem: "linear" patches (LeWM), or "conv": convolutions beside them, see ConvStem.
      positions: "learned" from a random start (LeWM), or fixed 2-D "sincos", which small models need: from random
        positions a short training can lose one image axis altogether.
      mlp_ratio: hidden width of the blocks' MLPs as a multiple of `width`.

    Attributes:
      output_dim: `width`.
      narrow_stream: whether the residual stream has the type of matrix products under autocast, else float32.

    Raises:
      InputError: a size is too small or does not fit another, or a name is unknown.
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
        normalization: Literal["imagenet", "dataset"],
        stem: Literal["linear", "conv"],
        positions: Literal["learned", "sincos"],
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        check_sizes(image_size=image_size, patch_size=patch_size, width=width, depth=depth, num_heads=num_heads)
        if image_size % patch_size:
            raise InputError(f"patch_size={patch_size} does not divide the frame size {image_size}")
        if width % num_heads:
            raise InputError(f"num_heads={num_heads} does not divide width={width}")
        if positions == "sincos" and width % 4:
            raise InputError(f"width={width} must be divisible by 4 for positions=sincos")
        if not width * mlp_ratio >= 1:
            raise InputError(f"mlp_ratio={mlp_ratio} leaves MLPs of width={width} without a hidden layer")
        for value, known in (
            (pooling, ("cls", "mean")),
            (normalization, ("imagenet", "dataset")),
            (stem, ("linear", "conv")),
            (positions, ("learned", "sincos")),
        ):
            if value not in known:
                raise InputError(f"{value!r} is none of {', '.join(known)}")
        self.output_dim, self.normalization = width, normalization
        self.stem, self.patch_size, self.narrow_stream = stem, patch_size, False
        self._embed: Callable[[ViTEncoder, Tensor], Tensor] = embed
        self._class_row: Callable[[Any, Tensor], Tensor] = class_row
        self.register_buffer("mean", torch.empty(len(IMAGENET_MEAN), image_size, image_size))
        self.register_buffer("std", torch.empty(len(IMAGENET_STD), 1, 1))
        self.normalize_by(IMAGENET_MEAN, IMAGENET_STD)
        self.vit = VisionTransformer(
            img_size=image_size,
            patch_size=patch_size,
            embed_dim=width,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            num_classes=0,
            class_token=pooling == "cls",
            global_pool="token" if pooling == "cls" else "avg",
            fc_norm=False,
            embed_layer=ConvStem if stem == "conv" else LinearPatches,
            norm_layer=partial(nn.LayerNorm, eps=1e-12),
        )
        if positions == "sincos":
            grid = image_size // patch_size
            table = build_sincos2d_pos_embed([grid, grid], dim=width)[None]
            positions_with_class = torch.cat([table.new_zeros(1, self.vit.num_prefix_tokens, width), table], dim=1)
            self.vit.pos_embed = nn.Parameter(positions_with_class, requires_grad=False)

    @torch.no_grad()
    def normalize_by(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Normalizes by (C,) mean and (C,) std of each channel, of colours between 0 and 1."""
        self.mean.copy_(255 * torch.tensor(mean)[:, None, None])
        self.std.copy_(255 * torch.tensor(std)[:, None, None])

    @torch.no_grad()
    def fit_normalization(self, pixels: Tensor) -> None:
        """Fits mean frame and std to (N, C, h, w) uint8 training frames, where normalization is "dataset"."""
        if self.normalization == "dataset":
            frames = pixels.float()
            self.mean.copy_(frames.mean(0))
            self.std.copy_((frames - self.mean).square().mean((0, 2, 3), keepdim=True)[0].sqrt().clamp(min=1))

    def compile_parts(self) -> None:
        """Lets torch compile the patch embedding, the blocks and the row of the class token, at their first call.

        Under autocast the residual stream then has the type of matrix products, so that a step moves fewer bytes. Norms
        are fused with it and keep float32 statistics.
        """
        self.narrow_stream = True
        self._embed, self._class_row = torch.compile(embed), torch.compile(class_row)
        for block in self.vit.blocks:
            block.compile()

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, C, h, w) uint8 -> (N, width)."""
        # Of a CPU's fused attention in bfloat16 the backward pass takes ten times as long as of the plain one.
        slow = pixels.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        with sdpa_kernel(SDPBackend.MATH) if slow else nullcontext():
            x = self._embed(self, pixels)
            if not self.vit.num_prefix_tokens:
                return cast(Tensor, self.vit.norm(self.vit.blocks(x)).mean(1))
            x = self._class_row(self.vit.blocks[-1], self.vit.blocks[:-1](x))
            return cast(Tensor, self.vit.norm(x)[:, 0])


def embed(encoder: ViTEncoder, pixels: Tensor) -> Tensor:
    """Tokens of frames: normalized patches with their positions, and a class token: (N, C, h, w) -> (N, T, width)."""
    mean, std = encoder.mean[None], encoder.std.expand_as(encoder.mean)[None]
    if encoder.stem == "linear":  # before the bytes become numbers of four bytes
        pixels, mean, std = (split_patches(each, encoder.patch_size) for each in (pixels, mean, std))
    tokens = encoder.vit.patch_embed((pixels - mean).div_(std))
    x: Tensor = encoder.vit._pos_embed(tokens)
    return x.to(tokens.dtype) if encoder.narrow_stream else x


def class_row(block: Any, x: Tensor) -> Tensor:
    """First row of the output of timm's Block, without the rows that nobody reads: (N, T, width) -> (N, 1, width).

    For the last of twelve blocks this saves about 7% of an encoder's operations.
    """
    width, attention, normalized = x.shape[-1], block.attn, block.norm1(x)
    weights, biases = (part.split((width, 2 * width)) for part in (attention.qkv.weight, attention.qkv.bias))
    q = F.linear(normalized[:, :1], weights[0], biases[0])
    k, v = F.linear(normalized, weights[1], biases[1]).chunk(2, dim=-1)
    q, k, v = (rearrange(part, "n t (m d) -> n m t d", m=attention.num_heads) for part in (q, k, v))
    attended = rearrange(F.scaled_dot_product_attention(q, k, v), "n m t d -> n t (m d)")
    x = x[:, :1] + attention.proj(attended)
    return cast(Tensor, x + block.mlp(block.norm2(x)))
