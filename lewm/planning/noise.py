"""Gaussian noise of candidates, white or coloured, from one source for each episode."""

from functools import lru_cache

import torch
from torch import Tensor

from lewm.planning.keyed_noise import KeyedNoise
from lewm.planning.protocols import Generators


def draw_normal(shape: tuple[int, ...], generator: Generators, like: Tensor) -> Tensor:
    """Standard normal noise (B, *shape); row b comes from source b alone."""
    if isinstance(generator, KeyedNoise):
        return generator.draw(shape).to(like)
    rows = [torch.randn(shape, generator=source, device=source.device) for source in generator]
    return torch.stack(rows).to(like)


def draw_coloured(num: int, generator: Generators, mean: Tensor, low: Tensor, exponent: float) -> Tensor:
    """Coloured normal noise: correlated in time, also from raw action to raw action within an action block.

    Args:
      num: N, sequences for each episode.
      generator: B sources of noise, one for each episode.
      mean: (B, H, A) whose shape, type and device the noise takes.
      low: (K, a), or (A,) for blocks of one raw action; only its shape matters.
      exponent: see `colour`.

    Returns:
      (B, N, H, A) of standard deviation 1.
    """
    _, horizon, width = mean.shape
    num_raw = low.shape[0] if low.ndim == 2 else 1
    white = draw_normal((num, width // num_raw, horizon * num_raw), generator, mean)
    noise = colour(white, exponent).unflatten(-1, (horizon, num_raw))  # (B, N, a, H, K)
    return noise.permute(0, 1, 3, 4, 2).flatten(3)


def colour(white: Tensor, exponent: float) -> Tensor:
    """Colours white noise (..., T): its power then falls as 1 / frequency^exponent (Timmer and Koenig, 1995).

    An exponent of 0 gives white, 1 pink and 2 red noise. The variance stays the same. A constant has the power of the
    lowest frequency, 1 / T, for its own would be infinite (as in iCEM, Pinneri et al. 2020, section 3.1).
    """
    if not white.numel():
        return white  # some Fourier transforms refuse no sequences
    num_steps = white.shape[-1]
    amplitude = _amplitude(num_steps, exponent, white.dtype, white.device)
    return torch.fft.irfft(torch.fft.rfft(white) * amplitude, n=num_steps)


@lru_cache(maxsize=16)
def _amplitude(num_steps: int, exponent: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Factors (T // 2 + 1,) of the frequencies."""
    with torch.inference_mode(False):
        power = torch.fft.fftfreq(num_steps, device=device).abs().clamp(min=1 / num_steps) ** -exponent
        return (power / power.mean()).sqrt()[: num_steps // 2 + 1].to(dtype)
