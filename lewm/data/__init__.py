"""Recorded episodes on disk, clips of them, and their action statistics."""

from lewm.data.episode_writer import EpisodeWriter
from lewm.data.metadata import Metadata
from lewm.data.recorder import Recorder

__all__ = ["EpisodeWriter", "Metadata", "Recorder"]
