"""A folder of name.mp4 and name.csv: an episode for each pair, a row of the CSV for each frame.

The CSV has a header. Columns action_* hold the action taken at a frame, state_* the state seen in it; the action of the
last row leads nowhere and is dropped.
"""

import csv
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lewm.data.convert.importers.source import Recorded, action_bounds, check_finite, imported_metadata
from lewm.data.convert.importers.video import VideoReader, frame_shape
from lewm.data.convert.resizing import Resize
from lewm.data.episode_arrays import Episode
from lewm.errors import InputError


class VideoFolderSource:
    """Args:
    path: the folder.
    resize: makes the frames.
    env_id: Gymnasium id of the environment that the data are from, if it can be made.
    action_columns: names of the CSV's columns, with commas between them; None takes those that begin with action.
    state_columns: the same of the states; "none" for no states.
    """

    def __init__(
        self,
        path: Path,
        resize: Resize,
        *,
        env_id: str | None = None,
        action_columns: str | None = None,
        state_columns: str | None = None,
    ) -> None:
        self.path, self._resize = path, resize
        self.notes: list[str] = []
        if not path.is_dir():
            raise InputError(f"there is no folder {path}: give one that holds name.mp4 and name.csv")
        self._names = self._pairs()
        header = self._header(self._names[0])
        self._action_columns = _choose(header, action_columns, "action", self._csv(self._names[0]))
        self._state_columns = _choose(header, state_columns, "state", self._csv(self._names[0]))
        if not self._action_columns:
            raise InputError(
                f"{self._csv(self._names[0])} has no column that begins with 'action'; it has {', '.join(header)}:"
                " name them with --action-columns"
            )
        low, high = action_bounds(self._rows(number)[0] for number in range(len(self)))
        size = resize.size_of(*frame_shape(self._video(self._names[0])))
        details = {"action_names": self._action_columns}
        recorded = Recorded(path, "video_folder", size, low, high, self._state_columns, details)
        self.metadata = imported_metadata(recorded, env_id)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Episode]:
        for number, name in enumerate(self._names):
            actions, states = self._rows(number)
            with closing(VideoReader(self._video(name), self._resize)) as video:
                pixels = video.read(0, None)
            if len(pixels) != len(states):
                raise InputError(
                    f"episode {number}: {self._video(name)} has {len(pixels)} frames and {self._csv(name).name}"
                    f" {len(states)} rows: a row belongs to each frame"
                )
            if pixels.shape[1] != self.metadata.frame_size:
                raise InputError(
                    f"episode {number}: the frames of {self._video(name)} are {pixels.shape[1]} pixels wide, those of"
                    f" the first {self.metadata.frame_size}: give --frame-size"
                )
            yield Episode(pixels, states, actions)

    def _pairs(self) -> list[str]:
        videos, tables = ({p.stem for p in self.path.glob(pattern)} for pattern in ("*.mp4", "*.csv"))
        if alone := videos ^ tables:
            name = min(alone)
            there, missing = (".mp4", ".csv") if name in videos else (".csv", ".mp4")
            raise InputError(f"{self.path} has {name}{there} and no {name}{missing}: an episode is a pair of both")
        if not videos:
            raise InputError(f"{self.path} holds no .mp4 and .csv: an episode is a pair of both")
        return sorted(videos)

    def _video(self, name: str) -> Path:
        return self.path / f"{name}.mp4"

    def _csv(self, name: str) -> Path:
        return self.path / f"{name}.csv"

    def _header(self, name: str) -> list[str]:
        with self._csv(name).open(newline="", encoding="utf-8-sig", errors="replace") as file:
            return [column.strip() for column in next(csv.reader(file), [])]

    def _rows(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """(L, a) actions and (L+1, S) states of an episode."""
        name = self._names[number]
        path, header = self._csv(name), self._header(name)
        if lacking := set(self._action_columns + self._state_columns) - set(header):
            raise InputError(f"{path} has no column {min(lacking)!r}; it has {', '.join(header)}")
        columns = [header.index(column) for column in self._action_columns + self._state_columns]
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            lines = list(csv.reader(file))[1:]
        if len(lines) < 2:
            raise InputError(f"{path} has {len(lines)} rows: an episode has at least 2, with an action between them")
        values = np.empty((len(lines), len(columns)))
        for row, line in enumerate(lines):
            try:
                values[row] = [float(line[column] or "nan") for column in columns]  # as the last action may be
            except (IndexError, ValueError):
                raise InputError(
                    f"row {row} of episode {number} in {path} is not {len(header)} numbers: {','.join(line)[:60]!r}"
                ) from None
        num_actions = len(self._action_columns)
        actions, states = values[:-1, :num_actions].astype(np.float32), values[:, num_actions:]
        check_finite(actions, "action", path, number)
        check_finite(states, "state", path, number)
        return actions, states


def _choose(header: list[str], asked: str | None, prefix: str, path: Path) -> list[str]:
    if asked == "none":
        return []
    if asked is None:
        return [column for column in header if column.startswith(prefix)]
    names = [name.strip() for name in asked.split(",")]
    if lacking := [name for name in names if name not in header]:
        raise InputError(f"{path} has no column {lacking[0]!r}; it has {', '.join(header)}")
    return names
