"""Writes the HDF5 layout of lewm/data/convert/importers/hdf5.py, which the package stable-worldmodel reads.

One chunk is one frame, compressed with Blosc (LZ4): a reader of single frames unpacks no more than those.
"""

import io
import json
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lewm.data.convert.importers.hdf5 import METADATA_ATTRIBUTE
from lewm.data.convert.importers.source import require
from lewm.data.metadata import Metadata
from lewm.errors import InputError


class _Disk(io.FileIO):
    """A file that remembers the first write that failed and takes all further ones for done.

    HDF5 on a full disk cannot even be closed: it goes on trying, with a traceback for each object that is open.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        written = 0
        while written < len(view) and self.error is None:
            try:
                written += super().write(view[written:]) or 0
            except OSError as error:
                error.filename = self.name
                self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def check(self) -> None:
        """Raises what went wrong."""
        if self.error is not None:
            raise self.error


class HDF5Writer:
    """Writes `<path>.partial` and renames it when complete: what stands at `path` is never half done."""

    def __init__(self, path: str | Path, metadata: Metadata) -> None:
        self.path = Path(path)
        h5py, self._hdf5plugin = require("h5py"), require("hdf5plugin")
        if self.path.exists():
            raise InputError(f"{self.path} exists already: remove it, or give another output")
        self._partial = self.path.with_name(self.path.name + ".partial")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._disk = _Disk(self._partial, "w+")
        self._file = h5py.File(self._disk, "w")
        self._file.attrs[METADATA_ATTRIBUTE] = json.dumps(asdict(metadata))
        self._num_episodes = self._num_rows = 0

    def append(self, pixels: NDArray[np.uint8], states: NDArray[Any], actions: NDArray[Any]) -> None:
        """Adds an episode: (L+1, h, w, C) frames, (L+1, S) states, (L, a) raw actions."""
        length = len(pixels)
        nowhere = np.full((1, actions.shape[1]), np.nan, np.float32)  # the action of the last row
        rows = {
            "pixels": pixels,
            "action": np.concatenate([actions.astype(np.float32), nowhere]),
            **({"state": states.astype(np.float64)} if states.shape[1] else {}),
            "episode_idx": np.full(length, self._num_episodes, np.int32),
            "step_idx": np.arange(length, dtype=np.int32),
        }
        for name, values in rows.items():
            self._append(name, values, self._num_rows)
        self._append("ep_len", np.array([length], np.int32), self._num_episodes)
        self._append("ep_offset", np.array([self._num_rows], np.int64), self._num_episodes)
        self._disk.check()
        self._num_rows += length
        self._num_episodes += 1

    def _append(self, name: str, values: NDArray[Any], start: int) -> None:
        if name not in self._file:
            is_image = values.ndim == 4
            self._file.create_dataset(
                name,
                shape=(0, *values.shape[1:]),
                maxshape=(None, *values.shape[1:]),
                dtype=values.dtype,
                chunks=(1 if is_image else 1024, *values.shape[1:]),
                **(self._hdf5plugin.Blosc(cname="lz4") if is_image else {}),
            )
        column = self._file[name]
        column.resize(start + len(values), axis=0)
        column[start:] = values

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: Any, __: TracebackType | None) -> None:
        try:
            self._file.close()
            self._disk.close()
            if kind is None:
                self._disk.check()
                self._partial.rename(self.path)
        finally:
            self._partial.unlink(missing_ok=True)
