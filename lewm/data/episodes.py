"""The native dataset: a folder of four .npy files that are memory-mapped, and metadata.json.

pixels.npy   (F, h, w, C) uint8     all frames of all episodes, one after another
states.npy   (F, S) float64         the simulator state of each frame
actions.npy  (F - E, a) float32     raw actions; an episode of L actions has L + 1 frames, frame 0 is the reset's
lengths.npy  (E,) int64             actions in each episode
"""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from lewm.errors import InputError

FORMAT = "lewm-episodes"
VERSION = 1
_ARRAYS = ("pixels", "states", "actions", "lengths")


@dataclass(frozen=True)
class Metadata:
    """What is known of a dataset beside its arrays.

    Attributes:
      env_id: Gymnasium id of the environment.
      frame_size: height and width of the frames.
      state_names: S names, one for each number of a state.
      action_low: (a,) lower bounds of the raw actions.
      action_high: (a,) upper bounds of the raw actions.
      collection: how the data came about: policy, seed, versions.
    """

    env_id: str
    frame_size: int
    state_names: list[str]
    action_low: list[float]
    action_high: list[float]
    collection: dict[str, Any]


class Episodes:
    """Memory-mapped reader of a dataset folder.

    Attributes:
      pixels, states, actions, lengths: the arrays of the module's docstring.
      frame_offsets, action_offsets: (E,) index of each episode's first frame and first action.
      metadata: Metadata.
      content_hash: hex digest of all arrays, made when they were written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.metadata, self.content_hash = read_description(self.path)
        self.pixels, self.states, self.actions, self.lengths = (self._map(name) for name in _ARRAYS)
        num_frames = int((self.lengths + 1).sum())
        if (len(self.pixels), len(self.states), len(self.actions)) != (num_frames, num_frames, self.lengths.sum()):
            raise InputError(f"the arrays in {self.path} do not fit their lengths: collect the dataset again")
        self.frame_offsets = np.cumsum(self.lengths + 1) - (self.lengths + 1)
        self.action_offsets = np.cumsum(self.lengths) - self.lengths

    def _map(self, name: str) -> NDArray[Any]:
        try:
            return np.load(self.path / f"{name}.npy", mmap_mode=None if name == "lengths" else "r")
        except (OSError, EOFError, ValueError) as error:
            raise InputError(f"{self.path / name}.npy is missing or damaged ({error}): collect again") from error

    def __reduce__(self) -> tuple[type["Episodes"], tuple[Path]]:
        return Episodes, (self.path,)  # a worker process opens the files; pickling a memory map would copy the data

    def __len__(self) -> int:
        return len(self.lengths)

    def check_fits(self, env_id: str, frame_size: int) -> None:
        """InputError unless the data are of this environment at this frame size."""
        if self.metadata.env_id != env_id:
            raise InputError(
                f"the dataset {self.path} is of the environment {self.metadata.env_id}, not {env_id}:"
                " give another data path"
            )
        if self.metadata.frame_size != frame_size:
            raise InputError(
                f"the frames of {self.path} are {self.metadata.frame_size} pixels wide, and {frame_size} are wanted:"
                " set env.frame_size, or give another data path"
            )


def read_description(path: Path) -> tuple[Metadata, str]:
    """Metadata and content hash of the dataset at `path`; an InputError says what else is there."""
    if not path.is_dir():
        raise InputError(f"no dataset at {path}: make one with scripts/collect.py data_path={path}")
    try:
        described = json.loads((path / "metadata.json").read_text())
    except FileNotFoundError:
        raise InputError(f"{path} is not a dataset: it has no metadata.json; give another data path") from None
    except ValueError as error:
        raise InputError(f"{path}/metadata.json is damaged ({error}): collect the dataset again") from None
    if not isinstance(described, dict) or (described.get("format"), described.get("version")) != (FORMAT, VERSION):
        raise InputError(f"{path} is not a dataset of format {FORMAT} version {VERSION}; give another data path")
    try:
        return Metadata(**described["metadata"]), described["content_hash"]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}/metadata.json is incomplete ({error}): collect the dataset again") from None


class _Column:
    """One .npy file that grows at its end; its header is rewritten when the number of rows is known."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb")
        self._rows = 0
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.uint8)
        self.digest = hashlib.sha256()

    def append(self, rows: NDArray[Any]) -> None:
        rows = np.ascontiguousarray(rows)
        if self._rows == 0:
            self._shape, self._dtype = rows.shape[1:], rows.dtype
            self._write_header()
        assert (rows.shape[1:], rows.dtype) == (self._shape, self._dtype)
        self._rows += len(rows)
        data = rows.data.cast("B")
        self.digest.update(data)
        try:
            self._file.write(data)
        except OSError as error:
            error.filename = self._file.name  # the one thing that Python leaves out of "No space left on device"
            raise

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._rows, *self._shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)  # numpy pads it so that the first axis can grow

    def complete(self) -> None:
        self._file.seek(0)
        self._write_header()

    def close(self) -> None:
        self._file.close()


class EpisodeWriter:
    """Writes a dataset into `<path>.partial` and renames it when complete: what stands at `path` is never half done."""

    def __init__(self, path: str | Path, metadata: Metadata) -> None:
        self.path = Path(path)
        if self.path.exists():
            raise InputError(f"{self.path} exists already: remove it, or give another data.path")
        self._partial = self.path.with_name(self.path.name + ".partial")
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        self._metadata = metadata
        self._columns = {name: _Column(self._partial / f"{name}.npy") for name in _ARRAYS}

    def append(self, pixels: NDArray[np.uint8], states: NDArray[Any], actions: NDArray[Any]) -> None:
        """Adds an episode: (L+1, h, w, C) frames, (L+1, S) states, (L, a) raw actions."""
        assert len(pixels) == len(states) == len(actions) + 1 >= 2
        self._columns["pixels"].append(pixels)
        self._columns["states"].append(states.astype(np.float64))
        self._columns["actions"].append(actions.astype(np.float32))
        self._columns["lengths"].append(np.array([len(actions)], np.int64))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: Any, __: TracebackType | None) -> None:
        try:
            if kind is None:
                for column in self._columns.values():
                    column.complete()
        finally:
            for column in self._columns.values():
                column.close()
        if kind is not None:
            shutil.rmtree(self._partial, ignore_errors=True)
            return
        digests = "".join(self._columns[name].digest.hexdigest() for name in _ARRAYS)
        described = {
            "format": FORMAT,
            "version": VERSION,
            "content_hash": hashlib.sha256(digests.encode()).hexdigest(),
            "metadata": asdict(self._metadata),
        }
        (self._partial / "metadata.json").write_text(json.dumps(described, indent=2) + "\n")
        self._partial.rename(self.path)
