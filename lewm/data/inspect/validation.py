"""What is wrong with a dataset: also with one so broken that Episodes refuses to load it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from lewm.data.episodes import Metadata, content_hash, intact_episodes, read_description
from lewm.data.inspect.raw_arrays import ARRAYS, RawArray, read_raw_array
from lewm.data.inspect.replay import replay_faults
from lewm.errors import InputError

KINDS = ("file", "length", "bytes", "action", "bounds", "constant", "state", "frames", "replay")


class Fault(NamedTuple):
    """kind is one of KINDS; the message names the episode and the row where there is one."""

    kind: str
    message: str


class Report(NamedTuple):
    """What was found, and what could not be looked at."""

    faults: list[Fault]
    notes: list[str]


class Rows(NamedTuple):
    """The arrays of a dataset as far as they are there, and lengths (E,) of the episodes that lie wholly in them."""

    pixels: NDArray[np.uint8]
    states: NDArray[np.float64]
    actions: NDArray[np.float32]
    lengths: NDArray[np.int64]

    def episodes(self) -> Iterator[tuple[int, slice, slice]]:
        """Number of each episode, its frames and its actions."""
        frame = action = 0
        for episode, length in enumerate(self.lengths.tolist()):
            yield episode, slice(frame, frame + length + 1), slice(action, action + length)
            frame, action = frame + length + 1, action + length


def find_faults(path: Path, num_replays: int, progress: Progress) -> Report:
    """Everything that is wrong with the dataset at `path`.

    Args:
      path: the folder.
      num_replays: episodes whose actions are played again in the environment, where it can be made.
      progress: draws bars.
    """
    if not path.is_dir():
        raise InputError(f"no dataset at {path}: give the folder that metadata.json is in")
    faults: list[Fault] = []
    notes: list[str] = []
    metadata: Metadata | None = None
    written_hash = None
    try:
        metadata, written_hash = read_description(path)
    except InputError as error:
        faults.append(Fault("file", str(error)))
    stored = {name: read_raw_array(path / f"{name}.npy") for name in ARRAYS}
    faults += [Fault("file", problem) for one in stored.values() for problem in one.problems]
    rows, problems = whole_episodes(stored)
    faults += [Fault("length", problem) for problem in [*problems, *wrong_counts(path, stored)]]
    if rows is None:
        notes.append("the arrays cannot be told apart into episodes: nothing in them was looked at")
        return Report(faults, notes)
    if metadata is not None:
        faults += [Fault("file", problem) for problem in misfits(rows, metadata)]
    faults += [
        Fault("bytes", problem) for problem in changed_bytes(rows, stored["digests"].rows, written_hash, progress)
    ]
    low, high = (np.array(bound) for bound in (metadata.action_low, metadata.action_high)) if metadata else (None, None)
    if low is not None and low.shape != rows.actions.shape[1:]:
        low = high = None
    faults += content_faults(rows, low, high, progress)
    if metadata is not None and num_replays > 0:
        problems, note = replay_faults(*rows, metadata, num_replays, progress)
        faults += [Fault("replay", problem) for problem in problems]
        notes += [note] if note else []
    return Report(faults, notes)


def whole_episodes(stored: dict[str, RawArray]) -> tuple[Rows | None, list[str]]:
    """The episodes that lie wholly in the arrays, and what does not add up."""
    arrays = {name: one.rows for name, one in stored.items()}
    pixels, states, actions, lengths, _ = (arrays[name] for name in ARRAYS)
    if pixels is None or states is None or actions is None or lengths is None:
        return None, []
    problems = [f"episode {i} has {lengths[i]} actions: at least 1" for i in np.flatnonzero(lengths < 1)]
    if problems:
        return None, problems
    frame_ends, action_ends = np.cumsum(lengths + 1), np.cumsum(lengths)
    whole = len(lengths)
    for name, array, ends in zip(
        ARRAYS, (pixels, states, actions), (frame_ends, frame_ends, action_ends), strict=False
    ):
        total = int(ends[-1]) if len(ends) else 0
        if len(array) < total:
            first = int(np.searchsorted(ends, len(array), side="right"))
            row = len(array) - (int(ends[first - 1]) if first else 0)
            problems.append(
                f"{name}.npy ends in row {row} of episode {first}: {len(array)} rows, and the lengths say {total}"
            )
            whole = min(whole, first)
        elif len(array) > total:
            problems.append(
                f"{name}.npy has {len(array)} rows, and the lengths say {total}: episodes may end elsewhere"
            )
    if len(lengths) == 0:
        problems.append("lengths.npy is empty: there are no episodes")
    return (Rows(pixels, states, actions, lengths[:whole]) if whole else None), problems


def wrong_counts(path: Path, stored: dict[str, RawArray]) -> Iterator[str]:
    """Where digests and metadata.json count other episodes and frames than there are."""
    lengths, digests = stored["lengths"].rows, stored["digests"].rows
    if lengths is None:
        return
    if digests is not None and len(digests) != len(lengths):
        yield f"there are {len(digests)} digests and {len(lengths)} episodes"
    try:
        described = json.loads((path / "metadata.json").read_text())
    except (OSError, ValueError):
        return
    counts = {"num_episodes": len(lengths), "num_frames": int((lengths + 1).sum())}
    for name, count in counts.items() if isinstance(described, dict) else ():
        if described.get(name, count) != count:
            yield f"metadata.json: {name} is {described[name]}, and by the lengths there are {count}"


def misfits(rows: Rows, metadata: Metadata) -> Iterator[str]:
    """What metadata.json says of the arrays and is not so."""
    size, num_actions = (metadata.frame_size, metadata.frame_size), rows.actions.shape[1]
    if rows.pixels.shape[1:3] != size:
        yield f"metadata.json: frame_size is {metadata.frame_size}, and the frames are {rows.pixels.shape[1:3]}"
    if len(metadata.state_names) != rows.states.shape[1]:
        yield f"metadata.json: {len(metadata.state_names)} state_names, and a state has {rows.states.shape[1]} numbers"
    for name in ("action_low", "action_high"):
        if len(getattr(metadata, name)) != num_actions:
            yield f"metadata.json: {name} has {len(getattr(metadata, name))} numbers, and an action {num_actions}"


def changed_bytes(
    rows: Rows, digests: NDArray[np.uint8] | None, written_hash: str | None, progress: Progress
) -> Iterator[str]:
    """Episodes that are not what was written, by their digests; and digests that are not, by their hash."""
    if digests is None or digests.shape[1] != 32:
        return
    if written_hash is not None and content_hash(digests) != written_hash:
        yield f"digests.npy has not the content hash {written_hash[:12]}… that is in metadata.json"
    whole = min(len(rows.lengths), len(digests))
    bar = progress.add_task("hashing", total=whole, unit="episodes")
    arrays = rows._replace(lengths=rows.lengths[:whole])
    for episode, intact in enumerate(intact_episodes(*arrays, digests[:whole])):
        if not intact:
            yield f"the bytes of episode {episode} are not those that were written: its digest differs"
        progress.advance(bar)


def content_faults(
    rows: Rows, low: NDArray[Any] | None, high: NDArray[Any] | None, progress: Progress
) -> Iterator[Fault]:
    """What is wrong in the rows, episode by episode; low and high (a,) bound the actions."""
    bar = progress.add_task("looking at episodes", total=len(rows.lengths), unit="episodes")
    smallest, largest = np.full(rows.actions.shape[1], np.inf), np.full(rows.actions.shape[1], -np.inf)
    for episode, frames, steps in rows.episodes():
        actions = rows.actions[steps]
        finite = np.isfinite(actions)
        if not finite.all():
            yield Fault("action", _first(actions, ~finite, "action", episode))
        if low is not None and high is not None:
            slack = 1e-6 * np.maximum(1, np.abs(high - low))
            outside = (actions < low - slack) | (actions > high + slack)
            if outside.any():
                dim = np.argwhere(outside)[0, 1]
                where = _first(actions, outside, "action", episode)
                yield Fault("bounds", f"{where}; the environment takes {low[dim]:g} to {high[dim]:g}")
        smallest = np.fmin(smallest, np.where(finite, actions, np.inf).min(0))
        largest = np.fmax(largest, np.where(finite, actions, -np.inf).max(0))
        states = rows.states[frames]
        if not (finite := np.isfinite(states)).all():
            yield Fault("state", _first(states, ~finite, "state", episode))
        if _frozen(rows.pixels[frames]):
            last = frames.stop - frames.start - 1
            yield Fault("frames", f"the frames of episode {episode} never change: rows 0 to {last} are the same")
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
