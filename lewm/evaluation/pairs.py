"""Which starts and goals are tried, and how sure a success rate is."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lewm.data.episodes import Episodes
from lewm.errors import InputError

FORMAT, VERSION = "lewm-manifest", 2

AreSolved = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]
"""(N, S) starts, (N, S) goals -> (N,) whether there is nothing to do."""


@dataclass(frozen=True)
class Manifest:
    """Start/goal pairs from held-out episodes, the same for every model.

    Attributes:
      env_id: Gymnasium id of the environment.
      dataset_hash: content hash of the dataset that the indices refer to.
      offset: env steps from start to goal.
      strict: whether pairs that are solved at the start were left out.
      seed: of the choice.
      episodes, steps: P episode indices and start steps.
    """

    env_id: str
    dataset_hash: str
    offset: int
    strict: bool
    seed: int
    episodes: list[int]
    steps: list[int]

    @classmethod
    def draw(
        cls,
        data: Episodes,
        held_out: NDArray,
        offset: int,
        num_pairs: int,
        seed: int,
        are_solved: AreSolved | None = None,
    ) -> "Manifest":
        """Draws pairs without replacement, uniformly over all starts that have a goal `offset` steps later.

        The first n pairs are those that a draw of n gives.

        Args:
          data: the dataset.
          held_out: (E,) episodes to draw from.
          offset: env steps from start to goal.
          num_pairs: P.
          seed: of the draw.
          are_solved: for a strict manifest, tells the pairs to leave out.
        """
        if offset < 1 or num_pairs < 1:
            raise InputError(f"evaluation.offset={offset} and evaluation.num_pairs={num_pairs} must be at least 1")
        drawn = cls.draw_up_to(data, held_out, offset, num_pairs, seed, are_solved)
        if len(drawn.steps) < num_pairs:
            longest = int(data.lengths[held_out].max(initial=0))
            raise InputError(
                f"evaluation.num_pairs={num_pairs}, but the held-out episodes of {data.path}, the longest of {longest}"
                f" steps, have {len(drawn.steps)} starts with a goal evaluation.offset={offset} steps later"
                f"{' that is not reached already' if are_solved else ''}: lower one of them, or collect more episodes"
            )
        return drawn

    @classmethod
    def draw_up_to(
        cls, data: Episodes, held_out: NDArray, offset: int, num_pairs: int, seed: int, are_solved: AreSolved | None
    ) -> "Manifest":
        """draw(), or what there is if that is less."""
        episodes, steps = data.index.places(held_out, room=offset)
        order = np.random.default_rng(seed).permutation(len(steps))
        episodes, steps = episodes[order], steps[order]
        if are_solved is not None:
            kept = _first_open(data, episodes, steps, offset, num_pairs, are_solved)
            episodes, steps = episodes[kept], steps[kept]
        chosen = episodes[:num_pairs].tolist(), steps[:num_pairs].tolist()
        return cls(data.metadata.env_id, data.content_hash, offset, are_solved is not None, seed, *chosen)

    def first(self, num_pairs: int) -> "Manifest":
        """The manifest of the first num_pairs pairs."""
        return Manifest(**{**asdict(self), "episodes": self.episodes[:num_pairs], "steps": self.steps[:num_pairs]})

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Reads what save() wrote."""
        try:
            described = json.loads(path.read_text())
            if (described.pop("format"), described.pop("version")) != (FORMAT, VERSION):
                raise InputError(f"{path} is not a manifest of format {FORMAT} version {VERSION}: draw it again")
            manifest = cls(**described)
            if len(manifest.episodes) != len(manifest.steps) or not manifest.steps:
                raise InputError(f"{path} has {len(manifest.episodes)} episodes and {len(manifest.steps)} steps")
            return manifest
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} is not a readable manifest ({error})") from None

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}) + "\n")


def _first_open(
    data: Episodes, episodes: NDArray, steps: NDArray, offset: int, num_pairs: int, are_solved: AreSolved
) -> NDArray[np.int64]:
    """Indices of the first num_pairs pairs, fewer if there are not so many, that are not solved at the start."""
    kept: list[NDArray[np.int64]] = []
    for begin in range(0, len(steps), num_pairs):
        frames = data.index.frame_rows(episodes[begin : begin + num_pairs], steps[begin : begin + num_pairs])
        kept.append(begin + np.flatnonzero(~are_solved(data.states[frames], data.states[frames + offset])))
        if sum(map(len, kept)) >= num_pairs:
            break
    return np.concatenate([*kept, np.zeros(0, np.int64)])[:num_pairs]


class Pairs(NamedTuple):
    """What a manifest points to.

    Attributes:
      numbers: (P,) of the pairs in their manifest.
      start_states, goal_states: (P, S).
      recorded_actions: (P, offset, a) raw actions from start to goal.
      past_states: (P, T-1, S) states before the start, one model step apart.
      past_actions: (P, T-1, K, a) raw actions that followed each of them.
    """

    numbers: NDArray[np.int64]
    start_states: NDArray[np.float64]
    goal_states: NDArray[np.float64]
    recorded_actions: NDArray[np.float32]
    past_states: NDArray[np.float64]
    past_actions: NDArray[np.float32]


def read_pairs(
    manifest: Manifest, data: Episodes, numbers: NDArray[np.int64] | None = None, num_past: int = 0, frameskip: int = 1
) -> Pairs:
    """Reads pairs from the dataset that they were drawn from.

    Args:
      manifest: the pairs.
      data: its dataset.
      numbers: (P,) those to read; None for all.
      num_past: T-1, frames before the start, which each of these pairs must have.
      frameskip: K, env steps from one frame to the next.
    """
    assert manifest.dataset_hash == data.content_hash
    numbers = np.arange(len(manifest.steps)) if numbers is None else numbers
    episodes, steps = np.array(manifest.episodes)[numbers], np.array(manifest.steps)[numbers]
    assert (steps >= num_past * frameskip).all()
    frames, actions = data.index.frame_rows(episodes, steps), data.index.action_rows(episodes, steps)
    before = frameskip * np.arange(-num_past, 0)
    past = actions[:, None, None] + before[:, None] + np.arange(frameskip)
    return Pairs(
        numbers=numbers,
        start_states=data.states[frames],
        goal_states=data.states[frames + manifest.offset],
        recorded_actions=data.actions[actions[:, None] + np.arange(manifest.offset)],
        past_states=data.states[frames[:, None] + before],
        past_actions=data.actions[past],
    )


def in_batches(
    manifest: Manifest, batch_size: int, context: int, frameskip: int
) -> list[tuple[NDArray[np.int64], int]]:
    """Cuts a manifest into batches whose pairs have equally many frames before the start, at most context - 1.

    Returns:
      For each batch the (B,) numbers of its pairs, and how many frames before their starts there are.
    """
    num_past = np.minimum(np.array(manifest.steps) // frameskip, context - 1)
    batches = []
    for num in np.unique(num_past)[::-1].tolist():
        numbers = np.flatnonzero(num_past == num)
        batches += [(numbers[i : i + batch_size], num) for i in range(0, len(numbers), batch_size)]
    return batches
