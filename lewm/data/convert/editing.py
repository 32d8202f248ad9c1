"""Copies episodes from one dataset to another, one at a time: convert, merge, split."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from lewm.data.clips import split_dataset
from lewm.data.convert.importers import Source
from lewm.data.convert.resizing import Resize
from lewm.data.episode_arrays import Episode
from lewm.data.episode_writer import EpisodeWriter
from lewm.data.episodes import Episodes
from lewm.errors import InputError

UNCHANGED = Resize()
MOST_CHOICES = 32
"""Whole numbers from 0 to less than this, and at least 2, look like a discrete choice; more are rather pixels."""


class Writer(Protocol):
    """Where episodes go."""

    def append(self, pixels: NDArray[np.uint8], states: NDArray[Any], actions: NDArray[Any]) -> None: ...


class NativeSource:
    """Episodes of a native dataset.

    Args:
      data: the dataset.
      episode_ids: (E,) which of them; None for all.
      resize: makes the frames.
    """

    def __init__(self, data: Episodes, episode_ids: NDArray | None = None, resize: Resize = UNCHANGED) -> None:
        self._data, self._resize = data, resize
        self.notes: list[str] = []
        self._episode_ids = np.arange(len(data)) if episode_ids is None else episode_ids
        size, collection = resize.size_of(*data.pixels.shape[1:3]), data.metadata.collection
        if size != data.metadata.frame_size:
            collection = {**collection, "resized_from": data.metadata.frame_size}
        self.metadata = replace(data.metadata, frame_size=size, collection=collection)

    def __len__(self) -> int:
        return len(self._episode_ids)

    def __iter__(self) -> Iterator[Episode]:
        data = self._data
        for number in self._episode_ids.tolist():
            episode = data[number]
            if episode.digest() != data.digests[number].tobytes():
                raise InputError(
                    f"episode {number} of {data.path} is not what was written, its digest differs: see"
                    f" `lewm data validate {data.path}`"
                )
            yield episode._replace(pixels=self._resize(episode.pixels))


class Copied(NamedTuple):
    """What copy() has written.

    Attributes:
      num_episodes: episodes.
      choices: of each action dimension that looks like a discrete choice, its index and its largest number.
    """

    num_episodes: int
    choices: dict[int, int]


def copy(source: Source, writer: Writer, progress: Progress, what: str) -> Copied:
    """Appends every episode of `source` to `writer`."""
    bar = progress.add_task(what, total=len(source), unit="episodes")
    lowest, highest, are_whole = [], [], []
    for episode in source:
        writer.append(*episode)
        lowest.append(episode.actions.min(0))
        highest.append(episode.actions.max(0))
        are_whole.append((episode.actions == np.round(episode.actions)).all(0))
        progress.advance(bar)
    if not are_whole:
        return Copied(0, {})
    low, high = np.min(lowest, 0), np.max(highest, 0)
    is_choice = np.all(are_whole, 0) & (low == 0) & (high >= 2) & (high < MOST_CHOICES)
    return Copied(len(are_whole), {i: int(high[i]) for i in np.flatnonzero(is_choice).tolist()})


def merge(paths: Sequence[Path], out: Path, progress: Progress) -> None:
    """Writes the episodes of several native datasets, one after another, as one."""
    datasets = [Episodes(path) for path in paths]
    for other in datasets[1:]:
        check_alike(datasets[0], other)
    merged = [
        {"content_hash": data.content_hash, "num_episodes": len(data), "collection": data.metadata.collection}
        for data in datasets
    ]
    metadata = replace(datasets[0].metadata, collection={"merged_from": merged})
    with EpisodeWriter(out, metadata) as writer:
        for data in datasets:
            copy(NativeSource(data), writer, progress, data.path.name)


def check_alike(first: Episodes, other: Episodes) -> None:
    """InputError unless the two can stand in one dataset."""
    told: list[tuple[str, Any, Any]] = [
        ("shape of a frame", first.pixels.shape[1:], other.pixels.shape[1:]),
        ("number of action dimensions", first.actions.shape[1], other.actions.shape[1]),
        *(
            (field, getattr(first.metadata, field), getattr(other.metadata, field))
            for field in vars(first.metadata)
            if field != "collection"
        ),
    ]
    for what, one, two in told:
        if one != two:
            raise InputError(f"{first.path} and {other.path} cannot be merged: {what} is {one} and {two}")


def split(path: Path, out_a: Path, out_b: Path, fraction: float, seed: int, progress: Progress) -> None:
    """Writes a share of the episodes, drawn at random, to `out_a` and the others to `out_b`, in their order.

    Variants of one recording stay together.
    """
    if not 0 < fraction < 1:
        raise InputError(f"--fraction {fraction} must be between 0 and 1: what share of the episodes goes to {out_a}")
    if seed < 0:
        raise InputError(f"--seed {seed} must be at least 0")
    if out_a.resolve() == out_b.resolve():
        raise InputError(f"{out_a} cannot hold both parts: give two outputs")
    data = Episodes(path)
    sides = split_dataset(data, 1 - fraction, seed)
    origin = {"content_hash": data.content_hash, "collection": data.metadata.collection}
    with ExitStack() as stack:
        writers = []
        for out, ids in zip((out_a, out_b), sides, strict=True):
            details = {**origin, "fraction": fraction, "seed": seed, "episodes": ids.tolist()}
            metadata = replace(data.metadata, collection={"split_from": details})
            writers.append(stack.enter_context(EpisodeWriter(out, metadata)))
        for writer, ids, out in zip(writers, sides, (out_a, out_b), strict=True):
            copy(NativeSource(data, ids), writer, progress, out.name)
