"""Losses written plainly, without a thought for speed: what the fast ones are compared with."""

import torch
from torch import Tensor


def seeded(device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(0)


def direct_sigreg(z: Tensor) -> Tensor:
    """(N, 1, D) -> (), as the public implementations do it."""
    directions = torch.randn(z.shape[-1], 1024, generator=seeded(z.device), device=z.device)
    directions = (directions / directions.norm(dim=0)).to(z.dtype)
    knots = torch.linspace(0, 3, 17, device=z.device, dtype=z.dtype)
    weight = torch.full_like(knots, 2 * 3 / 16)
    weight[[0, -1]] /= 2
    target = torch.exp(-knots.square() / 2)
    angle = (z[:, 0] @ directions)[..., None] * knots
    distance = (angle.cos().mean(0) - target).square() + angle.sin().mean(0).square()
    return (distance @ (weight * target)).mean()


def direct_repulsion(u: Tensor, t: Tensor) -> Tensor:
    """(N, d), (N,) -> (): the pairwise kernel with its three images, written plainly."""
    angular = -8 / 12 * (2 - 2 * u @ u.T)
    near, far = t[:, None] - t, t[:, None] + t
    kernel = sum((angular - 8 * delta.square()).exp() for delta in (near, far, far - 2))
    return ((kernel.sum(1) - 1) / (3 * len(t) - 1)).log().mean() / 8


def direct_wristband(z: Tensor) -> Tensor:
    """(N, 1, d) -> (): repulsion, a tenth of the radial term and the moment term, without calibration."""
    x = z[:, 0]
    squared = x.square().sum(1)
    t = torch.special.gammainc(torch.full_like(squared, x.shape[1] / 2), squared / 2)
    ordered = t.sort().values.clamp(1e-6, 1 - 1e-6)
    quantiles = (torch.arange(len(x), device=x.device, dtype=x.dtype) + 0.5) / len(x)
    deviates = (torch.special.ndtri(ordered) - torch.special.ndtri(quantiles)).square().mean()
    radial = (12 * (ordered - quantiles).square().mean() + deviates) / 2
    centred = x - x.mean(0)
    matrix = centred @ centred.T if len(x) < x.shape[1] else centred.T @ centred
    spectrum = torch.linalg.eigvalsh(matrix / (len(x) - 1))
    std = spectrum.clamp(min=1e-12).sqrt()
    moment = (x.mean(0).square().sum() + (std - 1).square().sum() + x.shape[1] - len(std)) / x.shape[1]
    return direct_repulsion(x / squared.sqrt()[:, None], t) + 0.1 * radial + moment
