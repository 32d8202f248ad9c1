"""Variants of one recording stay on one side of every split, whatever was made of the dataset."""

from dataclasses import replace

import numpy as np
import pytest
from rich.progress import Progress

from lewm.data.clips import split_dataset, split_episodes
from lewm.data.convert.editing import NativeSource, copy, merge, split
from lewm.data.convert.resizing import Resize
from lewm.data.episode_writer import EpisodeWriter
from lewm.data.episodes import Episodes
from lewm.data.sources import describe_sources, sources_of
from tests.fakes import COUNTING_METADATA, counting_episode

QUIET = Progress(disable=True)


def variants(path, num_episodes, num_sources, digest="recordings"):
    """A dataset whose episode n has the first state number n % num_sources."""
    with EpisodeWriter(path, replace(COUNTING_METADATA, collection=describe_sources(num_sources, digest))) as writer:
        for number in range(num_episodes):
            writer.append(*counting_episode(number % num_sources, 3))
    return path


def recording_of(data):
    """The recording that each episode shows."""
    return data.states[data.index.frame_offsets, 0].astype(int)


def test_an_episode_that_is_no_variant_is_a_source_of_its_own(counting_data):
    np.testing.assert_array_equal(counting_data.sources, np.arange(len(counting_data)))


def test_a_dataset_without_variants_is_split_by_episode_as_ever(counting_data):
    for ours, expected in zip(split_dataset(counting_data, 0.3, 1), split_episodes(6, 0.3, 1), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("seed", range(5))
def test_all_variants_of_a_recording_are_on_the_same_side(tmp_path, seed):
    data = Episodes(variants(tmp_path / "data", 23, 7))
    train, held_out = split_dataset(data, 0.3, seed)
    assert sorted([*train, *held_out]) == list(range(23))
    assert not set(recording_of(data)[train]) & set(recording_of(data)[held_out])
    assert len(set(recording_of(data)[held_out])) == 2


def test_a_resized_dataset_keeps_its_sources(tmp_path):
    data = Episodes(variants(tmp_path / "data", 5, 2))
    source = NativeSource(data, resize=Resize(8))
    with EpisodeWriter(tmp_path / "out", source.metadata) as writer:
        copy(source, writer, QUIET, "")
    np.testing.assert_array_equal(Episodes(tmp_path / "out").sources, data.sources)


def test_parts_of_a_split_share_no_recording_and_know_those_that_they_have(tmp_path):
    split(variants(tmp_path / "data", 20, 6), tmp_path / "a", tmp_path / "b", 0.5, 0, QUIET)
    parts = [Episodes(tmp_path / name) for name in "ab"]
    assert not set(recording_of(parts[0])) & set(recording_of(parts[1]))
    for part in parts:
        assert len(set(zip(part.sources, recording_of(part), strict=True))) == 3 == len(set(part.sources))


@pytest.mark.parametrize(("digest", "num_sources"), [("recordings", 3), ("others", 6)])
def test_merged_datasets_share_the_sources_of_the_same_recordings_alone(tmp_path, digest, num_sources):
    merge([variants(tmp_path / "a", 7, 3), variants(tmp_path / "b", 5, 3, digest)], tmp_path / "out", QUIET)
    sources = Episodes(tmp_path / "out").sources
    assert len(set(sources)) == sources.max() + 1 == num_sources
    np.testing.assert_array_equal(sources[:7], np.arange(7) % 3)


def test_a_dataset_that_was_merged_without_counts_has_sources_of_their_own():
    merged = {"merged_from": [{"content_hash": "", "collection": {}}, {"content_hash": "", "collection": {}}]}
    np.testing.assert_array_equal(sources_of(merged, 5), np.arange(5))
