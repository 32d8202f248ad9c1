"""Manifests: which pairs are drawn, and files of them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lewm.errors import InputError
from lewm.evaluation.manifest import FORMAT, VERSION, Manifest
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


def test_one_pair_of_neighbouring_frames_is_drawn(counting_data):
    manifest = draw(counting_data, offset=1, num_pairs=1)
    assert (len(manifest), manifest.offset) == (1, 1)


def test_fewer_pairs_are_the_first_ones_of_more(counting_data):
    assert draw(counting_data, num_pairs=4) == draw(counting_data, num_pairs=20).first(4)


def are_even(starts, goals):
    """Starts of an even step are solved; the goals have to be theirs."""
    np.testing.assert_array_equal(goals - starts, [[0, 5]] * len(starts))
    return starts[:, 1] % 2 == 0


@pytest.mark.parametrize("are_solved", [None, are_even], ids=["any", "strict"])
@pytest.mark.parametrize("seed", range(5))
def test_every_episode_has_one_pair_before_one_has_two(counting_data, are_solved, seed):
    drawn = Manifest.draw(counting_data, HELD_OUT, 5, 9, seed, are_solved)
    episodes = np.reshape(drawn.episodes[:3], (1, 3)), np.reshape(drawn.episodes[3:6], (1, 3))
    for of_round in episodes if are_solved is None else episodes[:1]:  # episode 3 has one open start: step 1
        assert set(of_round.ravel().tolist()) == set(HELD_OUT.tolist())
    assert len({*zip(drawn.episodes, drawn.steps, strict=True)}) == 9


def test_the_order_of_the_episodes_and_their_starts_are_uniform(counting_data):
    drawn = [Manifest.draw(counting_data, HELD_OUT, 5, 3, seed) for seed in range(600)]
    assert np.bincount([each.episodes[0] for each in drawn])[HELD_OUT] == pytest.approx(200, abs=45)
    steps = [each.steps[each.episodes.index(0)] for each in drawn]
    assert np.bincount(steps) == pytest.approx(np.full(8, 75), abs=30)


@pytest.mark.parametrize("num_pairs", range(1, 13))
def test_fewer_strict_pairs_are_the_first_ones_of_more(counting_data, num_pairs):
    longest = Manifest.draw(counting_data, HELD_OUT, 5, 13, seed=0, are_solved=are_even)
    assert Manifest.draw(counting_data, HELD_OUT, 5, num_pairs, 0, are_even) == longest.first(num_pairs)


def test_a_strict_manifest_has_every_pair_that_is_not_solved_at_the_start(counting_data):
    strict = Manifest.draw(counting_data, HELD_OUT, 5, 13, seed=0, are_solved=are_even)
    every = draw(counting_data, num_pairs=27)
    assert set(pairs_of(strict)) == {pair for pair in pairs_of(every) if pair[1] % 2}
    assert strict.strict and not every.strict


def pairs_of(manifest):
    return list(zip(manifest.episodes, manifest.steps, strict=True))


def test_a_strict_manifest_that_has_not_enough_open_pairs_is_refused(counting_data):
    with pytest.raises(InputError, match=r"have 13 starts .* that is not reached already"):
        Manifest.draw(counting_data, HELD_OUT, 5, 20, seed=0, are_solved=are_even)


def test_pairs_are_a_function_of_the_seed(counting_data):
    assert draw(counting_data) == draw(counting_data)
    assert draw(counting_data, seed=1) != draw(counting_data)


@pytest.mark.parametrize("offset", [21, 1000])
def test_an_offset_longer_than_every_episode_is_refused_in_one_line(counting_data, offset):
    with pytest.raises(InputError, match=f"offset={offset}") as error:
        draw(counting_data, offset=offset, num_pairs=1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("offset", "num_pairs"), [(0, 1), (-3, 1), (5, 0), (5, 10_000)])
def test_numbers_that_cannot_be_met_are_refused(counting_data, offset, num_pairs):
    with pytest.raises(InputError):
        draw(counting_data, offset=offset, num_pairs=num_pairs)


def test_a_manifest_is_saved_with_the_dataset_it_belongs_to_and_its_hash(counting_data, tmp_path):
    manifest, path = draw(counting_data), tmp_path / "manifest.json"
    manifest.save(path)
    saved = json.loads(path.read_text())
    assert saved["dataset_hash"] == counting_data.content_hash
    assert (saved["format"], saved["version"], saved["hash"]) == (FORMAT, 3, manifest.hash)
    assert Manifest.load(path) == manifest
    assert Manifest.load(path).file == path


def test_manifests_of_other_pairs_have_other_hashes(counting_data):
    manifest = draw(counting_data)
    others = [replace(manifest, offset=6), replace(manifest, dataset_hash="abc"), manifest.first(9)]
    others.append(replace(manifest, steps=[manifest.steps[0] + 1, *manifest.steps[1:]]))
    assert len({each.hash for each in (manifest, *others)}) == 5
    assert replace(manifest, strict=True, seed=7).hash == manifest.hash


GOOD = {"env_id": "", "dataset_hash": "", "offset": 5, "strict": False, "seed": 0, "episodes": [1, 2], "steps": [3, 4]}


def write(path, **changes):
    """A manifest as save() writes it, with other values; those of ... are left out."""
    values = {key: value for key, value in (GOOD | changes).items() if value is not ...}
    described = {"format": FORMAT, "version": VERSION, "hash": Manifest(**GOOD).hash, **values}
    path.write_text(json.dumps(described))
    return path


def test_what_is_written_here_is_a_manifest(tmp_path):
    assert Manifest.load(write(tmp_path / "manifest.json")) == Manifest(**GOOD)


@pytest.mark.parametrize(
    "changes",
    [
        {"env_id": 3},
        {"dataset_hash": None},
        {"offset": -5},
        {"offset": 0},
        {"offset": 2.5},
        {"offset": "5"},
        {"offset": True},
        {"strict": 0},
        {"seed": -1},
        {"seed": "0"},
        {"episodes": "12"},
        {"episodes": [1, 2.0]},
        {"episodes": [1, "2"]},
        {"episodes": [1, -2]},
        {"episodes": [[1], [2]]},
        {"episodes": {"1": 2}},
        {"steps": [3, None]},
        {"steps": [3]},
        {"episodes": [], "steps": []},
        {"episodes": [1, 1], "steps": [3, 3]},
        {"steps": ...},
        {"note": "hand-made"},
        {"steps": [3, 5]},
        {"hash": "abc"},
        {"hash": 7},
        {"version": 2},
        {"version": "3"},
        {"format": "lewm-episodes"},
    ],
    ids=str,
)
def test_a_damaged_manifest_is_refused_in_one_line(tmp_path, changes):
    path = write(tmp_path / "manifest.json", **changes)
    with pytest.raises(InputError, match=str(path)) as error:
        Manifest.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"3", b"\xff\xfe", b'{"format": "lewm-manifest", "vers'])
def test_a_file_that_is_no_manifest_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)) as error:
        Manifest.load(path)
    assert "\n" not in str(error.value)
