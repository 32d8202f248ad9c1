"""Terms of the Wristband loss on samples x (N, d): repulsion, radial, angular (Parakhin, 2026).

A sample is a direction u = x / |x| and a radius, expressed by t = P(d/2, |x|^2 / 2), its probability under N(0, I). For
N(0, I), u is uniform on the sphere and t uniform on [0, 1], independently: a wristband, sphere x interval.
"""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from scipy.special import hyp0f1
from torch import Tensor
from torch.nn import functional as F

BETA = 8.0
"""Inverse width of the kernels."""

ALPHA_SQUARED = {"chordal": 1 / 12, "geodesic": 2 / (3 * math.pi**2)}
"""Scale of squared distances on the sphere against those on the interval."""

_CHUNK = 2**17
"""Pairs of points in a chunk."""

_TAIL = 30.0
"""Deviates beyond which float64 cannot tell probabilities apart from 0."""


class Points(NamedTuple):
    """Samples as points on the wristband.

    Attributes:
      u: (N, d) directions, 0 for a sample at the origin.
      t: (N,) radial probabilities.
      w: (N,) normal deviates Phi^-1(t).
    """

    u: Tensor
    t: Tensor
    w: Tensor


def on_the_wristband(x: Tensor) -> Points:
    """Directions and radii of (N, d) samples."""
    return Points(*_OnTheWristband.apply(x))


class _OnTheWristband(torch.autograd.Function):
    """x (N, d) -> u = x / |x|, t = P(d/2, |x|^2 / 2) and w = Phi^-1(t), each with its own gradient.

    The radii are computed in float64 from both tails, P and 1 - P, so that w keeps telling them apart where t has long
    been 0 or 1 in float32; beyond 30 standard deviations, where float64 ends too, by Barndorff-Nielsen's r*, whose
    error is below 1e-3 there. The gradient of w is the ratio of two densities, formed of their logarithms.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        d = x.shape[1]
        s = x.square().sum(1)
        inverse_norm = torch.where(s > 1e-12, s.rsqrt(), 0.0)[:, None]
        u = x * inverse_norm
        half = s.double().clamp_(min=1e-30).mul_(0.5)
        a = torch.full_like(half, d / 2)
        lower, upper = torch.special.gammainc(a, half), torch.special.gammaincc(a, half)
        w = torch.special.ndtri(torch.minimum(lower, upper)).copysign_(lower - upper)
        log_density = half.log().mul_(d / 2 - 1).sub_(half).sub_(math.lgamma(d / 2) + math.log(2))
        slope = torch.addcmul(log_density, w, w, value=0.5).add_(math.log(2 * math.pi) / 2).exp_()
        if w.device.type != "cpu" or not w.abs().max() < _TAIL:  # to ask a GPU takes longer than to mend nothing
            w, slope = _mend_tails(w, slope, s, half, d / 2)
        ctx.save_for_backward(x, u, inverse_norm, log_density.exp(), slope)
        return u, lower.to(s.dtype), w.to(s.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        x, u, inverse_norm, density, slope = ctx.saved_tensors
        grad_u, grad_t, grad_w = grad_outputs
        grad_s = (grad_t * density).addcmul_(grad_w, slope).to(x.dtype)[:, None]
        tangential = torch.addcmul(grad_u, u, (u * grad_u).sum(1, keepdim=True), value=-1)
        return (tangential * inverse_norm).addcmul_(x, grad_s, value=2)


def _mend_tails(w: Tensor, slope: Tensor, s: Tensor, half: Tensor, a: float) -> tuple[Tensor, Tensor]:
    """Deviates and slopes (N,) of squared radii s = 2 x half, those beyond _TAIL by r*; no slope at the origin."""
    in_tail = ~(w.abs() < _TAIL)
    tail, tail_slope = _r_star(half, a)
    w, slope = torch.where(in_tail, tail, w), torch.where(in_tail & (s > 0), tail_slope, slope)
    return w, torch.where(s > 0, slope, 0.0)


def _r_star(half: Tensor, a: float) -> tuple[Tensor, Tensor]:
    """Normal deviate of a Gamma(a) variable by the saddlepoint, r + log(v / r) / r, and its slope in 2 x half."""
    ratio = half / a
    ratio = torch.where((ratio - 1).abs() < 1e-3, 2.0, ratio)  # near the mean nobody asks for it
    r = (ratio - 1).sign() * (2 * a * (ratio - 1 - ratio.log())).sqrt()
    log_term = (math.sqrt(a) * (ratio - 1) / r).log()
    r_slope = a * (1 - 1 / ratio) / r
    slope = r_slope + (1 / (ratio - 1) - r_slope / r) / r - log_term * r_slope / r.square()
    return r + log_term / r, slope / (2 * a)


def radial_loss(t: Tensor, w: Tensor) -> Tensor:
    """Squared distance of sorted radii from their quantiles, as probabilities and as deviates: (N,), (N,) -> ()."""
    radii = torch.stack([_PER_PROBABILITY * t, w])
    return F.mse_loss(radii.index_select(1, w.detach().argsort()), _quantiles(len(t), t.dtype, t.device))


_PER_PROBABILITY = math.sqrt(12)
"""Inverse standard deviation of a uniform number: both rows count the same."""


@lru_cache(maxsize=16)
def _quantiles(num_points: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Expected positions (2, N) of N sorted uniform numbers, standardized, and of N sorted normal ones."""
    with torch.inference_mode(False):
        probabilities = (torch.arange(num_points, device=device, dtype=dtype) + 0.5) / num_points
        return torch.stack([_PER_PROBABILITY * probabilities, torch.special.ndtri(probabilities)])


def pairwise_repulsion(u: Tensor, t: Tensor, metric: str, reduction: str) -> Tensor:
    """Logarithm of the mean kernel between points, O(N^2 d) time and O(N) memory: (N, d), (N,) -> ().

    The kernel falls with the distance on the sphere and on the interval, which is mirrored at both ends: otherwise
    points would crowd there.

    Args:
      u: (N, d) directions.
      t: (N,) radial probabilities.
      metric: distance on the sphere, chordal or geodesic.
      reduction: per_point, the mean of each point's logarithm, or global, the logarithm of the mean.
    """
    num_points = len(u)
    sums = _KernelSums.apply(u, t, metric)
    if reduction == "global":
        return (sums.sum() / (3 * num_points**2 - num_points)).log() / BETA
    return (sums / (3 * num_points - 1)).log().mean() / BETA


class _KernelSums(torch.autograd.Function):
    """u (N, d), t (N,) -> (N,) sums over j of k(u_i, u_j) (g(t_i - t_j) + g(t_i + t_j) + g(t_i + t_j - 2)).

    A point is not compared with itself, but with its own mirror images. With g(x) = exp(-beta x^2), s = t - 1/2 and
    mirrors m, n = exp(-beta (1/2 ± 2 s)) the three Gaussians are exp(-beta (s_i^2 + s_j^2)) (p + q (m_i m_j + n_i n_j))
    with p = exp(2 beta s_i s_j) and q = 1 / p. For many points the backward pass makes the kernel again, so that
    nothing of size N^2 is kept.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, t: Tensor, metric: str) -> Tensor:
        s = t - 0.5
        mirrors = _mirrors(s)
        out = torch.empty_like(t)
        for rows in _row_chunks(len(u)):
            parts = p, q, _ = _kernel_parts(u, s, rows, metric)
            torch.add(p.sum(1), (mirrors[rows] * (q @ mirrors)).sum(1), out=out[rows])
        ctx.save_for_backward(u, s, mirrors)
        ctx.metric = metric
        ctx.parts = parts if rows == slice(0, len(u)) else None
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        (grad,) = grad_outputs
        u, s, mirrors = ctx.saved_tensors
        shifted = mirrors * (s[:, None] + _signs(s.dtype, s.device))
        grad_u, grad_s = torch.empty_like(u), torch.empty_like(s)
        for rows in _row_chunks(len(u)):
            p, q, slope = ctx.parts or _kernel_parts(u, s, rows, ctx.metric)
            pair_grad = grad[rows, None] + grad  # the kernel is symmetric: each pair is in two sums
            p, q = p * pair_grad, q * pair_grad
            # Differences s_i - s_j, s_i + s_j + 1 and s_i + s_j - 1, weighted.
            mirrored = torch.addcmul(q @ shifted, q @ mirrors, s[rows, None])
            grad_s[rows] = s[rows] * p.sum(1) - p @ s + (mirrors[rows] * mirrored).sum(1)
            weights = p.addcmul_(q, mirrors[rows] @ mirrors.T)
            grad_u[rows] = (weights if slope is None else weights * slope) @ u
        if slope is None:
            grad_u *= _chordal_slope()
        return grad_u, -2 * BETA * grad_s, None


def _mirrors(s: Tensor) -> Tensor:
    """Mirror factors (N, 2): exp(-beta (1/2 + 2 s)) and exp(-beta (1/2 - 2 s))."""
    return torch.outer(-2 * BETA * s, _signs(s.dtype, s.device)).sub_(BETA / 2).exp_()


@lru_cache(maxsize=16)
def _signs(dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor([1.0, -1.0], dtype=dtype, device=device)


def _row_chunks(num_points: int) -> list[slice]:
    height = max(_CHUNK // num_points, 1)
    return [slice(start, min(start + height, num_points)) for start in range(0, num_points, height)]


def _kernel_parts(u: Tensor, s: Tensor, rows: slice, metric: str) -> tuple[Tensor, Tensor, Tensor | None]:
    """Kernel parts (rows, N): exp(-beta (s_i^2 + s_j^2)) k p, the same with q, and the slope of log k in the cosine."""
    log_kernel, slope = _log_sphere_kernel(u[rows] @ u.T, metric)
    squared = -BETA * s.square()
    log_kernel = log_kernel.add_(squared).add_(squared[rows, None])
    p = torch.addr(log_kernel, s[rows], s, alpha=2 * BETA).exp_()
    p[:, rows].fill_diagonal_(0)  # of a point and itself
    q = log_kernel.addr_(s[rows], s, alpha=-2 * BETA).exp_()
    return p, q, slope


def _chordal_slope() -> float:
    return 2 * BETA * ALPHA_SQUARED["chordal"]


def _log_sphere_kernel(cosine: Tensor, metric: str) -> tuple[Tensor, Tensor | None]:
    """Logarithm of the kernel on the sphere, and its derivative in the cosine; None where that is constant."""
    if metric == "chordal":
        return torch.sub(cosine, 1).mul_(_chordal_slope()), None
    scale = BETA * ALPHA_SQUARED["geodesic"]
    angle = cosine.clamp(-1 + 1e-6, 1.0).acos()
    return -scale * angle.square(), 2 * scale / torch.sinc(angle / math.pi).clamp(min=1e-3)


def angular_loss(u: Tensor, metric: str, reduction: str) -> Tensor:
    """Repulsion of the directions of different points (Wang and Isola, 2020): (N, d) -> ()."""
    num_others = len(u) - 1
    cosine = u @ u.T
    scale = BETA * ALPHA_SQUARED[metric]
    squared = 2 - 2 * cosine if metric == "chordal" else cosine.clamp(-1 + 1e-6, 1 - 1e-6).acos().square()
    rows = (-scale * squared).exp().fill_diagonal_(0).sum(1) / num_others
    return (rows.log().mean() if reduction == "per_point" else rows.mean().log()) / BETA


def spectral_repulsion(u: Tensor, t: Tensor, num_waves: int = 6) -> Tensor:
    """Repulsion by its lowest harmonics, O(N d waves): (N, d), (N,) -> (), about 0 for uniform points.

    The kernel's expansion in spherical harmonics of degree 0 and 1 times cosines on the interval (all mirror images,
    not three). Needs d of at least 3.
    """
    num_points, d = u.shape
    concentration = 2 * BETA * ALPHA_SQUARED["chordal"]
    # Gamma(v+1) (2/c)^v I_(l+v)(c) e^-c with v = (d-2)/2, as a hypergeometric series, which does not underflow.
    even, odd = hyp0f1(d / 2, concentration**2 / 4), hyp0f1(d / 2 + 1, concentration**2 / 4) * concentration / d
    wave = torch.arange(num_waves, device=t.device, dtype=t.dtype)
    amplitude = 2 * torch.exp(-((math.pi * wave) ** 2) / (4 * BETA))
    amplitude[0] = 1
    cosines = torch.cos(math.pi * t[:, None] * wave)
    degree_0 = cosines.mean(0).square()
    degree_1 = d * (u.T @ cosines / num_points).square().sum(0)
    return (amplitude @ (degree_0 + odd / even * degree_1)).log() / BETA
