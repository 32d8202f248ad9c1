import json

import numpy as np
import pytest

from lewm.errors import InputError
from lewm.evaluation.protocol import Manifest, read_pairs, wilson
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
    assert list(zip(manifest.episodes, manifest.steps, strict=True)) == expected


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
    assert Manifest(**saved) == manifest


def test_pairs_of_another_dataset_are_not_read(counting_data, two_room_data):
    with pytest.raises(AssertionError):
        read_pairs(draw(counting_data), two_room_data)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(48, 50, 0.865, 0.989), (360, 400, 0.867, 0.926), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (1, 1, 0.207, 1.0)],
)
def test_intervals_are_wilsons(successes, trials, low, high):
    rate = wilson(successes, trials)
    assert (rate.successes, rate.trials, rate.rate) == (successes, trials, successes / trials)
    assert (rate.low, rate.high) == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))


def test_no_trials_have_no_rate():
    rate = wilson(0, 0)
    assert rate.trials == 0
    assert np.isnan([rate.rate, rate.low, rate.high]).all()
