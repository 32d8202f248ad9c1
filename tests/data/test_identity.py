"""A dataset is what it was collected by: another wish is another dataset, and one that is given says how it differs."""

from dataclasses import replace

import pytest
from rich.progress import Progress

from lewm.data.convert.editing import NativeSource, copy
from lewm.data.convert.resizing import Resize
from lewm.data.episode_writer import EpisodeWriter
from lewm.data.identity import DatasetIdentity, choose_path, dataset_path, open_dataset
from lewm.errors import InputError
from tests.conftest import two_room_config
from tests.programs import compose

ENV = two_room_config(num_episodes=12, max_steps=40, seed=0)


def changed(**changes):
    return replace(ENV, collection=replace(ENV.collection, **changes))


def told(env, path):
    lines = []
    data = open_dataset(env, path, lines.append)
    return data, lines


def test_the_identity_of_a_collected_dataset_is_the_one_that_was_wanted(two_room_data):
    assert DatasetIdentity.recorded(two_room_data) == DatasetIdentity.wanted(ENV)


@pytest.mark.parametrize(
    "other",
    [
        changed(num_episodes=13),
        changed(seed=1),
        changed(max_steps=41),
        changed(expert=ENV.collection.expert | {"noise_std": 0.1}),
        replace(ENV, frame_size=64),
        replace(ENV, kwargs={"layout": "other"}),
        replace(ENV, id="envs:lewm/PushT-v0"),
    ],
)
def test_another_wish_is_another_folder(other):
    assert dataset_path(other) != dataset_path(ENV)


def test_the_folder_does_not_depend_on_what_the_episodes_do_not_depend_on():
    assert dataset_path(replace(ENV, frameskip=1)) == dataset_path(ENV)
    assert dataset_path(ENV, "elsewhere").relative_to("elsewhere") == dataset_path(ENV).relative_to("data")


@pytest.mark.parametrize("noise_std", [2, 2.0])
def test_a_whole_number_is_the_same_wish_with_and_without_its_point(noise_std):
    same = changed(expert=ENV.collection.expert | {"noise_std": noise_std})
    assert dataset_path(same) == dataset_path(ENV)
    assert dataset_path(changed(expert=ENV.collection.expert | {"noise_std": True})) != dataset_path(same)


def test_resized_data_are_not_taken_for_data_that_were_collected_in_that_size(two_room_data, tmp_path):
    source = NativeSource(two_room_data, resize=Resize(64))
    with EpisodeWriter(tmp_path / "data", source.metadata) as writer:
        copy(source, writer, Progress(disable=True), "")
    data, lines = told(replace(ENV, frame_size=64), tmp_path / "data")
    assert DatasetIdentity.recorded(data) is None
    assert len(lines) == 1


def test_the_folder_of_the_default_configuration_stays_the_same():
    assert dataset_path(compose().env) == dataset_path(compose("seed=5", "training.num_steps=7").env)
    assert str(dataset_path(compose().env)).startswith("data/two_room/")


def test_a_dataset_that_was_asked_for_is_opened_without_a_word(two_room_data):
    data, lines = told(ENV, two_room_data.path)
    assert data.content_hash == two_room_data.content_hash
    assert lines == []


def test_a_dataset_that_is_given_says_in_one_line_how_it_differs(two_room_data):
    wanted = changed(num_episodes=10000, seed=7, expert=ENV.collection.expert | {"noise_std": 0.1})
    _, (line,) = told(wanted, two_room_data.path)
    for words in (
        "num_episodes=12 (configured: 10000)",
        "seed=0 (configured: 7)",
        "expert.noise_std=2.0 (configured: 0.1)",
    ):
        assert words in line
    assert "\n" not in line and "max_steps" not in line


def test_recordings_need_a_folder():
    env = compose("env=recorded", "data.path=x").env
    assert str(choose_path(env, "x", "data")) == "x"
    with pytest.raises(InputError, match=r"data\.path="):
        choose_path(env, None, "data")


def test_a_folder_that_is_given_is_taken_as_it_is():
    assert str(choose_path(ENV, "data/mine", "data")) == "data/mine"
    assert choose_path(ENV, None, "data") == dataset_path(ENV)
