"""Merging and splitting move whole episodes, and refuse what does not belong together."""

from dataclasses import replace

import numpy as np
import pytest
from rich.progress import Progress

from lewm.data.convert.editing import NativeSource, copy, merge, split
from lewm.data.convert.resizing import Resize
from lewm.data.episode_writer import EpisodeWriter
from lewm.data.episodes import Episodes
from lewm.errors import InputError
from tests.fakes import COUNTING_METADATA, counting_episode

QUIET = Progress(disable=True)


def write(path, numbers, metadata=COUNTING_METADATA):
    """An episode for each number, of as many actions and one."""
    with EpisodeWriter(path, metadata) as writer:
        for number in numbers:
            writer.append(*counting_episode(number, number + 1))
    return path


def numbers_in(path):
    """What write() was given, after every array was compared with it."""
    data = Episodes(path)
    numbers = data.states[data.index.frame_offsets, 0].astype(int).tolist()
    for number, episode in zip(numbers, NativeSource(data), strict=True):
        for values, expected in zip(episode, counting_episode(number, number + 1), strict=True):
            np.testing.assert_array_equal(values, expected)
    assert all(data.intact())
    return numbers


def test_merging_puts_one_dataset_behind_the_other(tmp_path):
    paths = [write(tmp_path / name, numbers) for name, numbers in (("a", [3, 1]), ("b", [4]), ("c", [1, 5]))]
    merge(paths, tmp_path / "out", QUIET)
    assert numbers_in(tmp_path / "out") == [3, 1, 4, 1, 5]


def test_a_merged_dataset_tells_what_it_was_made_of(tmp_path):
    paths = [write(tmp_path / name, [1, 2], replace(COUNTING_METADATA, collection={"seed": name})) for name in "ab"]
    merge(paths, tmp_path / "out", QUIET)
    metadata = Episodes(tmp_path / "out").metadata
    assert [part["collection"] for part in metadata.collection["merged_from"]] == [{"seed": "a"}, {"seed": "b"}]
    assert replace(metadata, collection={}) == COUNTING_METADATA


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"env_id": "tests/Other-v0"}, "tests/Other-v0"),
        ({"state_names": ["x", "y"]}, "state_names"),
        ({"action_high": [1.0, 1.0]}, "action_high"),
        ({"env_kwargs": {"shape": "L"}}, "env_kwargs"),
    ],
)
def test_datasets_that_differ_in_what_they_are_of_are_not_merged(tmp_path, changes, word):
    paths = [write(tmp_path / "a", [1]), write(tmp_path / "b", [1], replace(COUNTING_METADATA, **changes))]
    with pytest.raises(InputError, match=word) as error:
        merge(paths, tmp_path / "out", QUIET)
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_datasets_of_different_actions_are_not_merged(tmp_path):
    metadata = replace(COUNTING_METADATA, action_low=[0.0], action_high=[1.0])
    pixels, states, actions = counting_episode(0, 3)
    with EpisodeWriter(tmp_path / "b", metadata) as writer:
        writer.append(pixels, states, actions[:, :1])
    with pytest.raises(InputError, match="number of action dimensions is 2 and 1"):
        merge([write(tmp_path / "a", [1]), tmp_path / "b"], tmp_path / "out", QUIET)


def test_frames_of_different_sizes_are_not_merged(tmp_path):
    source = NativeSource(Episodes(write(tmp_path / "a", [1])), resize=Resize(8))
    with EpisodeWriter(tmp_path / "b", source.metadata) as writer:
        copy(source, writer, QUIET, "")
    with pytest.raises(InputError, match="shape of a frame"):
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out", QUIET)


def test_a_dataset_that_is_there_is_not_written_over(tmp_path):
    path = write(tmp_path / "a", [1, 2])
    before = Episodes(path).content_hash
    with pytest.raises(InputError, match="exists already"):
        merge([path, path], path, QUIET)
    with pytest.raises(InputError, match="exists already"):
        split(path, tmp_path / "new", path, 0.5, 0, QUIET)
    assert Episodes(path).content_hash == before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_episode_whose_bytes_have_changed_is_not_copied(tmp_path):
    path = write(tmp_path / "a", [4, 5])
    actions = np.load(path / "actions.npy")
    actions[7] += 1
    np.save(path / "actions.npy", actions)
    with pytest.raises(InputError, match=r"episode 1 of .* not what was written"):
        merge([path, path], tmp_path / "out", QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_split_gives_every_episode_to_one_side_in_its_order(tmp_path):
    split(write(tmp_path / "a", range(10)), tmp_path / "x", tmp_path / "y", 0.7, 0, QUIET)
    first, second = numbers_in(tmp_path / "x"), numbers_in(tmp_path / "y")
    assert len(first) == 7
    assert (first, second) == (sorted(first), sorted(second))
    assert sorted(first + second) == list(range(10))


def test_a_split_is_a_function_of_its_seed(tmp_path):
    path = write(tmp_path / "a", range(10))
    for name, seed in (("x", 0), ("y", 0), ("z", 1)):
        split(path, tmp_path / name, tmp_path / f"{name}2", 0.5, seed, QUIET)
    assert numbers_in(tmp_path / "x") == numbers_in(tmp_path / "y") != numbers_in(tmp_path / "z")


def test_the_parts_of_a_split_merge_to_the_whole(tmp_path):
    split(write(tmp_path / "a", range(6)), tmp_path / "x", tmp_path / "y", 0.5, 3, QUIET)
    merge([tmp_path / "x", tmp_path / "y"], tmp_path / "out", QUIET)
    assert sorted(numbers_in(tmp_path / "out")) == list(range(6))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_that_leaves_one_side_empty_is_refused(tmp_path, fraction):
    with pytest.raises(InputError, match="--fraction"):
        split(write(tmp_path / "a", range(4)), tmp_path / "x", tmp_path / "y", fraction, 0, QUIET)


def test_a_split_by_a_negative_seed_is_refused(tmp_path):
    with pytest.raises(InputError, match="--seed -1 must be at least 0"):
        split(write(tmp_path / "a", range(4)), tmp_path / "x", tmp_path / "y", 0.5, -1, QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_two_parts_of_a_split_need_two_places(tmp_path):
    with pytest.raises(InputError, match="two outputs"):
        split(write(tmp_path / "a", range(4)), tmp_path / "x", tmp_path / "." / "x", 0.5, 0, QUIET)


# Frames of another size.


def test_a_frame_of_one_colour_keeps_it_at_any_size():
    frames = np.full((3, 30, 30, 3), (10, 100, 250), np.uint8)
    for size in (7, 15, 64):
        resized = Resize(size)(frames)
        assert resized.shape == (3, size, size, 3)
        assert (resized == (10, 100, 250)).all()


def test_smaller_frames_are_antialiased():
    stripes = np.zeros((1, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 200
    inner = Resize(16)(stripes)[:, 2:-2, 2:-2]
    np.testing.assert_allclose(inner, 100, atol=3)


def test_a_crop_is_the_middle_and_padding_is_black():
    frames = np.zeros((1, 4, 8, 3), np.uint8)
    frames[:, :, 2:6] = 9
    assert (Resize(None, "crop")(frames) == np.full((1, 4, 4, 3), 9)).all()
    padded = Resize(None, "pad")(frames)
    assert padded.shape == (1, 8, 8, 3)
    assert (padded[:, 2:6] == frames).all() and padded.sum() == frames.sum()


def test_a_block_of_frames_is_resized_as_each_of_them_is():
    frames = np.random.default_rng(0).integers(0, 255, (150, 20, 20, 3)).astype(np.uint8)
    resize = Resize(9)
    np.testing.assert_array_equal(resize(frames), np.concatenate([resize(frame[None]) for frame in frames]))


def test_a_resized_dataset_is_described_with_its_new_size(tmp_path):
    source = NativeSource(Episodes(write(tmp_path / "a", [3])), resize=Resize(8))
    assert (source.metadata.frame_size, source.metadata.collection) == (8, {"resized_from": 4})
    assert next(iter(source)).pixels.shape == (5, 8, 8, 3)


def test_no_frame_size_below_one_is_taken(tmp_path):
    with pytest.raises(InputError, match="--frame-size 0"):
        NativeSource(Episodes(write(tmp_path / "a", [3])), resize=Resize(0))
