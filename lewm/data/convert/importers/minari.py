"""Minari datasets on this machine, in its HDF5 format: a group for each episode with T actions and T + 1 observations.

Minari itself is not needed. Frames are an observation, or one of several, as arrays or as minari.DataCollector's JPEGs.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lewm.data.convert.importers.episode_groups import EpisodeGroupSource
from lewm.errors import InputError

FILE = "main_data.hdf5"


class MinariSource(EpisodeGroupSource):
    """The arguments are those of EpisodeGroupSource. `path` is the dataset's folder, or its id, such as door/human-v2,
    below MINARI_DATASETS_PATH or ~/.minari/datasets. Frames that are the whole observation are called observations.
    """

    format = "minari"
    observations = "observations"

    def _locate(self, path: Path) -> Path:
        folder = _find(path)
        self._about = _about(folder)
        return folder / FILE

    def _episode_names(self, file: Any) -> list[str]:
        return [name for name in file if name.startswith("episode_")]

    def _details(self, file: Any) -> dict[str, Any]:
        return {"dataset": str(self._about.get("dataset_id", "")), "minari": str(self._about.get("minari_version", ""))}

    def _bounds(self, low: NDArray[Any], high: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Those of the action space, where it is a bounded Box."""
        try:
            space = json.loads(self._about["action_space"])
            bounds = tuple(np.asarray(space[name], np.float32).reshape(-1) for name in ("low", "high"))
        except (KeyError, TypeError, ValueError):
            return low, high
        if any(bound.shape != low.shape or not np.isfinite(bound).all() for bound in bounds):
            return low, high
        return bounds[0], bounds[1]


def _find(path: Path) -> Path:
    """The folder that holds FILE or the metadata of another format."""
    root = Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")
    for folder in (path / "data", path, root / path / "data"):
        if (folder / FILE).is_file() or (folder / "metadata.json").is_file():
            return folder
    raise InputError(f"there is no Minari dataset {path}, neither as a folder nor in {root}: `minari list local` tells")


def _about(folder: Path) -> dict[str, Any]:
    """metadata.json, {} where there is none. InputError: it is damaged, or the data are of another format."""
    file = folder / "metadata.json"
    try:
        about = dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
    except (TypeError, ValueError) as error:
        raise InputError(f"{file} is damaged ({error})") from None
    if (found := about.get("data_format", "hdf5")) != "hdf5":
        raise InputError(f"{folder} is a Minari dataset in the format {found!r}, and 'hdf5' is read")
    return about
