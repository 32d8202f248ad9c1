"""Target distributions of embeddings, with independent dimensions."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lewm.config import Component, build
from lewm.errors import InputError


class Prior(Protocol):
    """A distribution to sample from: a frozen dataclass whose fields are its parameters."""

    def sample(self, num_samples: int, dim: int, generator: torch.Generator) -> Tensor:
        """Draws (N, dim) float32 samples on the generator's device."""
        ...


@dataclass(frozen=True)
class Normal:
    """Normal distribution N(mean, std^2); by default the standard normal."""

    mean: float = 0.0
    std: float = 1.0

    def sample(self, num_samples: int, dim: int, generator: torch.Generator) -> Tensor:
        return self.mean + self.std * torch.randn(num_samples, dim, generator=generator, device=generator.device)


@dataclass(frozen=True)
class Uniform:
    """Uniform distribution on [low, high]; by default with mean 0 and variance 1."""

    low: float = -math.sqrt(3)
    high: float = math.sqrt(3)

    def sample(self, num_samples: int, dim: int, generator: torch.Generator) -> Tensor:
        uniform = torch.rand(num_samples, dim, generator=generator, device=generator.device)
        return self.low + (self.high - self.low) * uniform


@dataclass(frozen=True)
class Laplace:
    """Laplace distribution with density exp(-|x - mean| / scale) / (2 scale); by default with variance 1."""

    mean: float = 0.0
    scale: float = math.sqrt(0.5)

    def sample(self, num_samples: int, dim: int, generator: torch.Generator) -> Tensor:
        uniform = torch.rand(num_samples, dim, generator=generator, device=generator.device) - 0.5
        magnitude = torch.log1p(-2 * uniform.abs().clamp(max=0.5 - 2**-25))
        return self.mean - self.scale * uniform.sign() * magnitude


@dataclass(frozen=True)
class Mixture:
    """Mixture distribution: a component is drawn for each sample and dimension.

    Attributes:
      components: {name, **arguments} of each mixed prior.
      weights: probabilities of the components, up to a factor; equal if None.
    """

    components: list[Component]
    weights: list[float] | None = None

    def __post_init__(self) -> None:
        weights = self.weights or [1.0] * len(self.components)
        if not self.components or len(weights) != len(self.components) or min(weights) < 0 or sum(weights) <= 0:
            raise InputError(f"a mixture needs components and a weight for each, not weights={self.weights}")
        for component in self.components:
            build_prior(component)

    def sample(self, num_samples: int, dim: int, generator: torch.Generator) -> Tensor:
        weights = torch.tensor(self.weights or [1.0] * len(self.components), device=generator.device)
        chosen = torch.multinomial(weights, num_samples * dim, replacement=True, generator=generator)
        draws = [build_prior(component).sample(num_samples, dim, generator) for component in self.components]
        return torch.stack(draws).flatten(1).gather(0, chosen[None])[0].unflatten(0, (num_samples, dim))


@dataclass(frozen=True)
class Blocks:
    """Different priors for consecutive blocks of dimensions.

    Attributes:
      blocks: {name, dim, **arguments} each; the dims add up to the embedding's.
    """

    blocks: list[Component]

    def __post_init__(self) -> None:
        for block in self.blocks:
            if not isinstance(block.get("dim"), int) or block["dim"] < 1:
                raise InputError(f"each block needs a dim of at least 1: {block}")
            build_prior(_without_dim(block))

    def sample(self, num_samples: int, dim: int, generator: torch.Generator) -> Tensor:
        total = sum(block["dim"] for block in self.blocks)
        if total != dim:
            raise InputError(f"the blocks of the prior have {total} dimensions, the embeddings {dim}")
        return torch.cat(
            [build_prior(_without_dim(block)).sample(num_samples, block["dim"], generator) for block in self.blocks], 1
        )


PRIORS: dict[str, type[Prior]] = {
    "normal": Normal,
    "uniform": Uniform,
    "laplace": Laplace,
    "mixture": Mixture,
    "blocks": Blocks,
}


def build_prior(component: Component) -> Prior:
    """Builds the prior described by {name, **arguments}."""
    prior: Prior = build(PRIORS, component, "prior")
    return prior


def _without_dim(block: Component) -> Component:
    return {key: value for key, value in block.items() if key != "dim"}
