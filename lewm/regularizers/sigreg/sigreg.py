"""SIGReg: sketched isotropic Gaussian regularization (LeJEPA; LeWM)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lewm.distributed import mean_over_ranks
from lewm.errors import InputError
from lewm.regularizers.regularizer import Regularizer
from lewm.regularizers.sigreg.characteristic_function import characteristic_function


class SIGReg(Regularizer):
    """Sketched isotropic Gaussian regularization.

    For each random unit direction, the squared distance between the empirical characteristic function of the projected
    samples and exp(-t^2/2), weighted by exp(-t^2/2) and integrated by the trapezoidal rule; then the mean over
    directions and time steps. There is no factor N: a weight means the same at any batch size.
    value x N is about 1.06 for true Gaussian samples and the default knots.

    Args:
      num_directions: random directions drawn anew at each call.
      num_knots: equally spaced knots on [min_knot, max_knot].
      max_knot: upper end of the knots.
      min_knot: lower end of the knots. With 0 the integral is that over [-max_knot, max_knot], whose halves are equal;
        else it is that over [min_knot, max_knot], once.
    """

    root_weight: Tensor
    target: Tensor

    def __init__(
        self, num_directions: int = 1024, num_knots: int = 17, max_knot: float = 3.0, min_knot: float = 0.0
    ) -> None:
        super().__init__()
        if num_directions < 1 or num_knots < 2 or not 0 <= min_knot < max_knot:
            raise InputError(
                f"num_directions={num_directions} must be at least 1, num_knots={num_knots} at least 2,"
                f" min_knot={min_knot} at least 0 and below max_knot={max_knot}"
            )
        self.num_directions, self.min_knot = num_directions, min_knot
        self.spacing = (max_knot - min_knot) / (num_knots - 1)
        knots = torch.linspace(min_knot, max_knot, num_knots, dtype=torch.float64)
        weight = torch.full_like(knots, self.spacing)  # the trapezoidal rule
        weight[[0, -1]] /= 2
        if min_knot == 0:
            # Twice, for the negative half of the axis. At 0 itself both functions are 1.
            knots, weight = knots[1:], 2 * weight[1:]
        gaussian = torch.exp(-knots.square() / 2)
        # The integral as a mean over the 2 K real and imaginary parts: squares of root_weight x difference.
        root_weight = (2 * len(knots) * weight * gaussian).sqrt()
        target = torch.stack([root_weight * gaussian, torch.zeros_like(knots)])
        self.register_buffer("root_weight", root_weight[:, None].float(), persistent=False)
        self.register_buffer("target", target[..., None].float(), persistent=False)

    def loss(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """Statistic over the samples of all ranks, averaged over time steps: (B, T, D) float32 -> ()."""
        directions = torch.randn(z.shape[-1], self.num_directions, generator=generator, device=generator.device)
        directions = (directions / directions.norm(dim=0)).to(z)
        # (T x M, B): a row for each time step and direction
        projections = torch.bmm(directions.T.expand(z.shape[1], -1, -1), z.permute(1, 2, 0)).flatten(0, 1)
        values = characteristic_function(projections, self.min_knot, self.spacing, len(self.root_weight))
        values = self.root_weight * mean_over_ranks(values)
        return F.mse_loss(values, self.target.expand_as(values))
