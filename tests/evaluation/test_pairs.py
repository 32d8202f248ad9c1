"""Pairs that are read from a dataset, and their batches."""

import numpy as np
import pytest

from lewm.evaluation.manifest import Manifest
from lewm.evaluation.pairs import in_batches, read_pairs

HELD_OUT = np.array([0, 2, 3])


def draw(data, num_pairs=10):
    return Manifest.draw(data, HELD_OUT, offset=5, num_pairs=num_pairs, seed=0)


def test_the_goal_is_offset_steps_after_the_start_in_the_same_episode(counting_data):
    manifest = draw(counting_data)
    pairs = read_pairs(manifest, counting_data)
    assert pairs.start_states.tolist() == [list(each) for each in zip(manifest.episodes, manifest.steps, strict=True)]
    np.testing.assert_array_equal(pairs.goal_states - pairs.start_states, [[0, 5]] * 10)


def test_recorded_actions_are_those_from_the_start_to_the_goal(counting_data):
    pairs = read_pairs(draw(counting_data), counting_data)
    assert pairs.recorded_actions.shape == (10, 5, 2)
    np.testing.assert_array_equal(pairs.recorded_actions[..., 0], pairs.start_states[:, 1:] + np.arange(5))
    np.testing.assert_array_equal(
        pairs.recorded_actions[..., 1], 100 * pairs.start_states[:, :1] + pairs.recorded_actions[..., 0]
    )


def test_frames_before_the_start_are_a_model_step_apart_with_the_actions_between_them(counting_data):
    manifest = draw(counting_data, num_pairs=20)
    late = np.flatnonzero(np.array(manifest.steps) >= 4)
    pairs = read_pairs(manifest, counting_data, late, num_past=2, frameskip=2)
    starts = pairs.start_states[:, None]
    assert len(late) > 3
    np.testing.assert_array_equal(pairs.past_states, starts - [[0, 4], [0, 2]])
    np.testing.assert_array_equal(pairs.past_actions[..., 0], starts[..., 1:] - [[4, 3], [2, 1]])


def test_batches_have_every_pair_once_and_equally_many_frames_before_each_start(counting_data):
    manifest = draw(counting_data, num_pairs=20)
    batches = in_batches(manifest, batch_size=4, context=3, frameskip=5)
    assert sorted(np.concatenate([numbers for numbers, _ in batches]).tolist()) == list(range(20))
    assert {num_past for _, num_past in batches} == {0, 1, 2}
    for numbers, num_past in batches:
        assert len(numbers) <= 4
        steps = np.array(manifest.steps)[numbers]
        assert (np.minimum(steps // 5, 2) == num_past).all()


def test_one_frame_of_context_gives_batches_in_the_order_of_the_manifest(counting_data):
    batches = in_batches(draw(counting_data, num_pairs=10), batch_size=4, context=1, frameskip=5)
    assert [(numbers.tolist(), num_past) for numbers, num_past in batches] == [
        ([0, 1, 2, 3], 0),
        ([4, 5, 6, 7], 0),
        ([8, 9], 0),
    ]


def test_pairs_of_another_dataset_are_not_read(counting_data, two_room_data):
    with pytest.raises(AssertionError):
        read_pairs(draw(counting_data), two_room_data)
