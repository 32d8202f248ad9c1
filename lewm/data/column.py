"""An array on disk that grows at its end."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Column:
    """One .npy file that grows at its end; its header is right when complete() has written it."""

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._row_shape, self._dtype = row_shape, np.dtype(dtype)
        self._row_bytes = self._dtype.itemsize * int(np.prod(row_shape))
        self._header_bytes = len(self._header(0))  # numpy pads it so that the number of rows can grow
        path.touch()
        self._file = path.open("r+b", buffering=0)
        size = os.fstat(self._file.fileno()).st_size
        self.num_rows = (size - self._header_bytes) // self._row_bytes if self._row_bytes else 0

    def _header(self, num_rows: int) -> bytes:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (num_rows, *self._row_shape),
        }
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(buffer, header)
        return buffer.getvalue()

    def truncate(self, num_rows: int) -> None:
        """Forgets all rows but the first; puts the end of the file where the next one goes."""
        self._write(0, self._header(0))
        self._file.truncate(self._header_bytes + num_rows * self._row_bytes)
        self.num_rows = num_rows

    def append(self, rows: NDArray[Any]) -> None:
        rows = np.ascontiguousarray(rows, self._dtype)
        self._write(self._header_bytes + self.num_rows * self._row_bytes, rows.reshape(-1).view(np.uint8).data)
        self.num_rows += len(rows)

    def _write(self, position: int, content: bytes | memoryview) -> None:
        view = memoryview(content)
        try:
            self._file.seek(position)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            error.filename = self._file.name  # the one thing that Python leaves out of "No space left on device"
            raise

    def map(self, num_rows: int) -> NDArray[Any]:
        """The first rows, without reading them."""
        shape = (num_rows, *self._row_shape)
        if num_rows * self._row_bytes == 0:
            return np.zeros(shape, self._dtype)
        return np.memmap(self._file.name, self._dtype, "r", self._header_bytes, shape)

    def complete(self) -> None:
        self._write(0, self._header(self.num_rows))
        os.fsync(self._file.fileno())  # before the rename, so that a power cut leaves no names without their content

    def close(self) -> None:
        self._file.close()
