"""Validation of datasets, also of those so broken that Episodes refuses to open them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from lewm.data.array_files import ARRAYS, ArrayFile, read_array_file
from lewm.data.episode_arrays import EpisodeArrays
from lewm.data.episode_index import EpisodeIndex
from lewm.data.episodes import content_hash, misfits
from lewm.data.inspect.replay import replay_faults
from lewm.data.metadata import Description, read_description
from lewm.errors import InputError

KINDS = ("file", "length", "bytes", "action", "bounds", "constant", "state", "frames", "replay")


class Fault(NamedTuple):
    """Fault of a dataset: its kind, of KINDS, and a line that names the episode and the row where there is one."""

    kind: str
    message: str


class Report(NamedTuple):
    """Faults of a dataset, and notes on what could not be looked at."""

    faults: list[Fault]
    notes: list[str]


def find_faults(path: Path, num_replays: int, progress: Progress) -> Report:
    """Finds everything that is wrong with a dataset.

    Args:
      path: folder of the dataset.
      num_replays: episodes whose actions are played again in the environment, where it can be made.
      progress: draws bars.
    """
    if not path.is_dir():
        raise InputError(f"no dataset at {path}: give the folder that metadata.json is in")
    faults: list[Fault] = []
    notes: list[str] = []
    described: Description | None = None
    try:
        described = read_description(path)
    except InputError as error:
        faults.append(Fault("file", str(error)))
    stored = {name: read_array_file(path / f"{name}.npy") for name in ARRAYS}
    faults += [Fault("file", problem) for one in stored.values() for problem in one.problems]
    arrays, problems = whole_episodes(stored)
    faults += [Fault("length", problem) for problem in [*problems, *wrong_counts(described, stored)]]
    if arrays is None:
        notes.append("the arrays cannot be told apart into episodes: nothing in them was looked at")
        return Report(faults, notes)
    metadata = described.metadata if described else None
    if metadata:
        faults += [Fault("file", problem) for problem in misfits(arrays, metadata)]
    written_hash, digests = described.content_hash if described else None, stored["digests"].rows
    faults += [Fault("bytes", problem) for problem in changed_bytes(arrays, digests, written_hash, progress)]
    bounds = (np.array(metadata.action_low), np.array(metadata.action_high)) if metadata else None
    if bounds and bounds[0].shape != arrays.actions.shape[1:]:
        bounds = None
    faults += content_faults(arrays, bounds, progress)
    if metadata and num_replays > 0:
        problems, note = replay_faults(arrays, metadata, num_replays, progress)
        faults += [Fault("replay", problem) for problem in problems]
        notes += [note] if note else []
    return Report(faults, notes)


def whole_episodes(stored: dict[str, ArrayFile]) -> tuple[EpisodeArrays | None, list[str]]:
    """Cuts the arrays into the episodes that lie wholly in them; None if they cannot be cut. Lists what is missing."""
    pixels, states, actions, lengths, _ = (stored[name].rows for name in ARRAYS)
    if pixels is None or states is None or actions is None or lengths is None:
        return None, []
    problems = [f"episode {i} has {lengths[i]} actions: at least 1" for i in np.flatnonzero(lengths < 1)]
    if problems:
        return None, problems
    index = EpisodeIndex(lengths)
    for name, array in zip(ARRAYS, (pixels, states, actions), strict=False):
        total = index.num_actions if name == "actions" else index.num_frames
        if len(array) < total:
            if name == "actions":
                first = index.num_whole(index.num_frames, len(array))
                row = len(array) - index.actions(first).start
            else:
                first = index.num_whole(len(array))
                row = len(array) - index.frames(first).start
            problems.append(
                f"{name}.npy ends in row {row} of episode {first}: {len(array)} rows, and the lengths say {total}"
            )
        elif len(array) > total:
            problems.append(
                f"{name}.npy has {len(array)} rows, and the lengths say {total}: episodes may end elsewhere"
            )
    if len(lengths) == 0:
        problems.append("lengths.npy is empty: there are no episodes")
    whole = index.subset(np.arange(index.num_whole(min(len(pixels), len(states)), len(actions))))
    return (EpisodeArrays(pixels, states, actions, whole) if len(whole) else None), problems


def wrong_counts(described: Description | None, stored: dict[str, ArrayFile]) -> Iterator[str]:
    """Lists where digests and metadata.json count other episodes and frames than there are."""
    lengths, digests = stored["lengths"].rows, stored["digests"].rows
    if lengths is None:
        return
    if digests is not None and len(digests) != len(lengths):
        yield f"there are {len(digests)} digests and {len(lengths)} episodes"
    counts = {"num_episodes": len(lengths), "num_frames": EpisodeIndex(lengths).num_frames}
    for name, count in counts.items() if described else ():
        if getattr(described, name) != count:
            yield f"metadata.json: {name} is {getattr(described, name)}, and by the lengths there are {count}"


def changed_bytes(
    arrays: EpisodeArrays, digests: NDArray[np.uint8] | None, written_hash: str | None, progress: Progress
) -> Iterator[str]:
    """Lists episodes that are not what was written, by their digests; and digests that are not, by their hash."""
    if digests is None:
        return
    if digests.shape[1] != 32:
        yield f"digests.npy has {digests.shape[1]} bytes for an episode, and 32 are expected"
        return
    if written_hash is not None and content_hash(digests) != written_hash:
        yield f"digests.npy has not the content hash {written_hash[:12]}… that is in metadata.json"
    both = np.arange(min(len(arrays), len(digests)))
    bar = progress.add_task("hashing", total=len(both), unit="episodes")
    hashed = replace(arrays, index=arrays.index.subset(both))
    for episode, intact in enumerate(hashed.have_digests(digests)):
        if not intact:
            yield f"the bytes of episode {episode} are not those that were written: its digest differs"
        progress.advance(bar)


def content_faults(
    arrays: EpisodeArrays, bounds: tuple[NDArray[Any], NDArray[Any]] | None, progress: Progress
) -> Iterator[Fault]:
    """Lists what is wrong in the rows, episode by episode; (a,) lowest and (a,) highest actions are the bounds."""
    bar = progress.add_task("looking at episodes", total=len(arrays), unit="episodes")
    smallest, largest = np.full(arrays.actions.shape[1], np.inf), np.full(arrays.actions.shape[1], -np.inf)
    for episode, (pixels, states, actions) in enumerate(arrays):
        finite = np.isfinite(actions)
        if not finite.all():
            yield Fault("action", _first(actions, ~finite, "action", episode))
        if bounds:
            low, high = bounds
            slack = 1e-6 * np.maximum(high - low, np.maximum(np.abs(low), np.abs(high)))  # in any unit
            outside = (actions < low - slack) | (actions > high + slack)
            if outside.any():
                dim = np.argwhere(outside)[0, 1]
                where = _first(actions, outside, "action", episode)
                yield Fault("bounds", f"{where}; the environment takes {low[dim]:g} to {high[dim]:g}")
        smallest = np.fmin(smallest, np.where(finite, actions, np.inf).min(0))
        largest = np.fmax(largest, np.where(finite, actions, -np.inf).max(0))
        if not (finite := np.isfinite(states)).all():
            yield Fault("state", _first(states, ~finite, "state", episode))
        if _frozen(pixels):
            yield Fault(
                "frames", f"the frames of episode {episode} never change: rows 0 to {len(actions)} are the same"
            )
        progress.advance(bar)
    for dim in np.flatnonzero(smallest == largest):
        yield Fault("constant", f"action {dim} is {smallest[dim]:g} in every row of every episode: it never changes")


def _first(values: NDArray[Any], wrong: NDArray[np.bool_], what: str, episode: int) -> str:
    """Names the first wrong number of an episode, and counts the rows that have one."""
    row, column = np.argwhere(wrong)[0]
    others = int(wrong.any(1).sum()) - 1
    more = f" (and {others} more rows of this episode)" if others else ""
    return f"{what} {column} in row {row} of episode {episode} is {values[row, column]:g}{more}"


def _frozen(frames: NDArray[np.uint8]) -> bool:
    """Whether all frames are the same; mostly two of them are read to tell."""
    return all(np.array_equal(frames[i], frames[0]) for i in (len(frames) - 1, *range(1, len(frames) - 1)))
