"""Sources of episodes: those that are variants of one recording stay on one side of every split."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def describe_sources(num_sources: int, digest: str) -> dict[str, Any]:
    """Entry of Metadata.collection for episodes of which number n is a variant of recording n % num_sources.

    Args:
      num_sources: number of recordings.
      digest: hex digest of the recordings; equal ones are the same recordings.
    """
    return {"sources": {"num_sources": num_sources, "digest": digest}}


def sources_of(collection: dict[str, Any], num_episodes: int) -> NDArray[np.int64]:
    """(E,) the source of each episode, numbered from 0; an episode that is no variant is a source of its own.

    Args:
      collection: Metadata.collection of the dataset, which knows what it was collected, merged or split from.
      num_episodes: E.
    """
    numbers: dict[Any, int] = {}
    named = [numbers.setdefault(name, len(numbers)) for name in _names(collection, num_episodes, place=())]
    return np.array(named, np.int64)


def _names(collection: dict[str, Any], num_episodes: int, place: tuple[int, ...]) -> list[Any]:
    """A name of the source of each episode; `place` tells apart what different parts of a merged dataset hold."""
    if "split_from" in collection:
        origin, chosen = collection["split_from"], collection["split_from"]["episodes"]
        whole = _names(origin["collection"], max(chosen) + 1, place)
        return [whole[number] for number in chosen]
    if "merged_from" in collection:
        names: list[Any] = []
        for i, part in enumerate(collection["merged_from"]):
            rest = num_episodes - len(names)
            names += _names(part["collection"], part.get("num_episodes", rest), (*place, i))
        return names[:num_episodes]
    if "sources" in collection:
        num_sources, digest = collection["sources"]["num_sources"], collection["sources"]["digest"]
        return [(digest, number % num_sources) for number in range(num_episodes)]
    return [(place, number) for number in range(num_episodes)]
