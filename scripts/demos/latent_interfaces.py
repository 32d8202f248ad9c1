"""Priors of latents of two blocks, and draws of one block: N(0, I), one sphere, a sphere for each block."""

from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from lewm.regularizers import Wristband

BLOCK_DIM = 3


class Interface(Protocol):
    """Prior of latents, and the draw of a block of them.

    Attributes:
      weight: weight of the loss beside the squared error of the likes: of a grid by factors of 3, the one that leaves
        drawn blocks nearest to the truth.
    """

    weight: float

    def join(self, post: Tensor, weather: Tensor) -> Tensor:
        """Encodings (..., BLOCK_DIM) of both -> (..., 2 BLOCK_DIM) latents."""

    def loss(self, z: Tensor) -> Tensor:
        """(N, 2 BLOCK_DIM) -> ()."""

    def replace(self, z: Tensor, noise: Tensor) -> Tensor:
        """(N, 2 BLOCK_DIM) latents, (M, BLOCK_DIM) of N(0, I) -> (N, M, 2 BLOCK_DIM), with a drawn second block."""


class Gaussian:
    """[z_post, z_weather] ~ N(0, I)."""

    weight = 0.03

    def __init__(self) -> None:
        self.wristband = Wristband()

    def join(self, post: Tensor, weather: Tensor) -> Tensor:
        return torch.cat([post, weather], -1)

    def loss(self, z: Tensor) -> Tensor:
        return cast(Tensor, self.wristband(z[:, None], generator=torch.Generator()))

    def replace(self, z: Tensor, noise: Tensor) -> Tensor:
        return pairs(z[:, :BLOCK_DIM], noise)


class OneSphere:
    """[z_post, z_weather] uniform on the sphere: given z_post, the other block has a known length and any direction."""

    weight = 0.3

    def join(self, post: Tensor, weather: Tensor) -> Tensor:
        return F.normalize(torch.cat([post, weather], -1), dim=-1)

    def loss(self, z: Tensor) -> Tensor:
        return uniformity(z)

    def replace(self, z: Tensor, noise: Tensor) -> Tensor:
        post = z[:, :BLOCK_DIM]
        length = (1 - post.square().sum(1)).clamp(min=0).sqrt()
        return torch.cat([pairs(post, noise)[..., :BLOCK_DIM], length[:, None, None] * F.normalize(noise, dim=1)], -1)


class TwoSpheres:
    """z_post and z_weather uniform, each on a sphere of its own."""

    weight = 1.0

    def join(self, post: Tensor, weather: Tensor) -> Tensor:
        return torch.cat([F.normalize(post, dim=-1), F.normalize(weather, dim=-1)], -1)

    def loss(self, z: Tensor) -> Tensor:
        return uniformity(z[:, :BLOCK_DIM]) + uniformity(z[:, BLOCK_DIM:])

    def replace(self, z: Tensor, noise: Tensor) -> Tensor:
        return pairs(z[:, :BLOCK_DIM], F.normalize(noise, dim=1))


INTERFACES: dict[str, type[Interface]] = {
    "N(0, I)": Gaussian,
    "one sphere": OneSphere,
    "two spheres": TwoSpheres,
}


def uniformity(u: Tensor) -> Tensor:
    """(N, d) unit vectors -> (): log of the mean of exp(-2 |u - v|^2) over pairs (Wang and Isola, 2020, section 4)."""
    return (-2 * F.pdist(u).square()).exp().mean().log()


def pairs(first: Tensor, second: Tensor) -> Tensor:
    """(N, d), (M, d) -> (N, M, 2d): each with each."""
    shape = (len(first), len(second), -1)
    return torch.cat([first[:, None].expand(shape), second.expand(shape)], -1)
