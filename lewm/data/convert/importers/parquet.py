"""Columns of parquet files as arrays."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lewm.data.convert.importers.source import MissingFileError, require
from lewm.errors import InputError, one_line


class ParquetTable:
    """Some columns of a parquet file.

    Args:
      file: the file. MissingFileError: it is not there. InputError: it is no whole parquet file.
      required: columns that it must have, else InputError.
      optional: columns that are read where there are such.
    """

    def __init__(self, file: Path, required: Iterable[str], optional: Iterable[str] = ()) -> None:
        self.file = file
        arrow, parquet = require("pyarrow"), require("pyarrow.parquet")
        if not file.is_file():
            raise MissingFileError(file)
        try:
            with parquet.ParquetFile(file) as opened:
                there = set(opened.schema_arrow.names)
                if lacking := [name for name in required if name not in there]:
                    raise InputError(f"{file} has no column {lacking[0]!r}; it has {', '.join(sorted(there))}")
                self._table = opened.read([*required, *(name for name in optional if name in there)])
        except (OSError, arrow.ArrowException) as error:
            raise InputError(f"{file} is not a whole parquet file ({one_line(error)})") from error

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __contains__(self, name: str) -> bool:
        return name in self._table.column_names

    def records(self) -> list[dict[str, Any]]:
        """The rows as dicts."""
        rows: list[dict[str, Any]] = self._table.to_pylist()
        return rows

    def objects(self, name: str, rows: NDArray[np.int64]) -> list[Any]:
        """Values of some rows."""
        values: list[Any] = self._table.column(name).take(rows).to_pylist()
        return values

    def numbers(self, name: str, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """(N, dim) numbers of some rows, or of all. InputError: one is null, or they are no vectors of one length."""
        types = require("pyarrow").types
        column = self._table.column(name)
        values = (column if rows is None else column.take(rows)).combine_chunks()
        num_rows = len(values)
        while True:
            if values.null_count:
                row = values.is_null().to_numpy(zero_copy_only=False).argmax() * num_rows // max(len(values), 1)
                row = row if rows is None else rows[row]
                raise InputError(f"{name!r} in row {row} of {self.file} is null")
            if not (types.is_list(values.type) or types.is_large_list(values.type)):
                if not types.is_fixed_size_list(values.type):
                    break
            elif len(values.value_lengths().unique()) > 1:
                raise InputError(f"the rows of {name!r} in {self.file} are no vectors of one length")
            values = values.flatten()
        array = values.to_numpy(zero_copy_only=False)
        if array.dtype.kind not in "fiub":
            raise InputError(f"{name!r} in {self.file} is {column.type}: numbers are expected")
        return array.reshape(num_rows, -1) if num_rows else array.reshape(0, 1)

    def scalars(self, name: str, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """(N,) numbers of some rows, or of all."""
        values = self.numbers(name, rows)
        if values.shape[1] != 1:
            raise InputError(f"{name!r} in {self.file} has {values.shape[1]} numbers in a row, and one is expected")
        return values[:, 0]
