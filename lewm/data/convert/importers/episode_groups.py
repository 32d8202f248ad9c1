"""Base class of the readers of HDF5 files in which every episode is a group with arrays of its own."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lewm.data.convert.importers.hdf5_file import (
    frame_shape,
    holds_frames,
    holds_numbers,
    open_file,
    read_frames,
    read_rows,
)
from lewm.data.convert.importers.source import (
    Recorded,
    TooShortError,
    as_columns,
    check_finite,
    choose,
    first_readable,
    imported_metadata,
    numbered,
    read_actions,
    readable,
    taken,
)
from lewm.data.convert.resizing import Resize
from lewm.data.episode_arrays import Episode
from lewm.errors import InputError


class EpisodeGroupSource(ABC):
    """Args:
    path: the file, or what _locate() finds it by.
    resize: makes the frames.
    env_id: Gymnasium id of the environment that the data are from, if it can be made.
    camera: name of the frames among the observations; None takes the only ones.
    states: names of the observations that make up a state, with commas between them; "none" for no states; None takes
      all that are vectors of numbers.
    skip: whether episodes that cannot be read are left out and noted.

    Of T actions there are T + 1 observations, or T: then the last action leads to the last of the next observations,
    or nowhere where there are none, and is dropped.
    """

    format: ClassVar[str]
    observations: ClassVar[str]
    """Name of the group of the observations in an episode."""
    next_observations: ClassVar[str | None] = None
    """Name of the group of the observations after each action."""

    def __init__(
        self,
        path: Path,
        resize: Resize,
        *,
        env_id: str | None = None,
        camera: str | None = None,
        states: str | None = None,
        skip: bool = False,
    ) -> None:
        self.path, self._resize, self._skip = self._locate(path), resize, skip
        self.notes: list[str] = []
        with open_file(self.path) as file:
            names = sorted(self._episode_names(file), key=_number)
            if not names:
                raise InputError(f"{self.path} holds no episode")
            look = partial(self._look, file, camera, states)
            there, self._camera, self._states, self._shape = first_readable(names, look, skip=skip)
            self._names, low, high = read_actions(names, partial(self._actions, file), self.notes, skip=skip)
            others = [name for name in there if name != self._camera and name not in self._states]
            self.notes = [taken(["actions"], self._states, self._camera, others), *self.notes, *self._remarks(file)]
            details = {"camera": self._camera, "states": self._states, **self._details(file)}
            widths = {name: as_columns(there[name][:1]).shape[1] for name in self._states}
            low, high = self._bounds(low, high)
        self._state_names = [word for name, width in widths.items() for word in numbered(name, width)]
        size = resize.size_of(*self._shape)
        recorded = Recorded(path, self.format, size, low, high, self._state_names, details)
        self.metadata = imported_metadata(recorded, env_id)

    def _locate(self, path: Path) -> Path:
        """The file."""
        return path

    @abstractmethod
    def _episode_names(self, file: Any) -> list[str]:
        """Names of the groups of the episodes, from the root."""

    def _details(self, file: Any) -> dict[str, Any]:
        """What else should stay with the data."""
        return {}

    def _remarks(self, file: Any) -> list[str]:
        """Lines that whoever converts the data should read."""
        return []

    def _bounds(self, low: NDArray[Any], high: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Bounds of the actions, given the smallest and the largest ones."""
        return low, high

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Episode]:
        with open_file(self.path) as file:
            read = partial(self._episode, file)
            yield from (episode for _, episode in readable(self._names, read, self.notes, skip=self._skip))

    def _what(self, column: str, name: str) -> str:
        return f"{column!r} of {name} in {self.path}"

    def _there(self, file: Any, name: str, group: str | None = None) -> dict[str, Any]:
        """The columns of an episode's observations by their names."""
        group = group or self.observations
        if group not in file[name]:
            raise InputError(f"{name} in {self.path} has no {group!r}; it has {', '.join(file[name]) or 'nothing'}")
        return dict(_columns(file[name][group], group))

    def _look(
        self, file: Any, camera: str | None, states: str | None, name: str
    ) -> tuple[dict[str, Any], str, list[str], tuple[int, int]]:
        """The columns of an episode's observations, which of them are camera and states, and the shape of a frame."""
        there = self._there(file, name)
        cameras = [column for column in there if holds_frames(there[column])]
        if not cameras:
            raise InputError(f"there are no frames among the observations in {self.path}: {', '.join(there)}")
        chosen = choose(camera, cameras, "camera", "--camera")
        vectors = [column for column in there if holds_numbers(there[column])]
        return there, chosen, _choose_states(states, vectors), frame_shape(there[chosen], self._what(chosen, name))

    def _column(self, file: Any, name: str, column: str, group: str | None = None) -> Any:
        there = self._there(file, name, group)
        if column not in there:
            raise InputError(f"{name} in {self.path} has no {column!r}; it has {', '.join(there) or 'nothing'}")
        return there[column]

    def _actions(self, file: Any, name: str) -> NDArray[np.float32]:
        """(L, a) actions that lead to a frame."""
        column = file[name].get("actions")
        if getattr(column, "ndim", 0) not in (1, 2) or column.dtype.kind not in "fiub":
            raise InputError(f"{name} in {self.path} has no 'actions' that are vectors of numbers")
        num_actions, num_frames = len(column), self._num_frames(file, name)
        if num_frames not in (num_actions, num_actions + 1):
            raise InputError(f"{name} in {self.path} has {num_actions} actions and {num_frames} of {self._camera!r}")
        if num_frames < 2:
            raise TooShortError(f"{name} in {self.path} has {num_frames} frames: there is no action between them")
        rows = read_rows(column, 0, num_frames - 1, self._what("actions", name))
        actions = as_columns(rows).astype(np.float32)
        check_finite(actions, "action", self.path, name)
        return actions

    def _num_frames(self, file: Any, name: str) -> int:
        return len(self._column(file, name, self._camera)) + self._goes_on(file, name)

    def _goes_on(self, file: Any, name: str) -> bool:
        """Whether there is an observation after the last action in a group of its own."""
        return self.next_observations in file[name] if self.next_observations else False

    def _episode(self, file: Any, name: str) -> Episode:
        actions = self._actions(file, name)
        parts = [self._part(file, name, self.observations, 0)]
        if self._goes_on(file, name):
            parts.append(self._part(file, name, str(self.next_observations), -1))
        frames, states = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        if states.shape != (len(actions) + 1, len(self._state_names)):
            raise InputError(
                f"{name} in {self.path} has states {states.shape} beside {len(actions)} actions, and in the first"
                f" episode a state has {len(self._state_names)} numbers"
            )
        check_finite(states, "state", self.path, name)
        return Episode(frames, states, actions)

    def _part(self, file: Any, name: str, group: str, begin: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Frames and states of a group of observations from row `begin` on, -1 for its last row."""
        column, what = self._column(file, name, self._camera, group), self._what(self._camera, name)
        if not holds_frames(column) or (shape := frame_shape(column, what)) != self._shape:
            found = column.shape if not holds_frames(column) else shape
            raise InputError(f"{what} is {found}, and the frames of the first episode are {self._shape}")
        num_rows = len(column)
        begin = begin % num_rows
        states = [np.zeros((num_rows - begin, 0))]
        for state in self._states:
            rows = self._column(file, name, state, group)
            if not holds_numbers(rows) or len(rows) != num_rows:
                raise InputError(f"{self._what(state, name)} is {rows.dtype} {rows.shape}, beside {num_rows} frames")
            states.append(as_columns(read_rows(rows, begin, num_rows, self._what(state, name))))
        frames = read_frames(column, begin, num_rows, self._resize, what)
        return frames, np.concatenate(states, 1).astype(np.float64)


def _columns(node: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The arrays of a group, and of groups in it, by their names with slashes between; or an array that is alone."""
    if hasattr(node, "shape"):
        yield name, node
        return
    for key in node:
        for inner, column in _columns(node[key], key):
            yield (inner if hasattr(node[key], "shape") else f"{key}/{inner}"), column


def _number(name: str) -> tuple[int, str]:
    """Key that puts episode 10 behind episode 9."""
    digits = re.search(r"\d+$", name)
    return int(digits.group()) if digits else -1, name


def _choose_states(asked: str | None, there: list[str]) -> list[str]:
    if asked is None:
        return there
    names = [] if asked == "none" else [name.strip() for name in asked.split(",")]
    for name in names:
        choose(name, there, "observation of numbers", "--states")
    if len(set(names)) < len(names):
        raise InputError(f"--states {asked} names {max(names, key=names.count)!r} twice")
    return names
