import json

import numpy as np
import pytest

from lewm.errors import InputError
from lewm.evaluation.pairs import Manifest, in_batches, read_pairs
from tests.conftest import COUNTING_LENGTHS

HELD_OUT = np.array([0, 2, 3])


def draw(data, offset=5, num_pairs=10, seed=0, held_out=HELD_OUT):
    return Manifest.draw(data, held_out, offset, num_pairs, seed)


def test_pairs_come_from_held_out_episodes_only(counting_data):
    manifest = draw(counting_data, num_pairs=20)
    assert set(manifest.episodes) == set(HELD_OUT.tolist())


def test_every_start_is_a_pair_once_when_all_are_drawn(counting_data):
    expected = [(e, t) for e in HELD_OUT for t in range(COUNTING_LENGTHS[e] - 5 + 1)]
    manifest = draw(counting_data, num_pairs=len(expected))
    assert sorted(zip(manifest.episodes, manifest.steps, strict=True)) == expected


def test_fewer_pairs_are_the_first_ones_of_more(counting_data):
    assert draw(counting_data, num_pairs=4) == draw(counting_data, num_pairs=20).first(4)


def are_even(starts, goals):
    """Starts of an even step are solved; the goals have to be theirs."""
    np.testing.assert_array_equal(goals - starts, [[0, 5]] * len(starts))
    return starts[:, 1] % 2 == 0


def test_a_strict_manifest_has_the_pairs_of_a_longer_one_that_are_not_solved_at_the_start(counting_data):
    strict = Manifest.draw(counting_data, HELD_OUT, 5, 6, seed=0, are_solved=are_even)
    longer = draw(counting_data, num_pairs=20)
    open_pairs = [pair for pair in zip(longer.episodes, longer.steps, strict=True) if pair[1] % 2]
    assert list(zip(strict.episodes, strict.steps, strict=True)) == open_pairs[:6]
    assert strict.strict and not longer.strict


def test_a_strict_manifest_that_has_not_enough_open_pairs_is_refused(counting_data):
    with pytest.raises(InputError, match=r"have 13 starts .* that is not reached already"):
        Manifest.draw(counting_data, HELD_OUT, 5, 20, seed=0, are_solved=are_even)


def test_pairs_are_a_function_of_the_seed(counting_data):
    assert draw(counting_data) == draw(counting_data)
    assert draw(counting_data, seed=1) != draw(counting_data)


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


@pytest.mark.parametrize("offset", [21, 1000])
def test_an_offset_longer_than_every_episode_is_refused_in_one_line(counting_data, offset):
    with pytest.raises(InputError, match=f"offset={offset}") as error:
        draw(counting_data, offset=offset, num_pairs=1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("offset", "num_pairs"), [(0, 1), (-3, 1), (5, 0), (5, 10_000)])
def test_numbers_that_cannot_be_met_are_refused(counting_data, offset, num_pairs):
    with pytest.raises(InputError):
        draw(counting_data, offset=offset, num_pairs=num_pairs)


def test_a_manifest_is_saved_with_the_dataset_it_belongs_to(counting_data, tmp_path):
    manifest = draw(counting_data)
    manifest.save(tmp_path / "manifest.json")
    saved = json.loads((tmp_path / "manifest.json").read_text())
    assert saved["dataset_hash"] == counting_data.content_hash
    assert (saved["format"], saved["version"]) == ("lewm-manifest", 2)
    assert Manifest.load(tmp_path / "manifest.json") == manifest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": "lewm-manifest", "version": 1}',
        '{"format": "lewm-manifest", "version": 2, "episodes": [1]}',
        '{"format": "lewm-manifest", "version": 2, "env_id": "", "dataset_hash": "", "offset": 5, "strict": false,'
        ' "seed": 0, "episodes": [1, 2], "steps": [1]}',
    ],
)
def test_a_file_that_is_no_manifest_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(InputError, match=str(path)) as error:
        Manifest.load(path)
    assert "\n" not in str(error.value)


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
