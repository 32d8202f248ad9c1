"""HDF5 files of others: opened and read with errors of one line."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lewm.data.convert.importers.source import require
from lewm.data.convert.resizing import BLOCK, Resize
from lewm.errors import InputError, one_line
from lewm.files import NO_LOCKS

JPEG = b"\xff\xd8\xff"
"""First bytes of a JPEG."""


def open_file(path: Path) -> Any:
    """Opens an HDF5 file, whatever it is compressed by. InputError: it is missing or damaged."""
    h5py, _ = require("h5py"), require("hdf5plugin")  # which registers its filters when imported
    if not path.is_file():
        raise InputError(f"there is no file {path}: give an HDF5 file")
    try:
        try:
            return h5py.File(path, "r", locking="best-effort")
        except OSError as error:
            if error.errno not in NO_LOCKS:  # of which HDF5's best effort knows one
                raise
            return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise InputError(f"{path} is not a whole HDF5 file ({one_line(error)})") from error


def read_rows(column: Any, begin: int, end: int, what: str) -> NDArray[Any]:
    """Rows begin ... end - 1 of a column. InputError: the file is damaged there; `what` names column and episode."""
    try:
        rows: NDArray[Any] = column[begin:end]
    except OSError as error:
        raise InputError(f"{what} cannot be read: the file is damaged ({one_line(error)})") from error
    return rows


def read_frames(column: Any, begin: int, end: int, resize: Resize, what: str) -> NDArray[np.uint8]:
    """(N, size, size, 3) frames of rows begin ... end - 1, a few at a time."""
    starts = range(begin, end, BLOCK)
    blocks = (read_rows(column, start, min(start + BLOCK, end), what) for start in starts)
    return np.concatenate([resize(_decoded(block, what)) for block in blocks])


def frame_shape(column: Any, what: str) -> tuple[int, int]:
    """Height and width of the frames of a column."""
    height, width = _decoded(read_rows(column, 0, 1, what), what).shape[1:3]
    return height, width


def holds_frames(column: Any) -> bool:
    """Whether a column is one of colour frames: uint8 (N, h, w, 3), or a JPEG in each row."""
    if column.ndim == 4:
        return bool(column.dtype == np.uint8 and column.shape[3] == 3)
    return len(column) > 0 and column.dtype.kind in "uO" and _is_jpeg(column[0])


def holds_numbers(column: Any) -> bool:
    """Whether a column has a number or a vector of numbers in each row."""
    return column.ndim in (1, 2) and column.dtype.kind in "fiub" and not holds_frames(column)


def _is_jpeg(row: Any) -> bool:
    return isinstance(row, np.ndarray) and row.dtype == np.uint8 and row[:3].tobytes() == JPEG


def _decoded(rows: NDArray[Any], what: str) -> NDArray[np.uint8]:
    if rows.ndim == 4:
        return rows
    import imageio.v3 as iio  # here, because who reads no JPEG needs no imageio

    try:
        return np.stack([iio.imread(io.BytesIO(row.tobytes()), plugin="pillow", mode="RGB") for row in rows])
    except (OSError, ValueError) as error:
        raise InputError(f"{what} holds frames that are no whole JPEG ({one_line(error)})") from error
