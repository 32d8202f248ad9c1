"""Where the episodes of a LeRobot dataset lie: one file each in version 2, many to a file in version 3."""

import json
import math
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from lewm.data.convert.importers.lerobot_info import Info
from lewm.data.convert.importers.parquet import ParquetTable
from lewm.errors import InputError

SWAPPED = {"videos": "video", "video": "videos"}


class Place(NamedTuple):
    """Where an episode lies.

    Attributes:
      number: its episode_index.
      length: its rows.
      tables: files that its rows may be in: the first that holds any of them.
      first_row: number of its first row in the whole dataset; None where that is not listed.
      video: file of its frames; None where they are in the tables.
      start_s: when its frames begin in the video.
      is_alone: whether table and video hold nothing else.
    """

    number: int
    length: int
    tables: tuple[Path, ...]
    first_row: int | None
    video: Path | None
    start_s: float
    is_alone: bool


class Listing(Protocol):
    """The episodes that a dataset lists.

    Attributes:
      notes: lines that whoever converts them should read.
    """

    notes: list[str]

    def __len__(self) -> int: ...
    def place(self, i: int) -> Place:
        """Where the i-th episode lies. InputError: a value of the list is missing, or contradicts another."""


def list_episodes(info: Info, camera: str) -> Listing:
    """The episodes of a dataset and where they, and what `camera` recorded, lie."""
    in_video = info.features[camera]["dtype"] == "video"
    return (EpisodeFiles if info.version == 2 else SharedFiles)(info, camera if in_video else None)


class _Listing:
    """What both versions have in common.

    Args:
      info: of the dataset.
      camera: the feature of the frames, if they are in videos.
    """

    def __init__(self, info: Info, camera: str | None) -> None:
        self._info, self._camera, self.notes = info, camera, list[str]()

    def _file(self, template: str, **values: int) -> Path:
        """A file of rows or of frames; `video` is looked into for `videos`, and the other way round."""
        file = self._info.file(template, **values, **({"video_key": self._camera} if self._camera else {}))
        if template == "data_path" or file.is_file():
            return file
        first, *rest = file.relative_to(self._info.root).parts
        other = self._info.root.joinpath(SWAPPED.get(first, first), *rest)
        if not other.is_file():
            return file
        if (note := f"videos are in {SWAPPED[first]}/, and in {first}/ by meta/info.json") not in self.notes:
            self.notes.append(note)
        return other


class EpisodeFiles(_Listing):
    """The list of version 2, meta/episodes.jsonl; without one, the episodes that have a file of rows."""

    def __init__(self, info: Info, camera: str | None) -> None:
        super().__init__(info, camera)
        self._list = info.root / "meta" / "episodes.jsonl"
        text = self._list.read_text(encoding="utf-8-sig", errors="replace") if self._list.is_file() else ""
        self._lines = {i: line for i, line in enumerate(text.split("\n"), 1) if line.strip()}
        self._entries = list(self._lines) or self._numbers_of_files()
        if not self._lines:
            self.notes.append(
                "meta/episodes.jsonl is missing or empty: the episodes are those that have a file of rows"
            )

    def __len__(self) -> int:
        return len(self._entries)

    def place(self, i: int) -> Place:
        number, length = self._listed(self._entries[i]) if self._lines else (self._entries[i], None)
        chunk = {"episode_chunk": number // size} if (size := self._info.count("chunks_size")) else {}
        table = self._file("data_path", episode_index=number, **chunk)
        if length is None:
            length = len(ParquetTable(table, ()))
        video = self._file("video_path", episode_index=number, **chunk) if self._camera else None
        return Place(number, length, (table,), None, video, 0.0, True)

    def _listed(self, line: int) -> tuple[int, int]:
        """Number and length of an episode."""
        try:
            values = json.loads(self._lines[line])
            number, length = values.get("episode_index"), values.get("length")
        except (ValueError, AttributeError):
            raise InputError(f"line {line} of {self._list} is no JSON object: {self._lines[line][:60]!r}") from None
        number = _whole(number, f"'episode_index' in line {line} of {self._list}")
        return number, _whole(length, f"'length' of episode {number} in {self._list}")

    def _numbers_of_files(self) -> list[int]:
        found = (re.search(r"(\d+)\.parquet$", file.name) for file in self._info.files("data_path"))
        return [int(match[1]) for match in found if match]


class SharedFiles(_Listing):
    """The list of version 3, meta/episodes/*/*.parquet.

    lerobot's converter from version 2.1 lists the first episode of a data file under the file before (lerobot issue
    2401), so that the next file is looked into, too.
    """

    def __init__(self, info: Info, camera: str | None) -> None:
        super().__init__(info, camera)
        self._list = info.root / "meta" / "episodes"
        self._prefix = f"videos/{camera}"
        required = ["episode_index", "length", "data/chunk_index", "data/file_index"]
        optional = ["dataset_from_index", "dataset_to_index"]
        if camera is not None:
            required += [f"{self._prefix}/{name}" for name in ("chunk_index", "file_index", "from_timestamp")]
            optional.append(f"{self._prefix}/to_timestamp")
        files = sorted(self._list.glob("*/[!.]*.parquet"))
        self._rows = [row for file in files for row in ParquetTable(file, required, optional).records()]
        if not self._rows:
            raise InputError(f"{info.root} has no meta/episodes/*/*.parquet with a row: no episode is listed")
        self._data = info.files("data_path")

    def __len__(self) -> int:
        return len(self._rows)

    def place(self, i: int) -> Place:
        row = self._rows[i]
        number = _whole(row["episode_index"], f"'episode_index' in row {i} of {self._list}")
        length = self._whole(row, "length", number)
        listed = self._shared("data_path", row, "data", number)
        following = self._data[bisect_left(self._data, listed) :]
        tables = (listed, *[file for file in following if file != listed][:1])
        first_row = self._first_row(row, number, length)
        if self._camera is None:
            return Place(number, length, tables, first_row, None, 0.0, False)
        video = self._shared("video_path", row, self._prefix, number)
        return Place(number, length, tables, first_row, video, self._start(row, number, length), False)

    def _first_row(self, row: dict[str, Any], number: int, length: int) -> int | None:
        if "dataset_from_index" not in row:
            return None
        first = self._whole(row, "dataset_from_index", number)
        if "dataset_to_index" in row and (end := self._whole(row, "dataset_to_index", number)) - first != length:
            raise InputError(
                f"episode {number} has {length} rows by 'length' in {self._list}, and {end - first} by"
                f" 'dataset_from_index' {first} and 'dataset_to_index' {end}"
            )
        return first

    def _start(self, row: dict[str, Any], number: int, length: int) -> float:
        """Second at which the frames begin."""
        start = self._seconds(row, f"{self._prefix}/from_timestamp", number)
        if (name := f"{self._prefix}/to_timestamp") in row:
            end = self._seconds(row, name, number)
            if (end - start) * self._info.fps < length - 1.5:  # the end may be that of the last frame, or its beginning
                raise InputError(
                    f"episode {number} has {length} rows at {self._info.fps:g} a second, and its video lasts from"
                    f" {start:g} to {end:g} s by {self._prefix!r} in {self._list}"
                )
        return start

    def _shared(self, template: str, row: dict[str, Any], prefix: str, number: int) -> Path:
        names = ("chunk_index", "file_index")
        return self._file(template, **{name: self._whole(row, f"{prefix}/{name}", number) for name in names})

    def _whole(self, row: dict[str, Any], name: str, number: int) -> int:
        return _whole(row[name], f"{name!r} of episode {number} in {self._list}")

    def _seconds(self, row: dict[str, Any], name: str, number: int) -> float:
        return _number(row[name], f"{name!r} of episode {number} in {self._list}")


def overlapping(places: Sequence[Place], fps: float) -> Iterator[tuple[int, str]]:
    """Positions of episodes that are listed twice or whose frames are listed as another one's, and what is wrong."""
    seen = set[int]()
    in_video = defaultdict[Path | None, list[tuple[float, int]]](list)
    for i, place in enumerate(places):
        if place.number in seen:
            yield i, f"episode {place.number} is listed twice in meta/episodes"
        elif place.video is not None and not place.is_alone:
            in_video[place.video].append((place.start_s, i))
        seen.add(place.number)
    for video, starts in in_video.items():
        for (before_s, before), (start_s, i) in pairwise(sorted(starts)):
            if (start_s - before_s) * fps < places[before].length - 0.5:
                yield (
                    i,
                    f"episode {places[i].number} begins at {start_s:g} s of {video}, where episode"
                    f" {places[before].number} of {places[before].length} rows from {before_s:g} s on has not ended",
                )


def _number(value: Any, what: str) -> float:
    """A number >= 0 of a table."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InputError(f"{what} is {'null' if value is None else repr(value)}, and a number from 0 on is expected")
    return float(value)


def _whole(value: Any, what: str) -> int:
    """A whole number >= 0 of a table, where those beside a null are floats."""
    if (number := _number(value, what)) != int(number):
        raise InputError(f"{what} is {value!r}, and a whole number is expected")
    return int(number)
