"""LeRobot datasets of versions 2.0, 2.1 and 3: rows in parquet files, frames in videos or as images in the rows.

A row is a frame and the action taken there: the action of an episode's last row leads nowhere and is dropped. What the
files say twice has to agree. Episodes that lack a file are left out, and the notes tell which.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from lewm.data.convert.importers.lerobot_episodes import Listing, Place, list_episodes, overlapping
from lewm.data.convert.importers.lerobot_frames import FrameReader
from lewm.data.convert.importers.lerobot_info import read_info
from lewm.data.convert.importers.lerobot_rows import RowReader
from lewm.data.convert.importers.source import MissingFileError, Recorded, action_bounds, imported_metadata, require
from lewm.data.convert.resizing import Resize
from lewm.data.episode_arrays import Episode
from lewm.errors import InputError

STATES = "observation.state"
"""The feature that is taken for the states where none is named."""
T = TypeVar("T")
P = ParamSpec("P")


class LeRobotSource:
    """Args:
    path: the dataset's folder, in which meta/info.json is.
    resize: makes the frames.
    env_id: Gymnasium id of the environment that the data are from, if it can be made.
    camera: the feature of the frames; None takes the only one.
    action: the feature of the actions.
    states: the feature of the states, "none" for no states; None takes observation.state where it is there.
    skip: whether episodes that cannot be read are left out; else the first one is an InputError.
    """

    def __init__(
        self,
        path: Path,
        resize: Resize,
        *,
        env_id: str | None = None,
        camera: str | None = None,
        action: str = "action",
        states: str | None = None,
        skip: bool = False,
    ) -> None:
        require("pyarrow.parquet")
        self.path, self._skip = path, skip
        info = self._info = read_info(path)
        self._camera, self._action = info.camera(camera), info.numeric(action, "--action")
        has_states = states != "none" and (states is not None or STATES in info.features)
        self._states = info.numeric(states or STATES, "--states") if has_states else None
        self._rows = RowReader(info, self._action, self._states)
        self._frames = FrameReader(info, self._camera, resize)
        self._missing, self._unreadable = dict[Path, list[int]](), list[str]()
        self.notes = self._choices()
        self._places, bounds = self._read_all(list_episodes(info, self._camera))
        size = resize.size_of(*self._first_shape())
        low, high = action_bounds(bounds)
        details = {"camera": self._camera, "fps": info.fps, "robot_type": info.values.get("robot_type")}
        details["action_names"] = info.names(self._action, "action", len(low))
        recorded = Recorded(path, "lerobot", size, low, high, self._state_names(), details)
        self.metadata = imported_metadata(recorded, env_id)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Episode]:
        try:
            for place in list(self._places):
                episode = self._attempt(place.number, self._episode, place)
                if episode is None:
                    self._places.remove(place)
                else:
                    yield episode
            self._tell_left_out()
            self._require_episodes()
        finally:
            self._frames.close()

    def _choices(self) -> list[str]:
        """Notes on the rate, and on the features that are taken and left out."""
        fps, taken = self._info.fps, (self._camera, self._action, self._states)
        others = [name for name in self._info.own_features() if name not in taken]
        return [
            f"recorded at {fps:g} frames a second: env.frameskip=5 makes a model step of {5 / fps:.3g} s",
            f"frames: {self._camera}; actions: {self._action}; states: {self._states or 'none'}; left out:"
            f" {', '.join(others) or 'nothing'}",
        ]

    def _tell_left_out(self) -> None:
        """Adds notes on the episodes that were left out since the last time."""
        if self._missing:
            numbers = sorted(number for of_file in self._missing.values() for number in of_file)
            what = f"{len(numbers)} episodes left out, {len(self._missing)} files are missing"
            self.notes.append(f"{what}: episodes {_ranges(numbers)}; files {_some(self._missing)}")
        if self._unreadable:
            self.notes += [f"{len(self._unreadable)} episodes left out, they cannot be read:", *self._unreadable]
        self._missing, self._unreadable = {}, []

    def _read_all(self, listing: Listing) -> tuple[list[Place], list[NDArray[np.float32]]]:
        """The episodes that can be read, and (2, a) the smallest and largest actions of each."""
        places = [self._attempt(None, listing.place, i) for i in range(len(listing))]
        listed = [place for place in places if place is not None]
        contradictions = dict(overlapping(listed, self._info.fps))
        kept, bounds, num_short = list[Place](), list[NDArray[np.float32]](), 0
        for i, place in enumerate(listed):
            if i in contradictions:
                self._leave_out(place.number, InputError(contradictions[i]))
            elif place.length < 2:
                num_short += 1
            elif (actions := self._attempt(place.number, self._checked_actions, place)) is not None:
                kept.append(place)
                bounds.append(np.stack([actions.min(0), actions.max(0)]))
        self.notes += listing.notes
        total = self._info.count("total_episodes")
        if total is not None and total != len(listing):
            self.notes.append(f"meta/info.json tells of {total} episodes, and {len(listing)} are there")
        listed_files = self._rows.files.union(*(place.tables[:1] for place in listed))
        if others := [str(file) for file in self._info.files("data_path") if file not in listed_files]:
            self.notes.append(f"{len(others)} files of rows left out, no episode is listed for them: {_some(others)}")
        if num_short:
            self.notes.append(f"{num_short} episodes of less than 2 rows left out")
        self._tell_left_out()
        return kept, bounds

    def _attempt(self, number: int | None, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What `read` returns; None if it cannot read the episode of this number, which is then left out."""
        try:
            return read(*args, **kwargs)
        except InputError as error:
            self._frames.close()
            self._leave_out(number, error)
            return None

    def _leave_out(self, number: int | None, error: InputError) -> None:
        """Counts and names an episode that is left out. InputError: it is there, and is not to be skipped."""
        if isinstance(error, MissingFileError) and number is not None:
            self._missing.setdefault(error.file, []).append(number)
        elif self._skip:
            self._unreadable.append(str(error) if f"episode {number} " in f"{error} " else f"episode {number}: {error}")
        else:
            raise InputError(f"{error} (--skip leaves out episodes that cannot be read)") from error

    def _require_episodes(self) -> None:
        if not self._places:
            raise InputError(f"{self.path} has no episode of at least 2 rows that can be read: {self.notes[-1]}")

    def _checked_actions(self, place: Place) -> NDArray[np.float32]:
        """The actions of an episode whose rows and frames are what is listed."""
        rows = self._rows.find(place)
        self._frames.check(place, rows)
        return self._rows.numbers(place, rows)[0]

    def _episode(self, place: Place) -> Episode:
        rows = self._rows.find(place)
        actions, states = self._rows.numbers(place, rows)
        pixels = self._frames.read(place, rows)
        if pixels.shape[1] != self.metadata.frame_size:
            raise InputError(
                f"the frames of episode {place.number} in {self.path} are {pixels.shape[1]} pixels wide, and those of"
                f" the first one {self.metadata.frame_size}: give --frame-size"
            )
        return Episode(pixels, states, actions)

    def _first_shape(self) -> tuple[int, int]:
        """Height and width of the frames, by the first episode whose frames can be read."""
        self._require_episodes()
        while (shape := self._attempt(self._places[0].number, self._shape, self._places[0])) is None:
            self._places.pop(0)
            self._tell_left_out()
            self._require_episodes()
        told = self._info.shape(self._camera)
        if told is not None and Counter(shape) - Counter(told):
            self.notes.append(f"frames are {shape[0]} high and {shape[1]} wide; meta/info.json tells of {told}")
        return shape

    def _shape(self, place: Place) -> tuple[int, int]:
        return self._frames.shape(place, self._rows.find(place))

    def _state_names(self) -> list[str]:
        if self._states is None:
            return []
        _, states = self._rows.numbers(self._places[0], self._rows.find(self._places[0]))
        return self._info.names(self._states, "state", states.shape[1])


def _ranges(numbers: Iterable[int]) -> str:
    """Rising numbers, those that follow one another as first-last."""
    ends = list[list[int]]()
    for number in numbers:
        if ends and number == ends[-1][1] + 1:
            ends[-1][1] = number
        else:
            ends.append([number, number])
    return ", ".join(f"{first}-{last}" if first < last else str(first) for first, last in ends)


def _some(names: Iterable[object]) -> str:
    """The first of many names."""
    words = [str(name) for name in names]
    return ", ".join(words[:10]) + (f" and {len(words) - 10} more" if len(words) > 10 else "")
