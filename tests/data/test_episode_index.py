"""Every row of the arrays belongs to one episode, and the index tells which."""

import numpy as np
import pytest

from lewm.data.episode_arrays import EpisodeArrays
from lewm.data.episode_index import EpisodeIndex

LENGTHS = (3, 1, 5, 2)
INDEX = EpisodeIndex(LENGTHS)


def test_frames_and_actions_of_the_episodes_follow_one_another_without_a_gap():
    frames = [np.arange(INDEX.num_frames)[INDEX.frames(episode)] for episode in range(len(INDEX))]
    actions = [np.arange(INDEX.num_actions)[INDEX.actions(episode)] for episode in range(len(INDEX))]
    assert [len(rows) for rows in frames] == [length + 1 for length in LENGTHS]
    assert [len(rows) for rows in actions] == list(LENGTHS)
    np.testing.assert_array_equal(np.concatenate(frames), np.arange(INDEX.num_frames))
    np.testing.assert_array_equal(np.concatenate(actions), np.arange(INDEX.num_actions))


def test_rows_of_steps_are_those_of_the_slices():
    for episode, length in enumerate(LENGTHS):
        steps = np.arange(length)
        frames, actions = INDEX.frames(episode), INDEX.actions(episode)
        np.testing.assert_array_equal(INDEX.frame_rows(episode, steps), np.arange(frames.start, frames.stop - 1))
        np.testing.assert_array_equal(INDEX.action_rows(episode, steps), np.arange(actions.start, actions.stop))


@pytest.mark.parametrize("room", [0, 2, 4, 6])
def test_places_are_the_frames_with_so_many_actions_behind_them(room):
    owners, steps = INDEX.places([2, 0], room)
    expected = [(episode, step) for episode in (2, 0) for step in range(LENGTHS[episode] - room + 1)]
    assert list(zip(owners.tolist(), steps.tolist(), strict=True)) == expected


def test_a_subset_is_the_index_of_a_dataset_of_those_episodes():
    subset = INDEX.subset([2, 0])
    assert subset.lengths.tolist() == [5, 3]
    assert (subset.num_frames, subset.num_actions) == (10, 8)


@pytest.mark.parametrize(
    ("num_frames", "num_actions", "num_whole"),
    [(15, 11, 4), (14, 11, 3), (15, 10, 3), (4, 3, 1), (3, 11, 0), (15, 2, 0)],
)
def test_an_episode_is_whole_if_all_of_its_frames_and_actions_are_there(num_frames, num_actions, num_whole):
    assert INDEX.num_whole(num_frames, num_actions) == num_whole


def test_spaced_episodes_are_different_and_reach_from_the_first_to_the_last():
    assert EpisodeIndex([1] * 11).spaced(3).tolist() == [0, 5, 10]
    assert INDEX.spaced(9).tolist() == [0, 1, 2, 3]


def test_an_index_without_episodes_has_no_rows():
    empty = EpisodeIndex([])
    assert (len(empty), empty.num_frames, empty.num_actions) == (0, 0, 0)


def test_arrays_give_each_episode_its_own_rows():
    frames, actions = np.arange(INDEX.num_frames)[:, None], np.arange(INDEX.num_actions)[:, None]
    arrays = EpisodeArrays(frames.reshape(-1, 1, 1, 1).astype(np.uint8), frames.astype(float), actions, INDEX)
    assert [episode.states[:, 0].tolist() for episode in arrays] == [
        [0, 1, 2, 3],
        [4, 5],
        [6, 7, 8, 9, 10, 11],
        [12, 13, 14],
    ]
    assert arrays[2].actions[:, 0].tolist() == [4, 5, 6, 7, 8]
    assert arrays[1].pixels.shape == (2, 1, 1, 1)
