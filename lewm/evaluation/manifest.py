"""Manifest: pairs of start and goal, the same for every model."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lewm.data.episodes import Episodes
from lewm.errors import InputError
from lewm.evaluation.rounds import draw_in_rounds
from lewm.files import read_versioned, write_text

FORMAT, VERSION = "lewm-manifest", 3

AreSolved = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]
"""(N, S) starts, (N, S) goals -> (N,) whether each pair is solved at the start."""


@dataclass(frozen=True)
class Manifest:
    """Pairs of start and goal from recorded episodes.

    Attributes:
      env_id: Gymnasium id of the environment.
      dataset_hash: content hash of the dataset that the indices refer to.
      offset: env steps from start to goal.
      strict: whether pairs that are solved at the start were left out.
      seed: seed of the draw.
      episodes, steps: P episode indices and start steps.
      file: where the pairs were read from; None if they were drawn. It makes no difference between manifests.
    """

    env_id: str
    dataset_hash: str
    offset: int
    strict: bool
    seed: int
    episodes: list[int]
    steps: list[int]
    file: Path | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def hash(self) -> str:
        """SHA-256 of the pairs and their dataset, as hex digits: equal hashes, equal tasks."""
        pairs = [self.env_id, self.dataset_hash, self.offset, self.episodes, self.steps]
        return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()

    @classmethod
    def draw(
        cls,
        data: Episodes,
        episode_ids: NDArray[np.int64],
        offset: int,
        num_pairs: int,
        seed: int,
        are_solved: AreSolved | None = None,
    ) -> "Manifest":
        """Draws pairs without replacement, in rounds: a random start of each episode, then another one of each.

        As long as there are enough episodes, no two pairs are of the same one. The first n pairs are those that a draw
        of n gives.

        Args:
          data: the dataset.
          episode_ids: (E,) episodes to draw from.
          offset: env steps from start to goal.
          num_pairs: P.
          seed: seed of the draw.
          are_solved: for a strict manifest, tells the pairs to leave out.

        Raises:
          InputError: there are fewer pairs.
        """
        if offset < 1 or num_pairs < 1:
            raise InputError(f"evaluation.offset={offset} and evaluation.num_pairs={num_pairs} must be at least 1")
        drawn = cls.draw_up_to(data, episode_ids, offset, num_pairs, seed, are_solved)
        if len(drawn) < num_pairs:
            longest = int(data.lengths[episode_ids].max(initial=0))
            open_only = " that is not reached already" if are_solved else ""
            raise InputError(
                f"evaluation.num_pairs={num_pairs}, but the {len(episode_ids)} episodes for evaluation of {data.path},"
                f" the longest of {longest} steps, have {len(drawn)} starts with a goal evaluation.offset={offset}"
                f" steps later{open_only}: lower one of them, or collect more episodes"
            )
        return drawn

    @classmethod
    def draw_up_to(
        cls,
        data: Episodes,
        episode_ids: NDArray[np.int64],
        offset: int,
        num_pairs: int,
        seed: int,
        are_solved: AreSolved | None,
    ) -> "Manifest":
        """Draws pairs as draw() does, or all there are if that is fewer."""
        episodes, steps = data.index.places(episode_ids, room=offset)
        frames = data.index.frame_rows(episodes, steps)

        def are_open(places: NDArray[np.int64]) -> NDArray[np.bool_]:
            assert are_solved is not None
            return ~are_solved(data.states[frames[places]], data.states[frames[places] + offset])

        strict, rng = are_solved is not None, np.random.default_rng(seed)
        drawn = draw_in_rounds(episodes, num_pairs, rng, are_open if strict else None)
        chosen = episodes[drawn].tolist(), steps[drawn].tolist()
        return cls(data.metadata.env_id, data.content_hash, offset, strict, seed, *chosen)

    def first(self, num_pairs: int) -> "Manifest":
        """The manifest of the first num_pairs pairs."""
        shorter = {"episodes": self.episodes[:num_pairs], "steps": self.steps[:num_pairs]}
        return Manifest(**{**asdict(self), **shorter})

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Reads what save() wrote. InputError: it is no manifest, or damaged."""
        described = read_versioned(path, "a manifest", FORMAT, VERSION, "draw it again")
        values = {key: value for key, value in described.items() if key not in ("format", "version", "hash")}
        _check_fields(path, values)
        manifest = cls(**values, file=path)
        if described.get("hash") != manifest.hash:
            raise InputError(f"{path} is not what its hash was written for: draw it again, or get the file again")
        return manifest

    def save(self, path: Path) -> None:
        """Writes the manifest as JSON, whole or not at all."""
        values = {key: value for key, value in asdict(self).items() if key != "file"}
        write_text(path, json.dumps({"format": FORMAT, "version": VERSION, **values, "hash": self.hash}) + "\n")


def _check_fields(path: Path, values: dict[str, Any]) -> None:
    """InputError, one line, unless the values are those of a manifest's fields."""
    wanted: dict[str, Callable[[Any], bool]] = {
        "env_id": lambda value: isinstance(value, str),
        "dataset_hash": lambda value: isinstance(value, str),
        "offset": lambda value: _is_whole(value) and value >= 1,
        "strict": lambda value: isinstance(value, bool),
        "seed": _is_whole,
        "episodes": _are_whole,
        "steps": _are_whole,
    }
    if values.keys() != wanted.keys():
        unlike = sorted(values.keys() ^ wanted.keys())
        raise InputError(f"{path} has not the fields of a manifest: {', '.join(unlike)} lacking or unknown")
    for key, is_valid in wanted.items():
        if not is_valid(values[key]):
            shown = str(values[key])[:40]
            raise InputError(f"{path}: {key}={shown} is no value of a manifest: draw it again")
    pairs = list(zip(values["episodes"], values["steps"], strict=False))
    if not pairs or len(values["episodes"]) != len(values["steps"]) or len(set(pairs)) < len(pairs):
        raise InputError(
            f"{path} has {len(values['episodes'])} episodes and {len(values['steps'])} steps, {len(set(pairs))}"
            " different pairs: they must be equally many, and no pair twice"
        )


def _is_whole(value: Any) -> bool:
    """Whether a value is a whole number that is not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_whole(values: Any) -> bool:
    return isinstance(values, list) and all(map(_is_whole, values))
