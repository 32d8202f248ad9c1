"""Rows of LeRobot episodes: found in their files, checked against the list of episodes, read as actions and states."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lewm.data.convert.importers.lerobot_episodes import Place
from lewm.data.convert.importers.lerobot_info import Info
from lewm.data.convert.importers.parquet import ParquetTable
from lewm.data.convert.importers.source import MissingFileError, check_finite
from lewm.errors import InputError


class Rows(NamedTuple):
    """The rows of an episode.

    Attributes:
      table: the file that they are in.
      ids: (L+1,) which of its rows, in their order.
      start_s: timestamp of the first one.
    """

    table: ParquetTable
    ids: NDArray[np.int64]
    start_s: float


class RowReader:
    """Args:
    info: of the dataset.
    action: the feature of the actions.
    states: the feature of the states, if any.

    Attributes:
      files: the files in which episodes were found.
    """

    def __init__(self, info: Info, action: str, states: str | None) -> None:
        self._info, self._action, self._states = info, action, states
        self._columns = [name for name in ("episode_index", "frame_index", action, states) if name]
        self._widths = {name: info.width(name) for name in (action, states) if name}
        self._table: ParquetTable | None = None
        self.files = set[Path]()

    def find(self, place: Place) -> Rows:
        """The rows of an episode. MissingFileError: its file. InputError: they are not those that are listed."""
        table, ids = self._find(place)
        frame_index = table.scalars("frame_index", ids)
        if len(ids) != place.length:
            raise InputError(
                f"episode {place.number} has {place.length} rows by meta/episodes, and {table.file} holds {len(ids)}"
            )
        if sorted(frame_index.tolist()) != list(range(place.length)):
            raise InputError(
                f"'frame_index' of episode {place.number} in {table.file} is not each of 0 to {place.length - 1} once"
            )
        ids = ids[np.argsort(frame_index)]
        self._check_index(place, table, ids)
        return Rows(table, ids, self._first_timestamp(place, table, ids))

    def numbers(self, place: Place, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """(L, a) actions and (L+1, S) states of an episode."""
        actions = self._vectors(place, rows.table, self._action, rows.ids[:-1]).astype(np.float32)
        states = np.zeros((place.length, 0))
        if self._states is not None:
            states = self._vectors(place, rows.table, self._states, rows.ids).astype(np.float64)
        check_finite(actions, "action", self._info.root, place.number)
        check_finite(states, "state", self._info.root, place.number)
        return actions, states

    def _find(self, place: Place) -> tuple[ParquetTable, NDArray[np.int64]]:
        """The file that holds an episode, and its rows there, in any order."""
        for file in place.tables:
            if place.is_alone or file.is_file():
                table = self._open(file)
                numbers = table.scalars("episode_index")
                if place.is_alone and len(others := numbers[numbers != place.number]):
                    raise InputError(f"{file} of episode {place.number} has rows of episode {others[0]}")
                if len(ids := np.flatnonzero(numbers == place.number)) or place.is_alone:
                    self.files.add(file)
                    return table, ids
        if not place.tables[0].is_file():
            raise MissingFileError(place.tables[0])
        where = " nor ".join(map(str, place.tables))
        raise InputError(
            f"episode {place.number} has {place.length} rows by meta/episodes, and there are none in {where}"
        )

    def _open(self, file: Path) -> ParquetTable:
        """A file of rows; the last one stays in memory."""
        if self._table is None or self._table.file != file:
            self._table = None
            self._table = ParquetTable(file, self._columns, ["index", "timestamp"])
        return self._table

    def _check_index(self, place: Place, table: ParquetTable, ids: NDArray[np.int64]) -> None:
        """InputError, if the rows do not begin where the list of episodes says."""
        if place.first_row is None or "index" not in table:
            return
        index, expected = table.scalars("index", ids), place.first_row + np.arange(place.length)
        if len(wrong := np.flatnonzero(index != expected)):
            row = wrong[0]
            raise InputError(
                f"'index' in row {row} of episode {place.number} is {index[row]} in {table.file}, and {expected[row]}"
                " by 'dataset_from_index' in meta/episodes"
            )

    def _first_timestamp(self, place: Place, table: ParquetTable, ids: NDArray[np.int64]) -> float:
        """Timestamp of the first row, 0 without any. InputError: the others do not follow at the dataset's rate."""
        if "timestamp" not in table:
            return 0.0
        times, fps = table.scalars("timestamp", ids).astype(np.float64), self._info.fps
        is_right = np.abs(times - times[0] - np.arange(len(times)) / fps) <= 0.5 / fps
        if not is_right.all():
            row = int(np.argmin(is_right))
            raise InputError(
                f"'timestamp' in row {row} of episode {place.number} in {table.file} is {times[row]:g} s, and"
                f" {times[0] + row / fps:g} s by the {fps:g} rows a second of meta/info.json"
            )
        return float(times[0])

    def _vectors(self, place: Place, table: ParquetTable, name: str, ids: NDArray[np.int64]) -> NDArray[Any]:
        """(N, dim) values of a feature, as many for each row of the dataset."""
        values = table.numbers(name, ids)
        expected = self._widths[name] = self._widths[name] or values.shape[1]
        if values.shape[1] != expected:
            raise InputError(
                f"{name!r} of episode {place.number} in {table.file} has {values.shape[1]} numbers in a row, and"
                f" {expected} by its shape in meta/info.json or in the first episode"
            )
        return values
