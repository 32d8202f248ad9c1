"""Normalizing flows: invertible maps of vectors with exact inverse and log-determinant."""

from typing import cast

import torch
from torch import Tensor, nn

from lewm.errors import InputError
from lewm.models.auto_compressing import AutoCompressingNetwork
from lewm.precision import without_autocast


class AffineCoupling(nn.Module):
    """Affine coupling layer (RealNVP, arXiv 1605.08803), the identity at the start.

    y = x exp(s) + m on some dimensions; s and m are functions of the others, which stay as they are.

    Args:
      moved: indices of the dimensions that change.
      given: indices of the dimensions that stay.
      hidden_dim, num_layers: sizes of the network that computes s and m.
      max_log_scale: bound of |s|, as s = max_log_scale tanh(.).
    """

    moved: Tensor
    given: Tensor

    def __init__(self, moved: Tensor, given: Tensor, hidden_dim: int, num_layers: int, max_log_scale: float) -> None:
        super().__init__()
        self.max_log_scale = max_log_scale
        self.register_buffer("moved", moved)
        self.register_buffer("given", given)
        self.conditioner = AutoCompressingNetwork(len(given), 2 * len(moved), hidden_dim, num_layers)
        nn.init.zeros_(self.conditioner.output.weight)
        nn.init.zeros_(self.conditioner.output.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (..., dim) to (..., dim), and returns the log-determinant (...) of the Jacobian, too."""
        log_scale, shift = self._log_scale_and_shift(x)
        moved = x.index_select(-1, self.moved) * log_scale.exp() + shift
        return x.index_copy(-1, self.moved, moved), log_scale.sum(-1)

    def inverse(self, y: Tensor) -> Tensor:
        """Inverse of forward: (..., dim) -> (..., dim)."""
        log_scale, shift = self._log_scale_and_shift(y)
        moved = (y.index_select(-1, self.moved) - shift) * (-log_scale).exp()
        return y.index_copy(-1, self.moved, moved)

    def _log_scale_and_shift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = self.conditioner(x.index_select(-1, self.given)).chunk(2, dim=-1)
        return self.max_log_scale * raw.tanh(), shift


class InvertibleFlow(nn.Module):
    """Stack of affine couplings: (..., dim) -> (..., dim), for any dim from 2 on.

    Each pair of couplings splits the dimensions at random into two halves, of which the first coupling moves one and
    the second the other. Dimensions keep their places, so that the flow is exactly the identity at the start. It
    computes in float32 (float64 if given that) under autocast too: in bfloat16 the inverse would not be one.

    Args:
      dim: size of the vectors.
      num_layers: number of couplings.
      hidden_dim, conditioner_layers: sizes of the auto-compressing network of each coupling.
      max_log_scale: a coupling multiplies by at most exp(max_log_scale), at least its inverse.
      seed: seed of the splits, which are part of the state_dict.

    Raises:
      InputError: a size is too small: one dimension has no other to be moved by.
    """

    def __init__(
        self,
        dim: int,
        num_layers: int = 8,
        hidden_dim: int = 128,
        conditioner_layers: int = 2,
        max_log_scale: float = 2.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if dim < 2 or num_layers < 1:
            raise InputError(f"a flow needs at least 2 dimensions and 1 layer, not {dim} and num_layers={num_layers}")
        if not max_log_scale > 0:
            raise InputError(f"max_log_scale={max_log_scale} must be above 0")
        generator = torch.Generator().manual_seed(seed)
        couplings = []
        for layer in range(num_layers):
            if layer % 2 == 0:
                halves = torch.randperm(dim, generator=generator, device="cpu").tensor_split(2)
            moved, given = (half.sort().values for half in (halves if layer % 2 == 0 else halves[::-1]))
            couplings.append(AffineCoupling(moved, given, hidden_dim, conditioner_layers, max_log_scale))
        self.couplings = nn.ModuleList(couplings)

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) -> (..., dim)."""
        return self.forward_and_log_det(x)[0]

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (..., dim) as forward does, and returns the log-determinant (...) of the Jacobian at x, too."""
        with without_autocast(x.device.type):
            y = _at_least_float32(x)
            log_det = y.new_zeros(y.shape[:-1])
            for coupling in self.couplings:
                y, added = coupling(y)
                log_det = log_det + added
            return y, log_det

    def inverse(self, y: Tensor) -> Tensor:
        """Inverse of forward: (..., dim) -> (..., dim)."""
        with without_autocast(y.device.type):
            x = _at_least_float32(y)
            for coupling in reversed(self.couplings):
                x = cast(AffineCoupling, coupling).inverse(x)
            return x


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
