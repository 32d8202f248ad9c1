"""A folder of name.mp4 and name.csv: an episode for each pair, a row of the CSV for each frame.

The CSV has a header. Columns action_* hold the action taken at a frame, state_* the state seen in it; the action of the
last row leads nowhere and is not read. True and False are 1 and 0. Blank lines are ignored, and so are files whose
names begin with a dot.
"""

import csv
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lewm.data.convert.importers.source import (
    Recorded,
    TooShortError,
    check_finite,
    first_readable,
    imported_metadata,
    is_visible,
    read_actions,
    readable,
    taken,
)
from lewm.data.convert.importers.video import VideoReader, frame_shape
from lewm.data.convert.resizing import Resize
from lewm.data.episode_arrays import Episode
from lewm.errors import InputError, one_line

BOOLEANS = {"true": 1.0, "false": 0.0}


class VideoFolderSource:
    """Args:
    path: the folder.
    resize: makes the frames.
    env_id: Gymnasium id of the environment that the data are from, if it can be made.
    action_columns: names of the CSV's columns, with commas between them; None takes those that begin with action.
    state_columns: the same of the states; "none" for no states.
    skip: whether episodes that cannot be read are left out and noted.
    """

    def __init__(
        self,
        path: Path,
        resize: Resize,
        *,
        env_id: str | None = None,
        action_columns: str | None = None,
        state_columns: str | None = None,
        skip: bool = False,
    ) -> None:
        self.path, self._resize, self._skip = path, resize, skip
        self.notes: list[str] = []
        if not path.is_dir():
            raise InputError(f"there is no folder {path}: give one that holds name.mp4 and name.csv")
        names = self._find()
        self._numbers = {name: number for number, name in enumerate(names)}

        def choose(name: str) -> tuple[list[str], list[str]]:
            return self._choose_columns(name, action_columns, state_columns)

        self._action_columns, self._state_columns = first_readable(names, choose, skip=skip)
        self._names, low, high = read_actions(names, lambda name: self._rows(name)[0], self.notes, skip=skip)
        left_out = set(self._table(self._names[0])[0]) - {*self._action_columns, *self._state_columns, ""}
        self.notes.insert(0, taken(self._action_columns, self._state_columns, left_out=sorted(left_out)))
        size = resize.size_of(*first_readable(self._names, lambda name: frame_shape(self._video(name)), skip=skip))
        details = {"action_names": self._action_columns}
        recorded = Recorded(path, "video_folder", size, low, high, self._state_columns, details)
        self.metadata = imported_metadata(recorded, env_id)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Episode]:
        return (episode for _, episode in readable(self._names, self._episode, self.notes, skip=self._skip))

    def _episode(self, name: str) -> Episode:
        actions, states = self._rows(name)
        with closing(VideoReader(self._video(name), self._resize)) as video:
            pixels = video.read(0, None)
        if len(pixels) != len(states):
            raise InputError(
                f"episode {self._numbers[name]}: {self._video(name)} has {len(pixels)} frames and"
                f" {self._csv(name).name} {len(states)} rows: a row belongs to each frame"
            )
        if pixels.shape[1] != self.metadata.frame_size:
            raise InputError(
                f"episode {self._numbers[name]}: the frames of {self._video(name)} are {pixels.shape[1]} pixels wide,"
                f" those of the first {self.metadata.frame_size}: give --frame-size"
            )
        return Episode(pixels, states, actions)

    def _find(self) -> list[str]:
        """Names of all videos and tables, of which each should have both."""
        files = [file for pattern in ("*.mp4", "*.csv") for file in self.path.glob(pattern)]
        if names := sorted({file.stem for file in files if is_visible(file)}):
            return names
        raise InputError(f"{self.path} holds no .mp4 and .csv: an episode is a pair of both")

    def _video(self, name: str) -> Path:
        return self.path / f"{name}.mp4"

    def _csv(self, name: str) -> Path:
        return self.path / f"{name}.csv"

    def _table(self, name: str) -> tuple[list[str], list[list[str]]]:
        """Names of the columns, and the cells of each row."""
        path, video = self._csv(name), self._video(name)
        for there, missing in ((path, video), (video, path)):
            if not missing.is_file():
                raise InputError(f"{self.path} has {there.name} and no {missing.name}: an episode is a pair of both")
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            filled = (line for line in file if line.strip())
            try:
                header, *rows = list(csv.reader(filled, skipinitialspace=True)) or [[]]
            except csv.Error as error:
                raise InputError(f"{path} is no table of commas and rows ({one_line(error)})") from None
        if header:
            header[0] = header[0].lstrip("#")  # numpy.savetxt writes one
        header = [column.strip() for column in header]
        for column in header:
            if column and header.count(column) > 1:
                raise InputError(f"{path} has two columns {column!r}: give each a name of its own")
            if '"' in column:
                raise InputError(f"{path} has a column {column!r}: leave out the quotation marks")
        for row, cells in enumerate(rows):
            if len(cells) != len(header):
                raise InputError(
                    f"row {row} of episode {self._numbers[name]} in {path} has {len(cells)} cells, and the header"
                    f" {len(header)}: {','.join(cells)[:60]!r}"
                )
        return header, rows

    def _choose_columns(
        self, name: str, asked_actions: str | None, asked_states: str | None
    ) -> tuple[list[str], list[str]]:
        """Names of the columns of the actions and of the states."""
        path, (header, _) = self._csv(name), self._table(name)
        actions = _choose(header, asked_actions, "action", path, "--action-columns")
        if not actions:
            raise InputError(
                f"{path} has no column that begins with 'action'; it has {', '.join(header) or 'none'}: name them with"
                " --action-columns"
            )
        return actions, _choose(header, asked_states, "state", path, "--state-columns")

    def _rows(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """(L, a) actions and (L+1, S) states of an episode."""
        path, (header, rows) = self._csv(name), self._table(name)
        if lacking := set(self._action_columns + self._state_columns) - set(header):
            raise InputError(f"{path} has no column {min(lacking)!r}; it has {', '.join(header)}")
        if len(rows) < 2:
            raise TooShortError(f"{path} has {len(rows)} rows: an episode has at least 2, with an action between them")
        actions = self._read(name, header, rows[:-1], self._action_columns).astype(np.float32)
        states = self._read(name, header, rows, self._state_columns)
        check_finite(actions, "action", path, self._numbers[name])
        check_finite(states, "state", path, self._numbers[name])
        return actions, states

    def _read(self, name: str, header: list[str], rows: list[list[str]], columns: list[str]) -> NDArray[np.float64]:
        """(N, number of columns) numbers; NaN for an empty cell."""
        places = [header.index(column) for column in columns]
        values = np.empty((len(rows), len(places)))
        for row, cells in enumerate(rows):
            try:
                values[row] = [_number(cells[place]) for place in places]
            except ValueError:
                raise InputError(
                    f"row {row} of episode {self._numbers[name]} in {self._csv(name)} is not a number in each of"
                    f" {', '.join(columns)}: {','.join(cells)[:60]!r}"
                ) from None
        return values


def _number(cell: str) -> float:
    cell = cell.strip().lower()
    return BOOLEANS[cell] if cell in BOOLEANS else float(cell or "nan")


def _choose(header: list[str], asked: str | None, prefix: str, path: Path, option: str) -> list[str]:
    if asked == "none":
        return []
    if asked is None:
        return [column for column in header if column.startswith(prefix)]
    names = [name.strip() for name in asked.split(",")]
    if lacking := [name for name in names if name not in header]:
        raise InputError(f"{path} has no column {lacking[0]!r}; it has {', '.join(header)}")
    if len(set(names)) < len(names):
        raise InputError(f"{option} {asked} names {max(names, key=names.count)!r} twice")
    return names
