"""Writers of datasets by the name of their format; each takes (path, metadata) and is given episode after episode."""

from lewm.data.convert.exporters.hdf5 import HDF5Writer
from lewm.data.episode_writer import EpisodeWriter

EXPORTERS = {"native": EpisodeWriter, "hdf5": HDF5Writer}

__all__ = ["EXPORTERS", "HDF5Writer"]
