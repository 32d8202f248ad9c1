"""Splits: what things are chosen by is never what reports the final number."""

from dataclasses import replace

import numpy as np
import pytest
from rich.progress import Progress

from envs.experts import EXPERTS
from lewm.config import build
from lewm.data.clips import split_dataset
from lewm.data.collection import collect
from lewm.data.episodes import Episodes
from lewm.data.identity import dataset_path
from lewm.errors import InputError
from lewm.evaluation.evaluation_episodes import (
    TEST_SEED,
    choose_episodes,
    path_of_test_episodes,
    recipe_of_test_episodes,
)
from tests.conftest import two_room_config
from tests.replay_buffers import replay_config, write_npz

ENV = two_room_config(num_episodes=12, max_steps=40, seed=0)
OTHER = replace(ENV, collection=replace(ENV.collection, seed=1))
HELD_OUT = np.array([1, 4, 6, 7, 11])


def provide(path, env):
    """Collects what is asked for, as train.py does."""
    if not path.exists():
        expert = build(EXPERTS, env.collection.expert, "expert")
        collect(path, env, expert, Progress(disable=True), num_workers=1)


def refuse(path, env):
    raise AssertionError(f"{path} was collected")


def choose(split, data, env=ENV, provided=refuse, held_out=HELD_OUT):
    return choose_episodes(split, data, held_out, env, 0, provided)


def test_the_test_split_is_collected_by_the_same_recipe_under_another_seed(two_room_data):
    episodes = choose("test", two_room_data, provided=provide)
    assert len(episodes.data) == ENV.collection.num_test_episodes
    np.testing.assert_array_equal(episodes.ids, np.arange(6))
    assert episodes.data.metadata.collection["seed"] == TEST_SEED
    assert episodes.data.path == path_of_test_episodes(two_room_data.path, ENV)
    ours, theirs = ({row.tobytes() for row in data.digests} for data in (two_room_data, episodes.data))
    assert not ours & theirs


def test_the_recipe_of_the_test_split_differs_in_seed_and_number_alone():
    recipe = recipe_of_test_episodes(ENV)
    assert replace(recipe.collection, seed=0, num_episodes=12) == ENV.collection
    assert replace(recipe, collection=ENV.collection) == ENV


def test_test_episodes_are_replays_of_recordings_that_training_never_sees(tmp_path):
    env, expert = replay_config(write_npz(tmp_path / "a"), 20)
    collect(tmp_path / "data", env, expert, Progress(disable=True), num_workers=1)
    data = Episodes(tmp_path / "data")
    train, held_out = split_dataset(data, 0.2, 0)
    test = choose_episodes("test", data, held_out, env, 0, provide).data
    starts = [set(map(bytes, each.states[each.index.frame_offsets])) for each in (data, test)]
    assert len(test) == 4 and len(starts[1]) == 2
    assert not starts[0] & starts[1]
    assert not set(data.sources[train]) & set(data.sources[held_out])


def test_halves_of_held_out_variants_share_no_recording(tmp_path):
    env, expert = replay_config(write_npz(tmp_path / "a"), 20)
    collect(tmp_path / "data", env, expert, Progress(disable=True), num_workers=1)
    data = Episodes(tmp_path / "data")
    halves = [choose(split, data, env=OTHER, held_out=np.arange(20)).ids for split in ("validation", "test")]
    assert sorted(np.concatenate(halves)) == list(range(20))
    assert not set(data.sources[halves[0]]) & set(data.sources[halves[1]])


def test_test_episodes_lie_beside_the_data_of_a_configuration(tmp_path):
    expected = dataset_path(recipe_of_test_episodes(ENV), tmp_path)
    assert path_of_test_episodes(dataset_path(ENV, tmp_path), ENV) == expected


def test_the_validation_split_is_the_held_out_episodes_of_the_training_data(two_room_data):
    episodes = choose("validation", two_room_data)
    assert episodes.data is two_room_data
    np.testing.assert_array_equal(episodes.ids, HELD_OUT)


def test_held_out_episodes_of_data_that_no_recipe_made_are_halved(two_room_data):
    validation, test = (choose(split, two_room_data, env=OTHER) for split in ("validation", "test"))
    assert not set(validation.ids) & set(test.ids)
    assert sorted([*validation.ids, *test.ids]) == HELD_OUT.tolist()
    assert abs(len(validation.ids) - len(test.ids)) == 1
    assert (np.diff(test.ids) > 0).all()


def test_halves_are_a_function_of_the_split_seed(two_room_data):
    held_out = np.arange(12)
    first, again = (choose_episodes("test", two_room_data, held_out, OTHER, 3, refuse).ids for _ in range(2))
    other = choose_episodes("test", two_room_data, held_out, OTHER, 4, refuse).ids
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()


@pytest.mark.parametrize("split", ["test", "validation"])
def test_one_held_out_episode_cannot_be_halved(two_room_data, split):
    with pytest.raises(InputError, match=r"1 held-out episode.*data\.val_fraction"):
        choose(split, two_room_data, env=OTHER, held_out=np.array([3]))


def test_an_unknown_split_is_refused_with_those_that_there_are(two_room_data):
    with pytest.raises(InputError, match=r"evaluation\.split='train'; there are test and validation"):
        choose("train", two_room_data)
