"""Batches of episodes that an interrupted evaluation has played already."""

import shutil
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from lewm.evaluation.traces import save_arrays


class PartialResults:
    """A folder with a file for each batch. What another evaluation left in it is removed.

    Args:
      folder: folder of the parts.
      fingerprint: fingerprint of all that the outcomes depend on.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._folder = folder
        mark = folder / "fingerprint"
        if not (mark.exists() and mark.read_text(encoding="utf-8") == fingerprint):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            mark.write_text(fingerprint, encoding="utf-8")

    def load(self, number: int) -> dict[str, NDArray] | None:
        """The arrays of a batch; None if it is not there or damaged."""
        try:
            with self._path(number).open("rb") as file, np.load(file) as arrays:
                return dict(arrays)
        except (OSError, ValueError, EOFError, BadZipFile):
            return None

    def save(self, number: int, arrays: dict[str, NDArray]) -> None:
        save_arrays(self._path(number), arrays)

    def remove(self) -> None:
        """Removes the folder: all there is to know is elsewhere now."""
        shutil.rmtree(self._folder)

    def _path(self, number: int) -> Path:
        return self._folder / f"part_{number:04d}.npz"
