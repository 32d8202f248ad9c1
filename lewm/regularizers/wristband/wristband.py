"""Wristband: a z-score of directions on the sphere and radii against N(0, I) (Parakhin, 2026)."""

from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from lewm.distributed import gather_over_ranks, num_ranks, one_thread
from lewm.errors import InputError
from lewm.regularizers.regularizer import Regularizer
from lewm.regularizers.wristband.gaussian_moments import MOMENTS, NEED_EIGENVALUES
from lewm.regularizers.wristband.terms import (
    ALPHA_SQUARED,
    angular_loss,
    on_the_wristband,
    pairwise_repulsion,
    radial_loss,
    spectral_repulsion,
)

Number = TypeVar("Number", Tensor, float)

REPULSIONS = ("per_point", "global", "spectral")


class Components(NamedTuple, Generic[Number]):
    """The four terms of the loss, each () or a number."""

    repulsion: Number
    radial: Number
    angular: Number
    moment: Number


class Calibration(NamedTuple):
    """Distribution of the terms under N(0, I) at one (N, d).

    Attributes:
      mean, std: mean and standard deviation of each term.
      total_std: standard deviation of the weighted sum of the z-scores.
    """

    mean: Components[float]
    std: Components[float]
    total_std: float


class Wristband(Regularizer):
    """Null standard deviations between a batch and batches of N(0, I) of the same size.

    The value is a z-score: 0 is indistinguishable from N(0, I), k is k standard deviations of true Gaussian batches
    away, negative is more regular than chance. It grows in proportion to the batch size N, as test statistics do: the
    same embeddings in a larger batch are more surely not Gaussian. Each term is standardized by its mean and standard
    deviation over true Gaussian batches of this (N, d), and the weighted sum by its own.

    Far off scale, where float32 probabilities of radii are 0 or 1 and have no gradient, the radial term still has one:
    its second half compares normal deviates, which are computed in float64 from both tails, and by a saddlepoint
    approximation beyond.

    The calibration is a function of (N, d) alone, drawn once (some seconds at (512, 192), one core), the same on every
    rank, kept in the state dict, and drawn anew for another (N, d).

    Args:
      repulsion: per_point and global compare all pairs; spectral, in O(N), their lowest harmonics, for d of at least 3.
      metric: distance on the sphere, chordal or geodesic; spectral is chordal.
      moment: mean and covariance by w2, mu_only, kl_diag, kl_full, jeff_diag or jeff_full.
      repulsion_weight, radial_weight, angular_weight, moment_weight: weights of the terms' z-scores.
    """

    def __init__(
        self,
        repulsion: str = "per_point",
        metric: str = "chordal",
        moment: str = "w2",
        repulsion_weight: float = 1.0,
        radial_weight: float = 0.1,
        angular_weight: float = 0.0,
        moment_weight: float = 1.0,
    ) -> None:
        super().__init__()
        for key, value, known in (
            ("repulsion", repulsion, REPULSIONS),
            ("metric", metric, ALPHA_SQUARED),
            ("moment", moment, MOMENTS),
        ):
            if value not in known:
                raise InputError(f"{key}={value!r}; there are {', '.join(known)}")
        if repulsion == "spectral" and metric != "chordal":
            raise InputError(f"metric={metric!r}: spectral repulsion is that of the chordal kernel")
        self.repulsion, self.metric, self.moment = repulsion, metric, moment
        self.recordable = moment not in NEED_EIGENVALUES
        self.weights = (repulsion_weight, radial_weight, angular_weight, moment_weight)
        if min(self.weights) < 0 or max(self.weights) == 0:
            raise InputError(f"weights {self.weights} must be at least 0, and one of them more")
        self._calibrations: dict[tuple[int, int], Calibration] = {}

    def loss(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """Z-score over the samples of all ranks, averaged over time steps: (B, T, D) float32 -> ()."""
        z = gather_over_ranks(z)
        calibration = self.calibration(len(z), z.shape[-1], z.device)
        return torch.stack([self.z_score(x, calibration) for x in z.unbind(1)]).mean()

    def statistic(self, value: float, num_samples: int) -> float:
        return value

    def components(self, x: Tensor) -> Components[Tensor]:
        """Terms of (N, d) samples before calibration, in the precision of x. An angular term of weight 0 is 0."""
        if self.repulsion == "spectral" and x.shape[1] < 3:
            raise InputError(f"spectral repulsion needs at least 3 dimensions, not {x.shape[1]}: repulsion=per_point")
        zero = x.new_zeros(())
        moment = MOMENTS[self.moment](x)
        if x.shape[1] == 1:
            line = x[:, 0]
            return Components(radial_loss(torch.special.ndtr(line), line), zero, zero, moment)
        u, t, w = on_the_wristband(x)
        if self.repulsion == "spectral":
            repulsion = spectral_repulsion(u, t)
        else:
            repulsion = pairwise_repulsion(u, t, self.metric, self.repulsion)
        angular = angular_loss(u, self.metric, self.repulsion) if self.weights[2] else zero
        return Components(repulsion, radial_loss(t, w), angular, moment)

    def z_score(self, x: Tensor, calibration: Calibration) -> Tensor:
        """Distance of (N, d) samples from N(0, I) in null standard deviations, ()."""
        scale, expected = _standardization(self.weights, calibration, x.dtype, x.device)
        return torch.stack(self.components(x)) @ scale - expected

    def calibration(self, num_samples: int, dim: int, device: torch.device) -> Calibration:
        """Calibration at (N, d), drawn at the first call, on every rank at once."""
        key = (num_samples, dim)
        if key not in self._calibrations:
            calibration = self.draw_calibration(num_samples, dim)
            if num_ranks() > 1:  # equal seeds, but machines may round differently
                numbers = torch.tensor(_as_numbers(calibration), dtype=torch.float64, device=device)
                dist.broadcast(numbers, 0)
                calibration = _as_calibration(numbers.tolist())
            self._calibrations[key] = calibration
        return self._calibrations[key]

    @torch.no_grad()
    @one_thread()
    def draw_calibration(self, num_samples: int, dim: int) -> Calibration:
        """Draws the calibration at (N, d): always the same, without communication between ranks."""
        generator = torch.Generator().manual_seed(0)
        rows = []
        for _ in range(num_draws(num_samples, dim)):
            x = torch.randn(num_samples, dim, generator=generator)
            rows.append(torch.stack(self.components(x)).double())
        draws = torch.stack(rows)
        mean, std = draws.mean(0), draws.std(0)
        z_scores = torch.where(std > 0, (draws - mean) / std, 0.0)
        total_std = (z_scores @ torch.tensor(self.weights, dtype=torch.float64)).std()
        return _as_calibration(torch.cat([mean, std, total_std[None]]).tolist())

    def get_extra_state(self) -> Tensor:
        """Calibrations as a (calibrations, 11) float64 tensor, so that a checkpoint holds them."""
        rows = [[*key, *_as_numbers(calibration)] for key, calibration in self._calibrations.items()]
        return torch.tensor(rows, dtype=torch.float64).reshape(-1, 11)

    def set_extra_state(self, state: Tensor) -> None:
        self._calibrations = {(int(row[0]), int(row[1])): _as_calibration(row[2:]) for row in state.tolist()}


@lru_cache(maxsize=16)
def _standardization(
    weights: tuple[float, ...], calibration: Calibration, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, float]:
    """Factors (4,) of the terms in the z-score, and the expected weighted sum under N(0, I)."""
    # a term that does not exist here, such as the radial one at d = 1, has no spread
    scale = [
        weight / (std * calibration.total_std) if std else 0.0
        for weight, std in zip(weights, calibration.std, strict=True)
    ]
    expected = sum(factor * mean for factor, mean in zip(scale, calibration.mean, strict=True))
    with torch.inference_mode(False):
        return torch.tensor(scale, dtype=dtype, device=device), expected


def _as_numbers(calibration: Calibration) -> list[float]:
    return [*calibration.mean, *calibration.std, calibration.total_std]


def _as_calibration(numbers: list[float]) -> Calibration:
    return Calibration(Components(*numbers[:4]), Components(*numbers[4:8]), numbers[8])


def num_draws(num_samples: int, dim: int) -> int:
    """Number of Gaussian batches in a calibration: as many as a second or two allow, at least 256, at most 1,000."""
    operations = num_samples**2 * (dim / 8 + 16) + 25 * min(num_samples, dim) ** 3 + num_samples * dim * 20
    return int(min(max(6e9 / operations, 256), 1000))
