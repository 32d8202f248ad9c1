"""LeRobot datasets of version 3: many episodes to a file, tables in parquet and one video per camera.

meta/info.json names the features and the files, meta/episodes/ tells which rows and which seconds belong to an episode.
The action of an episode's last row leads nowhere and is dropped.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lewm.data.convert.importers.source import (
    Recorded,
    action_bounds,
    as_columns,
    check_finite,
    choose,
    imported_metadata,
    numbered,
    require,
)
from lewm.data.convert.importers.video import VideoReader
from lewm.data.convert.resizing import BLOCK, Resize
from lewm.data.episode_arrays import Episode
from lewm.errors import InputError

Table = dict[str, NDArray[Any]]


class LeRobotSource:
    """Args:
    path: the dataset's folder, in which meta/info.json is.
    resize: makes the frames.
    env_id: Gymnasium id of the environment that the data are from, if it can be made.
    camera: the feature of the frames; None takes the only one.
    states: the feature of the states, "none" for no states.
    """

    def __init__(
        self,
        path: Path,
        resize: Resize,
        *,
        env_id: str | None = None,
        camera: str | None = None,
        states: str = "observation.state",
    ) -> None:
        self.path, self._resize = path, resize
        self._parquet = require("pyarrow.parquet")
        self._info = self._read_info()
        features = self._info["features"]
        cameras = [name for name, feature in features.items() if feature.get("dtype") in ("video", "image")]
        self._camera = choose(camera, cameras, "camera", "--camera")
        self._in_video = features[self._camera]["dtype"] == "video"
        self._states = None if states == "none" or (states not in features) else states
        if "action" not in features or (self._states is None and states not in ("none", "observation.state")):
            lacking = "action" if "action" not in features else states
            raise InputError(f"{path} has no feature {lacking!r}; it has {', '.join(features)}")
        self._data: tuple[Path, Table] | None = None
        self._video: VideoReader | None = None
        episodes = self._read_episodes()
        self._rows = [i for i in range(len(episodes["length"])) if episodes["length"][i] >= 2]
        self._episodes = episodes
        left_out = len(episodes["length"]) - len(self._rows)
        self.notes = [f"{left_out} episodes of less than 2 rows left out"] if left_out else []
        if not self._rows:
            raise InputError(f"{path} has no episode of at least 2 rows: there is no action in it")
        low, high = action_bounds(self._numbers(row)[0] for row in self._rows)
        size = resize.size_of(*self._frame_shape(features[self._camera]))
        details = {"camera": self._camera, "fps": self._info["fps"], "robot_type": self._info.get("robot_type")}
        details["action_names"] = _names(features["action"], "action", len(low))
        state_names = _names(features[self._states], "state", self._state_dim()) if self._states else []
        self.metadata = imported_metadata(Recorded(path, "lerobot", size, low, high, state_names, details), env_id)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Episode]:
        try:
            for row in self._rows:
                actions, states = self._numbers(row)
                pixels = self._video_frames(row) if self._in_video else self._image_frames(row)
                if len(pixels) < len(states):
                    raise InputError(
                        f"the video of episode {self._episodes['episode_index'][row]} in {self.path} ends at row"
                        f" {len(pixels)} of {len(states)}"
                    )
                yield Episode(pixels, states, actions)
        finally:
            if self._video is not None:
                self._video.close()

    def _read_info(self) -> dict[str, Any]:
        path = self.path / "meta" / "info.json"
        if not path.is_file():
            raise InputError(f"{self.path} is not a LeRobot dataset: it has no meta/info.json")
        try:
            info = json.loads(path.read_text(encoding="utf-8"))
            version, _, _ = info["codebase_version"], info["data_path"], info["features"]["action"]
            float(info["fps"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is damaged or incomplete ({error!r})") from None
        if not str(version).startswith("v3"):
            raise InputError(f"{self.path} is of LeRobot version {version}, and v3 is read: convert it with lerobot")
        return dict(info)

    def _read_episodes(self) -> Table:
        files = sorted((self.path / "meta" / "episodes").glob("*/*.parquet"))
        if not files:
            raise InputError(f"{self.path} has no meta/episodes/*/*.parquet: the dataset is incomplete")
        names = ["episode_index", "length", "data/chunk_index", "data/file_index"]
        if self._in_video:
            names += [f"videos/{self._camera}/{name}" for name in ("chunk_index", "file_index", "from_timestamp")]
        parts = [self._read(file, names) for file in files]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def _read(self, file: Path, columns: list[str]) -> Table:
        """Columns of a parquet file as arrays (N,) or (N, dim); images as an object array of their encoded bytes."""
        try:
            table = self._parquet.read_table(file, columns=columns)
        except FileNotFoundError:
            raise InputError(f"{self.path} lacks {file.relative_to(self.path)}: the dataset is incomplete") from None
        except (OSError, ValueError) as error:  # pyarrow's own are ValueErrors
            raise InputError(f"{file} is not a whole parquet file: {str(error).splitlines()[0]}") from None
        if lacking := set(columns) - set(table.column_names):
            raise InputError(f"{file} has no column {min(lacking)!r}")
        return {name: self._array(table.column(name), name, file) for name in columns}

    def _array(self, column: Any, name: str, file: Path) -> NDArray[Any]:
        kind = str(column.type)
        if kind.startswith("struct"):
            images = np.empty(len(column), object)
            images[:] = column.to_pylist()
            return images
        if "list" not in kind:
            numbers: NDArray[Any] = column.to_numpy()
            return numbers
        values = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        if len(column) == 0 or len(values) % len(column) or values.dtype.kind not in "fiub":
            raise InputError(f"the rows of {name!r} in {file} are no vectors of one length")
        vectors: NDArray[Any] = values.reshape(len(column), -1)
        return vectors

    def _file(self, template: str, row: int, prefix: str, **names: str) -> Path:
        chunk, file = (int(self._episodes[f"{prefix}/{name}"][row]) for name in ("chunk_index", "file_index"))
        try:
            return self.path / self._info[template].format(chunk_index=chunk, file_index=file, **names)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise InputError(f"{template} in {self.path}/meta/info.json cannot be filled in ({error!r})") from None

    def _table(self, row: int) -> Table:
        """The rows of an episode; the file that it is in is kept for the next one."""
        file = self._file("data_path", row, "data")
        if self._data is None or self._data[0] != file:
            columns = ["episode_index", "frame_index", "action", *([self._states] if self._states else [])]
            self._data = file, self._read(file, columns + ([] if self._in_video else [self._camera]))
        table, episode = self._data[1], self._episodes["episode_index"][row]
        rows = np.flatnonzero(table["episode_index"] == episode)
        rows = rows[np.argsort(table["frame_index"][rows], kind="stable")]
        length = self._episodes["length"][row]
        if table["frame_index"][rows].tolist() != list(range(length)):
            raise InputError(
                f"episode {episode} has {length} rows by meta/episodes, and {file} holds {len(rows)} of it"
            )
        return {name: values[rows] for name, values in table.items()}

    def _numbers(self, row: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        table, episode = self._table(row), int(self._episodes["episode_index"][row])
        actions = as_columns(table["action"])[:-1].astype(np.float32)
        states = as_columns(table[self._states]).astype(np.float64) if self._states else np.zeros((len(actions) + 1, 0))
        check_finite(actions, "action", self.path, episode)
        check_finite(states, "state", self.path, episode)
        return actions, states

    def _state_dim(self) -> int:
        return self._numbers(self._rows[0])[1].shape[1]

    def _video_frames(self, row: int) -> NDArray[np.uint8]:
        prefix = f"videos/{self._camera}"
        file = self._file("video_path", row, prefix, video_key=self._camera)
        if self._video is None or self._video.path != file:
            if self._video is not None:
                self._video.close()
            self._video = VideoReader(file, self._resize)
        start = round(float(self._episodes[f"{prefix}/from_timestamp"][row]) * self._info["fps"])
        return self._video.read(start, int(self._episodes["length"][row]))

    def _image_frames(self, row: int) -> NDArray[np.uint8]:
        images = self._table(row)[self._camera]
        blocks = (images[i : i + BLOCK] for i in range(0, len(images), BLOCK))
        return np.concatenate([self._resize(np.stack([_decode(image) for image in block])) for block in blocks])

    def _frame_shape(self, feature: dict[str, Any]) -> tuple[int, int]:
        shape, names = list(feature["shape"]), feature.get("names")
        names = list(names) if isinstance(names, list) else ["height", "width", "channels"]
        order = {str(name)[0].lower(): size for name, size in zip(names, shape, strict=False)}
        return int(order.get("h", shape[0])), int(order.get("w", shape[1]))


def _names(feature: dict[str, Any], name: str, width: int) -> list[str]:
    """The names that a feature gives its numbers, or numbered ones."""
    names = feature.get("names")
    if isinstance(names, dict):
        names = [word for group in names.values() for word in (group if isinstance(group, list) else [group])]
    return [str(word) for word in names] if isinstance(names, list) and len(names) == width else numbered(name, width)


def _decode(image: dict[str, Any]) -> NDArray[np.uint8]:
    import imageio.v3 as iio  # here, because who reads no LeRobot images needs no imageio

    frame: NDArray[np.uint8] = iio.imread(io.BytesIO(image["bytes"]))[..., :3]
    return frame
