"""The files of a dataset as they are, whatever is wrong with them."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ARRAYS = {
    "pixels": (np.uint8, 4),
    "states": (np.float64, 2),
    "actions": (np.float32, 2),
    "lengths": (np.int64, 1),
    "digests": (np.uint8, 2),
}
"""Type and number of axes of each file."""


class RawArray(NamedTuple):
    """The rows that a .npy file really has, None where it has none, and what is wrong with it."""

    rows: NDArray[Any] | None
    problems: list[str]


def read_raw_array(path: Path) -> RawArray:
    """Maps the whole rows of an array's file; the file's name says which array it is."""
    dtype, ndim = ARRAYS[path.stem]
    if not path.is_file():
        return RawArray(None, [f"{path.name} is missing"])
    num_bytes = path.stat().st_size
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, fortran_order, stored_dtype = read_header[version](file)
            begin = file.tell()
    except (ValueError, KeyError, EOFError, SyntaxError) as error:
        return RawArray(None, [f"{path.name} ({num_bytes} bytes) has no header of a .npy file: {error}"])
    if stored_dtype != dtype or len(shape) != ndim or fortran_order:
        wanted = f"{np.dtype(dtype)} with {ndim} axes"
        return RawArray(None, [f"{path.name} is {stored_dtype} of shape {shape}, and {wanted} in rows is expected"])
    row_bytes = stored_dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
    promised = begin + shape[0] * row_bytes
    problems = []
    if num_bytes < promised:
        there = (num_bytes - begin) // row_bytes
        problems.append(f"{path.name} is truncated: {num_bytes} bytes of {promised}, {there} rows of {shape[0]}")
        shape = (there, *shape[1:])
    elif num_bytes > promised:
        problems.append(f"{path.name} has {num_bytes - promised} bytes more than its {shape[0]} rows")
    if 0 in shape:
        return RawArray(np.zeros(shape, stored_dtype), problems)
    return RawArray(np.memmap(path, stored_dtype, "r", begin, shape), problems)
