"""Which starts and goals are tried, and how sure a success rate is."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lewm.data.episodes import Episodes
from lewm.errors import InputError

VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """Start/goal pairs from held-out episodes, the same for every model.

    Attributes:
      dataset_hash: content hash of the dataset that the indices refer to.
      offset: env steps from start to goal.
      seed: of the choice.
      episodes, steps: P episode indices and start steps.
    """

    dataset_hash: str
    offset: int
    seed: int
    episodes: list[int]
    steps: list[int]
    version: int = VERSION

    @classmethod
    def draw(cls, data: Episodes, held_out: NDArray, offset: int, num_pairs: int, seed: int) -> "Manifest":
        """Draws pairs without replacement, uniformly over all starts that have a goal `offset` steps later."""
        if offset < 1 or num_pairs < 1:
            raise InputError(f"evaluation.offset={offset} and evaluation.num_pairs={num_pairs} must be at least 1")
        counts = np.maximum(data.lengths[held_out] - offset + 1, 0)
        total = int(counts.sum())
        if total < num_pairs:
            raise InputError(
                f"evaluation.num_pairs={num_pairs}, but the held-out episodes have {total} starts with a goal"
                f" evaluation.offset={offset} steps later: lower one of them, or collect more episodes"
            )
        chosen = np.sort(np.random.default_rng(seed).choice(total, num_pairs, replace=False))
        ends = np.cumsum(counts)
        owner = np.searchsorted(ends, chosen, side="right")
        steps = chosen - (ends - counts)[owner]
        return cls(data.content_hash, offset, seed, held_out[owner].tolist(), steps.tolist())

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)) + "\n")


class Pairs(NamedTuple):
    """What a manifest points to: (P, S) states at start and goal, (P, offset, a) recorded raw actions between them."""

    start_states: NDArray[np.float64]
    goal_states: NDArray[np.float64]
    recorded_actions: NDArray[np.float32]


def read_pairs(manifest: Manifest, data: Episodes) -> Pairs:
    """The pairs' states and recorded actions."""
    assert manifest.dataset_hash == data.content_hash
    steps = np.array(manifest.steps)
    frames = data.frame_offsets[manifest.episodes] + steps
    actions = data.action_offsets[manifest.episodes] + steps
    return Pairs(
        data.states[frames],
        data.states[frames + manifest.offset],
        data.actions[actions[:, None] + np.arange(manifest.offset)],
    )


class Rate(NamedTuple):
    """A share of successes with its 95% interval (Wilson, 1927), all between 0 and 1."""

    successes: int
    trials: int
    rate: float
    low: float
    high: float


def wilson(successes: int, trials: int) -> Rate:
    """The success rate of `trials` attempts; nan without any."""
    if trials == 0:
        return Rate(0, 0, math.nan, math.nan, math.nan)
    z = 1.959963984540054
    rate = successes / trials
    centre = (rate + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * math.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    return Rate(successes, trials, rate, max(centre - half, 0.0), min(centre + half, 1.0))
