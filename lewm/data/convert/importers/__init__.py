"""Readers of other people's datasets, by the name of their format."""

from collections.abc import Callable

from lewm.data.convert.importers.diffusion_policy import DiffusionPolicySource
from lewm.data.convert.importers.hdf5 import HDF5Source
from lewm.data.convert.importers.lerobot import LeRobotSource
from lewm.data.convert.importers.minari import MinariSource
from lewm.data.convert.importers.robomimic import RobomimicSource
from lewm.data.convert.importers.source import Source
from lewm.data.convert.importers.video_folder import VideoFolderSource

IMPORTERS: dict[str, Callable[..., Source]] = {
    "diffusion_policy": DiffusionPolicySource,
    "hdf5": HDF5Source,
    "lerobot": LeRobotSource,
    "minari": MinariSource,
    "robomimic": RobomimicSource,
    "video_folder": VideoFolderSource,
}

__all__ = [
    "IMPORTERS",
    "DiffusionPolicySource",
    "HDF5Source",
    "LeRobotSource",
    "MinariSource",
    "RobomimicSource",
    "Source",
    "VideoFolderSource",
]
