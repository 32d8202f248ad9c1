"""Base classes of searches over action sequences: bounds, budget and noise."""

from dataclasses import dataclass

from torch import Tensor

from lewm.errors import InputError
from lewm.planning.candidates import candidates_around
from lewm.planning.noise import draw_coloured
from lewm.planning.protocols import Generators


@dataclass(frozen=True)
class BoundedSearch:
    """Base class of planners. The fields of a planner are those of its YAML, and the bounds.

    Attributes:
      low, high: (A,) or (K, a) bounds of an action block in normalized space; candidates are clipped to them.
      num_samples: N, candidates of an iteration; the mean is one of them.
      num_iterations: iterations of the search.
      std: standard deviation of the first candidates.
    """

    low: Tensor
    high: Tensor
    num_samples: int
    num_iterations: int
    std: float

    def __post_init__(self) -> None:
        for name in ("num_samples", "num_iterations"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} must be at least 1")
        if not 0 < self.std < float("inf"):
            raise InputError(f"std={self.std} must be positive")


@dataclass(frozen=True)
class EliteSearch(BoundedSearch):
    """Base class of searches that fit a Gaussian to the cheapest candidates, the elites.

    Attributes:
      num_elites: number of elites.
      min_std: floor of the standard deviation.
    """

    num_elites: int
    min_std: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.num_elites <= self.num_samples:
            raise InputError(f"num_elites={self.num_elites} must be between 1 and num_samples={self.num_samples}")
        if not 0 <= self.min_std < float("inf"):
            raise InputError(f"min_std={self.min_std} must not be negative")


@dataclass(frozen=True)
class ColouredSearch(BoundedSearch):
    """Base class of searches whose noise is correlated in time.

    Attributes:
      noise_exponent: the power of the noise falls as 1 / frequency^noise_exponent; 0 is white.
    """

    noise_exponent: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_exponent(self.noise_exponent)

    def draw(self, mean: Tensor, std: float, generator: Generators) -> Tensor:
        """Draws N candidates around `mean`, itself included: (B, H, A) within the bounds -> (B, N, H, A)."""
        noise = draw_coloured(self.num_samples - 1, generator, mean, self.low, self.noise_exponent)
        return candidates_around(mean, std, noise, self.low, self.high)


def check_exponent(noise_exponent: float) -> None:
    """Raises InputError for exponents whose powers would overflow."""
    if not abs(noise_exponent) <= 10:
        raise InputError(f"noise_exponent={noise_exponent} must be between -10 and 10")
