"""Array files of a dataset, mapped into memory, with everything that is wrong with them."""

import math
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lewm.errors import one_line


class ArrayKind(NamedTuple):
    """Type and number of axes of an array."""

    dtype: Any
    ndim: int


ARRAYS = {
    "pixels": ArrayKind(np.uint8, 4),
    "states": ArrayKind(np.float64, 2),
    "actions": ArrayKind(np.float32, 2),
    "lengths": ArrayKind(np.int64, 1),
    "digests": ArrayKind(np.uint8, 2),
}
"""Arrays of a dataset by the names of their files, in the order in which an episode is written."""


class ArrayFile(NamedTuple):
    """Content of a .npy file.

    Attributes:
      rows: its whole rows, mapped into memory; None if there are none.
      problems: what is wrong with the file, a line each.
    """

    rows: NDArray[Any] | None
    problems: list[str]


def read_array_file(path: Path) -> ArrayFile:
    """Maps the whole rows of an array of ARRAYS; the name of the file says which one it is."""
    dtype, ndim = ARRAYS[path.stem]
    if not path.is_file():
        return ArrayFile(None, [f"{path.name} is missing"])
    num_bytes = path.stat().st_size
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, fortran_order, stored_dtype = read_header[version](file)
            begin = file.tell()
    except (OSError, ValueError, KeyError, EOFError, SyntaxError, RecursionError, TokenError) as error:
        return ArrayFile(None, [f"{path.name} ({num_bytes} bytes) has no header of a .npy file: {one_line(error)}"])
    if stored_dtype != dtype or len(shape) != ndim or fortran_order or min(shape) < 0:
        wanted = f"{np.dtype(dtype)} with {ndim} axes"
        return ArrayFile(None, [f"{path.name} is {stored_dtype} of shape {shape}, and {wanted} in rows is expected"])
    row_bytes = stored_dtype.itemsize * math.prod(shape[1:])
    promised = begin + shape[0] * row_bytes
    problems = []
    if num_bytes < promised:
        there = (num_bytes - begin) // row_bytes
        problems.append(f"{path.name} is truncated: {num_bytes} bytes of {promised}, {there} rows of {shape[0]}")
        shape = (there, *shape[1:])
    elif num_bytes > promised:
        problems.append(f"{path.name} has {num_bytes - promised} bytes more than its {shape[0]} rows")
    if 0 in shape:
        return ArrayFile(np.zeros(shape, stored_dtype), problems)
    return ArrayFile(np.memmap(path, stored_dtype, "r", begin, shape), problems)
