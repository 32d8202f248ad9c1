"""Writes datasets, episode after episode: what stands at the path of a dataset is never half done."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lewm.config import changed_key, flat
from lewm.data.array_files import ARRAYS
from lewm.data.column import Column
from lewm.data.episode_arrays import Episode, EpisodeArrays
from lewm.data.episode_index import EpisodeIndex
from lewm.data.episodes import content_hash
from lewm.data.metadata import Description, Metadata, read_description
from lewm.errors import InputError
from lewm.files import run_lock


class EpisodeWriter:
    """Writes a dataset into `<path>.partial` and renames it when complete, at the end of its `with` block.

    metadata.json in the partial folder counts the episodes that are whole. An interrupted writer leaves nothing, a
    resumable one leaves the partial folder, and the next one with the same path and metadata goes on with it: it has
    num_episodes episodes then, which intact() checks and truncate() cuts.

    Args:
      path: folder of the dataset; nothing may be there.
      metadata: what the arrays have to fit.
      resumable: whether an unfinished dataset is kept and gone on with.
    """

    def __init__(self, path: str | Path, metadata: Metadata, *, resumable: bool = False) -> None:
        self.path = Path(path)
        self.partial = self.path.with_name(self.path.name + ".partial")
        self._metadata, self._resumable = metadata, resumable
        self._refuse_existing()
        self._open = ExitStack()
        try:
            self._open.enter_context(run_lock(self.partial))
        except InputError:
            raise InputError(
                f"another process is writing {self.partial}: wait for it, end it, or give another data path"
            ) from None
        self._open.callback(self._unlock)
        with ExitStack() as on_error:
            on_error.callback(self._open.close)
            self._refuse_existing()  # the process that held the lock may have finished
            num_episodes = self._begun()
            self._columns = self._open_columns()
            self.truncate(self._whole_episodes(num_episodes))
            self.commit()
            on_error.pop_all()

    @property
    def num_episodes(self) -> int:
        """Episodes written so far."""
        return self._columns["lengths"].num_rows

    @property
    def num_committed(self) -> int:
        """Episodes that the next resumable writer goes on behind, read from the disk, where nothing is half done."""
        return int(json.loads((self.partial / "metadata.json").read_text(encoding="utf-8"))["num_episodes"])

    @property
    def num_frames(self) -> int:
        """Frames written so far."""
        return self._columns["pixels"].num_rows

    def append(
        self, pixels: NDArray[np.uint8], states: NDArray[Any], actions: NDArray[Any], digest: bytes | None = None
    ) -> None:
        """Adds an episode.

        Args:
          pixels: (L+1, h, w, C) frames.
          states: (L+1, S).
          actions: (L, a), L >= 1.
          digest: Episode.digest() of it, where that is known already.
        """
        states, actions = np.asarray(states, np.float64), np.asarray(actions, np.float32)
        length = len(actions)
        shapes = self._episode_shapes(length)
        if length < 1 or (pixels.shape, states.shape, actions.shape) != shapes or pixels.dtype != np.uint8:
            raise InputError(
                f"episode {self.num_episodes} of {self.path} has frames {pixels.shape} of {pixels.dtype}, states"
                f" {states.shape} and actions {actions.shape}; with {length} actions, at least 1, they have to be"
                f" {shapes[0]} of uint8, {shapes[1]} and {shapes[2]}"
            )
        digest = digest or Episode(pixels, states, actions).digest()
        rows = (pixels, states, actions, np.array([length]), np.frombuffer(digest, np.uint8)[None])
        for column, new in zip(self._columns.values(), rows, strict=True):
            column.append(new)

    def commit(self) -> None:
        """Records that the episodes appended so far are complete: a resumable writer goes on behind them."""
        if self._resumable:
            self._describe(None)

    def intact(self) -> Iterator[bool]:
        """Whether each episode that is there is what was written, in order."""
        index = self._index(self.num_episodes)
        rows = {"pixels": index.num_frames, "states": index.num_frames, "actions": index.num_actions}
        pixels, states, actions = (self._columns[name].map(num) for name, num in rows.items())
        return EpisodeArrays(pixels, states, actions, index).have_digests(self._columns["digests"].map(len(index)))

    def truncate(self, num_episodes: int) -> None:
        """Forgets all episodes but the first."""
        index = self._index(num_episodes)
        counts = (index.num_frames, index.num_frames, index.num_actions, num_episodes, num_episodes)
        for column, num_rows in zip(self._columns.values(), counts, strict=True):
            column.truncate(num_rows)

    def _index(self, num_episodes: int) -> EpisodeIndex:
        """The index of the first episodes."""
        return EpisodeIndex(self._columns["lengths"].map(num_episodes))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: Any, __: TracebackType | None) -> None:
        is_complete = False
        try:
            if kind is None:
                self._complete()
                is_complete = True
        finally:
            self._open.close()
            if not is_complete and not self._resumable:
                shutil.rmtree(self.partial, ignore_errors=True)

    def _complete(self) -> None:
        if self.num_episodes == 0:
            raise InputError(f"{self.path}: there is no episode to write")
        for column in self._columns.values():
            column.complete()
        self._describe(content_hash(self._columns["digests"].map(self.num_episodes)))
        (self.partial / "lock").unlink()
        self.partial.rename(self.path)

    def _unlock(self) -> None:
        """Leaves no lock file, and no folder if there is nothing else in it."""
        (self.partial / "lock").unlink(missing_ok=True)
        with suppress(OSError):
            self.partial.rmdir()

    def _describe(self, digest: str | None) -> None:
        """Writes metadata.json, whole or not at all."""
        described = Description(self._metadata, digest, self.num_episodes, self.num_frames).to_json()
        unfinished = self.partial / "metadata.json.new"
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(json.dumps(described, indent=2) + "\n")
            if digest:
                file.flush()
                os.fsync(file.fileno())
        unfinished.rename(self.partial / "metadata.json")

    def _refuse_existing(self) -> None:
        if self.path.exists():
            raise InputError(f"{self.path} exists already: remove it, or give another data path")

    def _begun(self) -> int:
        """Episodes that an interrupted writer left; InputError if they are not the beginning of this dataset."""
        if not (self.partial / "metadata.json").exists():
            self._remove(but=("lock",))  # nothing in it is known to be whole
            return 0
        try:
            described = read_description(self.partial, unfinished=True)
        except InputError as error:
            raise InputError(f"cannot go on with {self.partial}, remove the folder: {error}") from None
        if not self._resumable:
            raise InputError(
                f"{self.partial} holds an unfinished dataset: finish it with the command that began it, or remove it"
            )
        begun, now = (flat(json.loads(json.dumps(asdict(each)))) for each in (described.metadata, self._metadata))
        key = changed_key(begun, now, free=("collection",))  # what the details of a collection follow from comes first
        if key := key or changed_key(begun, now, free=("collection.num_episodes",)):  # it may end with fewer or more
            raise InputError(
                f"{self.partial} was begun with {key}={begun.get(key)}, not {now.get(key)}:"
                " go on with that, remove the folder, or give another data path"
            )
        self._remove(but=("lock", "metadata.json", *(f"{name}.npy" for name in ARRAYS)))
        return described.num_episodes

    def _remove(self, but: tuple[str, ...]) -> None:
        """Removes what lies in the partial folder, but for these files."""
        for path in self.partial.iterdir():
            if path.name in but:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _episode_shapes(self, length: int) -> tuple[tuple[int, ...], ...]:
        size, metadata = self._metadata.frame_size, self._metadata
        num_states, num_actions = len(metadata.state_names), len(metadata.action_low)
        return (length + 1, size, size, 3), (length + 1, num_states), (length, num_actions)

    def _open_columns(self) -> dict[str, Column]:
        pixels, states, actions = (shape[1:] for shape in self._episode_shapes(0))
        shapes: dict[str, tuple[int, ...]] = dict(zip(ARRAYS, (pixels, states, actions, (), (32,)), strict=True))
        columns = {}
        for name, kind in ARRAYS.items():
            columns[name] = Column(self.partial / f"{name}.npy", shapes[name], kind.dtype)
            self._open.callback(columns[name].close)
        return columns

    def _whole_episodes(self, num_episodes: int) -> int:
        """How many of the first num_episodes have all of their rows; after a power cut, fewer than were counted."""
        num_rows = {name: column.num_rows for name, column in self._columns.items()}
        num_episodes = max(min(num_episodes, num_rows["lengths"], num_rows["digests"]), 0)
        num_frames = min(num_rows["pixels"], num_rows["states"]) if self._metadata.state_names else num_rows["pixels"]
        return self._index(num_episodes).num_whole(num_frames, num_rows["actions"])
