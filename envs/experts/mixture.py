"""Several experts, one of them drawn for each episode."""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import ArgumentError
from envs.experts.expert import Expert
from envs.goal_env import State


@dataclass(frozen=True)
class Mixture(Expert):
    """Plays each episode with one of its parts, drawn with their weights when the episode begins.

    Attributes:
      parts: {weight: of any positive scale, expert: {name: of EXPERTS, **its arguments}} each.
    """

    parts: list[dict[str, Any]]
    _experts: list[Expert] = field(init=False, repr=False, compare=False)
    _probabilities: NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.parts, list) or not self.parts:
            raise ArgumentError(f"parts={self.parts!r} must be a list of {{weight: ..., expert: {{name: ...}}}}")
        for part in self.parts:
            if not isinstance(part, Mapping) or set(part) != {"weight", "expert"}:
                raise ArgumentError(f"a part is {part!r}; it must have a weight and an expert, and nothing else")
            weight = part["weight"]
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < np.inf:
                raise ArgumentError(f"weight={weight!r} of {part['expert']} must be a positive number")
        weights = np.array([part["weight"] for part in self.parts], np.float64)
        object.__setattr__(self, "_experts", [_build(part["expert"]) for part in self.parts])
        object.__setattr__(self, "_probabilities", weights / weights.sum())

    def begin(self, env: Any, rng: np.random.Generator) -> Expert:  # type: ignore[override]  # another expert
        """The expert drawn for the episode of `env`, begun."""
        return self._experts[rng.choice(len(self._experts), p=self._probabilities)].begin(env, rng)

    def begin_batch(self, num_envs: int, rng: np.random.Generator) -> Expert:
        """One expert for each of num_envs episodes side by side, for their whole length."""
        drawn = rng.choice(len(self._experts), num_envs, p=self._probabilities)
        begun = [
            expert.begin_batch(num_envs, rng) if isinstance(expert, Mixture) else expert for expert in self._experts
        ]
        return _SideBySide(begun, drawn)

    def __call__(
        self, state: State, goal_state: State, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        raise TypeError("a mixture does not act itself: call begin() or begin_batch() and use what it returns")


class _SideBySide(Expert):
    """Episode i of N is played by experts[drawn[i]]; each is asked about all N."""

    def __init__(self, experts: Sequence[Expert], drawn: NDArray[np.int64]) -> None:
        self._experts, self._drawn = experts, drawn

    def __call__(
        self, state: State, goal_state: State, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        actions = np.stack([expert(state, goal_state, previous_action, rng) for expert in self._experts])
        chosen: NDArray[np.float32] = actions[self._drawn, np.arange(len(state))]
        return chosen


def _build(component: Any) -> Expert:
    from envs.experts import EXPERTS  # here, because it holds Mixture

    if not isinstance(component, Mapping) or "name" not in component:
        raise ArgumentError(f"expert={component!r} must be {{name: ..., **arguments}}")
    name = component["name"]
    if name not in EXPERTS:
        close = difflib.get_close_matches(str(name), EXPERTS, n=1) or sorted(EXPERTS)
        raise ArgumentError(f"no expert {name!r}; did you mean {' or '.join(close)}?")
    if hasattr(EXPERTS[name], "replay"):
        raise ArgumentError(
            f"expert {name} plays recordings again, by the number of an episode: it is no part of a mixture"
        )
    arguments = {key: value for key, value in component.items() if key != "name"}
    try:
        inspect.signature(EXPERTS[name]).bind(**arguments)
    except TypeError as error:  # an argument too many, or one that is missing
        raise ArgumentError(f"expert {name}: {error}") from error
    try:
        expert: Expert = EXPERTS[name](**arguments)
    except ArgumentError as error:
        raise ArgumentError(f"expert {name}: {error}") from error
    return expert
