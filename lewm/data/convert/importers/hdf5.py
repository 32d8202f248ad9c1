"""The HDF5 layout that LeWorldModel's data are published in: flat columns over all rows, and ep_len and ep_offset.

A row is a frame and the action taken there, so that the last row of an episode has an action that leads nowhere (NaN in
some files): it is dropped. Blosc compression is read through hdf5plugin.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lewm.data.convert.importers.hdf5_file import open_file, read_frames, read_rows
from lewm.data.convert.importers.source import (
    Recorded,
    as_columns,
    check_finite,
    imported_metadata,
    numbered,
    read_actions,
    readable,
    taken,
)
from lewm.data.convert.resizing import Resize
from lewm.data.episode_arrays import Episode
from lewm.data.episode_index import EpisodeIndex
from lewm.data.metadata import Metadata
from lewm.errors import InputError

METADATA_ATTRIBUTE = "lewm_metadata"
"""Attribute in which our exporter keeps Metadata, as JSON."""
STATES = (("state",), ("qpos", "qvel"), ("observation",), ("proprio",))
"""The columns that are taken for the state: the first of these that a file has."""


class HDF5Source:
    """Args:
    path: a .h5 file.
    resize: makes the frames.
    env_id: Gymnasium id of the environment that the data are from, if it can be made.
    camera: the column of the frames.
    states: the column of the states, "none" for no states; None takes the first of STATES that is there.
    skip: whether episodes that cannot be read are left out and noted.
    """

    def __init__(
        self,
        path: Path,
        resize: Resize,
        *,
        env_id: str | None = None,
        camera: str = "pixels",
        states: str | None = None,
        skip: bool = False,
    ) -> None:
        self.path, self._resize, self._camera, self._skip = path, resize, camera, skip
        self.notes: list[str] = []
        with open_file(path) as file:
            self._check_columns(file, ("ep_len", "ep_offset", "action", camera))
            self._lengths, self._offsets = (np.asarray(file[name][:], np.int64) for name in ("ep_len", "ep_offset"))
            self._check_layout(file)
            self._episodes: list[int] = np.flatnonzero(self._lengths >= 2).tolist()
            if len(self._episodes) < len(self._lengths):
                self.notes.append(f"{len(self._lengths) - len(self._episodes)} episodes of less than 2 rows left out")
            if len(self._episodes) == 0:
                raise InputError(f"{path} has no episode of at least 2 rows: there is no action in it")
            self._states = self._choose_states(file, states)
            others = sorted(set(file) - {"ep_len", "ep_offset", "action", camera, *self._states})
            self.notes.insert(0, taken(["action"], self._states, camera, others))
            self.metadata = self._describe(file, env_id)

    def __len__(self) -> int:
        return len(self._episodes)

    def __iter__(self) -> Iterator[Episode]:
        with open_file(self.path) as file:

            def read(episode: int) -> Episode:
                frames = self._frames(file, episode)
                return Episode(frames, self._read_states(file, episode), self._actions(file, episode))

            yield from (episode for _, episode in readable(self._episodes, read, self.notes, skip=self._skip))

    def _check_columns(self, file: Any, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in file or not hasattr(file[name], "shape"):
                raise InputError(f"{self.path} has no column {name!r}; it has {', '.join(sorted(file))}")

    def _check_layout(self, file: Any) -> None:
        """Lengths and offsets add up, columns have as many rows, and frames are frames."""
        num_rows = len(file["action"])
        if self._lengths.ndim != 1 or self._lengths.shape != self._offsets.shape or len(self._lengths) == 0:
            raise InputError(
                f"ep_len {self._lengths.shape} and ep_offset {self._offsets.shape} in {self.path} must be (E,) both"
            )
        expected = EpisodeIndex(self._lengths - 1).frame_offsets  # a row is a frame
        ends = np.append(self._offsets[1:], num_rows)
        wrong = (self._offsets != expected) | (self._offsets + self._lengths != ends) | (self._lengths < 0)
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise InputError(
                f"episode {first} in {self.path} has {self._lengths[first]} rows from row {self._offsets[first]}, and"
                f" {'the next one begins' if first + 1 < len(wrong) else 'the file ends'} at row {ends[first]}: ep_len"
                " and ep_offset do not add up"
            )
        if file["action"].dtype.kind not in "fiub":
            raise InputError(f"'action' in {self.path} is {file['action'].dtype}: give numbers")
        pixels = file[self._camera]
        if len(pixels) != num_rows:
            raise InputError(f"{self.path} has {num_rows} rows of 'action' and {len(pixels)} of {self._camera!r}")
        if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8:
            raise InputError(
                f"{self._camera!r} in {self.path} is {pixels.dtype} {pixels.shape}: frames are uint8 (N, h, w, 3)"
            )

    def _choose_states(self, file: Any, asked: str | None) -> tuple[str, ...]:
        if asked == "none":
            return ()
        if asked is not None:
            chosen: tuple[str, ...] = (asked,)
            self._check_columns(file, chosen)
        else:
            chosen = next((names for names in STATES if all(name in file for name in names)), ())
        for name in chosen:
            if len(file[name]) != len(file["action"]) or file[name].dtype.kind not in "fiub":
                raise InputError(
                    f"{name!r} in {self.path} is {file[name].dtype} {file[name].shape}: give other --states"
                )
        return chosen

    def _describe(self, file: Any, env_id: str | None) -> Metadata:
        actions = partial(self._actions, file)
        self._episodes, low, high = read_actions(self._episodes, actions, self.notes, skip=self._skip)
        names = [name for column in self._states for name in numbered(column, as_columns(file[column][:1]).shape[1])]
        size = self._resize.size_of(*file[self._camera].shape[1:3])
        recorded = Recorded(self.path, "hdf5", size, low, high, names, {"states": list(self._states)})
        if METADATA_ATTRIBUTE not in file.attrs or env_id is not None:
            return imported_metadata(recorded, env_id)
        try:
            return Metadata.of_json(json.loads(file.attrs[METADATA_ATTRIBUTE]) | {"frame_size": size})
        except (TypeError, ValueError) as error:  # InputErrors are ValueErrors
            raise InputError(f"{METADATA_ATTRIBUTE} in {self.path} is damaged ({error}): give --env-id") from error

    def _read(self, file: Any, column: str, episode: int, begin: int, end: int) -> NDArray[Any]:
        start = int(self._offsets[episode])
        return read_rows(file[column], start + begin, start + end, self._what(column, episode))

    def _what(self, column: str, episode: int) -> str:
        return f"{column!r} of episode {episode} in {self.path}"

    def _frames(self, file: Any, episode: int) -> NDArray[np.uint8]:
        start, what = int(self._offsets[episode]), self._what(self._camera, episode)
        return read_frames(file[self._camera], start, start + int(self._lengths[episode]), self._resize, what)

    def _actions(self, file: Any, episode: int) -> NDArray[np.float32]:
        rows = self._read(file, "action", episode, 0, int(self._lengths[episode]) - 1)
        actions = as_columns(rows).astype(np.float32)
        check_finite(actions, "action", self.path, episode)
        return actions

    def _read_states(self, file: Any, episode: int) -> NDArray[np.float64]:
        length = int(self._lengths[episode])
        columns = [as_columns(self._read(file, name, episode, 0, length)) for name in self._states]
        states = np.concatenate([np.zeros((length, 0)), *columns], 1).astype(np.float64)
        check_finite(states, "state", self.path, episode)
        return states
