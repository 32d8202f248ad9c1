"""The dataset on disk: whole or absent, and refused in one line when it is damaged or something else."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from lewm.config import RecordingConfig
from lewm.data.episode_writer import EpisodeWriter
from lewm.data.episodes import Episodes
from lewm.errors import InputError
from tests.conftest import COUNTING_LENGTHS
from tests.data.damages import FOLDERS, INSIDE
from tests.fakes import COUNTING_METADATA, counting_episode
from tests.folders import contents
from tests.registries import ENVS

COUNTING_ENV = replace(ENVS["two_room"], id="tests/Counting-v0", frame_size=4)


def write(path, lengths=(3, 5)):
    with EpisodeWriter(path, COUNTING_METADATA) as writer:
        for number, num_actions in enumerate(lengths):
            writer.append(*counting_episode(number, num_actions))
    return path


def test_what_was_written_is_read(counting_data):
    assert counting_data.lengths.tolist() == list(COUNTING_LENGTHS)
    assert len(counting_data) == len(COUNTING_LENGTHS)
    for number, num_actions in enumerate(COUNTING_LENGTHS):
        expected = counting_episode(number, num_actions)
        for array, written in zip(counting_data[number], expected, strict=True):
            np.testing.assert_array_equal(array, written)


def test_an_episode_has_one_frame_more_than_actions(counting_data):
    assert len(counting_data.pixels) == len(counting_data.states) == len(counting_data.actions) + len(counting_data)


def test_metadata_are_read_as_they_were_written(counting_data):
    assert counting_data.metadata == COUNTING_METADATA


def test_frames_are_mapped_and_not_loaded(counting_data):
    assert isinstance(counting_data.pixels, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        counting_data.pixels[0] = 0


def test_numpy_alone_can_read_the_arrays(tmp_path):
    path = write(tmp_path / "data")
    assert np.load(path / "pixels.npy").shape == (10, 4, 4, 3)
    assert np.load(path / "actions.npy").dtype == np.float32


def test_pickled_episodes_open_the_files_again(counting_data):
    pickled = pickle.dumps(counting_data)
    assert len(pickled) < 1000
    np.testing.assert_array_equal(pickle.loads(pickled).pixels, counting_data.pixels)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_writer_leaves_nothing(tmp_path, error):
    def write_half():
        with EpisodeWriter(tmp_path / "data", COUNTING_METADATA) as writer:
            writer.append(*counting_episode(0, 3))
            raise error

    with pytest.raises(error):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_nothing_stands_at_the_path_before_the_last_episode_is_written(tmp_path):
    with EpisodeWriter(tmp_path / "data", COUNTING_METADATA) as writer:
        writer.append(*counting_episode(0, 3))
        assert not (tmp_path / "data").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_the_remains_of_a_killed_writer_do_not_disturb_the_next(tmp_path):
    remains = tmp_path / "data.partial"
    remains.mkdir()
    for name in ("pixels.npy", "lengths.npy", "something.else"):
        (remains / name).write_bytes(b"half an episode")
    assert Episodes(write(tmp_path / "data")).lengths.tolist() == [3, 5]
    names = ["pixels.npy", "states.npy", "actions.npy", "lengths.npy", "digests.npy", "metadata.json"]
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == sorted(names)


@pytest.mark.parametrize("resumable", [False, True])
@pytest.mark.parametrize("name", ["pixels", "states", "actions", "dtype", "no actions"])
def test_an_episode_that_does_not_fit_its_metadata_is_refused_in_one_line(tmp_path, name, resumable):
    pixels, states, actions = counting_episode(0, 3)
    wrong = {
        "pixels": (pixels[:, :3], states, actions),
        "states": (pixels, states[:, :1], actions),
        "actions": (pixels, states, actions[:2]),
        "dtype": (pixels.astype(np.float32), states, actions),
        "no actions": (pixels[:1], states[:1], actions[:0]),
    }
    with pytest.raises(InputError, match=r"episode 1 of .*data has frames") as error:
        write_two(tmp_path / "data", wrong[name], resumable)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "data").exists()


def write_two(path, second, resumable):
    with EpisodeWriter(path, COUNTING_METADATA, resumable=resumable) as writer:
        writer.append(*counting_episode(0, 3))
        writer.append(*second)


def test_a_dataset_without_an_episode_is_refused(tmp_path):
    with pytest.raises(InputError, match="no episode"):
        write(tmp_path / "data", lengths=())
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_may_have_no_states(tmp_path):
    metadata = replace(COUNTING_METADATA, state_names=[])
    with EpisodeWriter(tmp_path / "data", metadata) as writer:
        for number, length in enumerate((3, 5)):
            pixels, _, actions = counting_episode(number, length)
            writer.append(pixels, np.zeros((length + 1, 0)), actions)
    data = Episodes(tmp_path / "data")
    assert data.states.shape == (10, 0)
    assert list(data.intact()) == [True, True]


def leave_unfinished(path):
    """A resumable writer that fails with one episode committed and another one appended."""

    def write_some():
        with EpisodeWriter(path, COUNTING_METADATA, resumable=True) as writer:
            writer.append(*counting_episode(0, 3))
            writer.commit()
            writer.append(*counting_episode(7, 7))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_some()


def test_an_unfinished_collection_is_not_removed_by_another_writer(tmp_path):
    leave_unfinished(tmp_path / "data")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"data\.partial holds an unfinished dataset"):
        EpisodeWriter(tmp_path / "data", COUNTING_METADATA)
    assert contents(tmp_path) == before


def test_a_resumable_writer_goes_on_behind_what_was_committed(tmp_path):
    leave_unfinished(tmp_path / "data")
    with EpisodeWriter(tmp_path / "data", COUNTING_METADATA, resumable=True) as writer:
        assert (writer.num_episodes, writer.num_frames) == (1, 4)
        writer.append(*counting_episode(1, 5))
    assert contents(tmp_path / "data") == contents(write(tmp_path / "at_once"))


@pytest.mark.parametrize("name", ["pixels", "states", "actions", "digests"])
def test_an_episode_whose_bytes_have_changed_is_found(tmp_path, name):
    path = write(tmp_path / "data", lengths=(3, 5, 4))
    assert list(Episodes(path).intact()) == [True, True, True]
    data = Episodes(path)
    array = np.load(path / f"{name}.npy", mmap_mode="r+")
    array[len(array) // 2] += 1
    array.flush()
    assert (list(data.intact()) == [True, False, True]) == (name != "digests")
    if name == "digests":
        with pytest.raises(InputError, match="digests"):
            Episodes(path)


def test_a_writer_does_not_touch_what_is_there(tmp_path):
    path = write(tmp_path / "data")
    before = Episodes(path).content_hash
    with pytest.raises(InputError, match="exists already"):
        EpisodeWriter(path, COUNTING_METADATA)
    assert Episodes(path).content_hash == before


def test_the_content_hash_is_of_the_arrays(tmp_path):
    same, again, other = (
        Episodes(write(tmp_path / name, lengths)) for name, lengths in (("a", (3, 5)), ("b", (3, 5)), ("c", (5, 3)))
    )
    assert same.content_hash == again.content_hash
    assert same.content_hash != other.content_hash


def test_data_made_with_other_arguments_of_the_environment_are_refused(tmp_path):
    metadata = replace(COUNTING_METADATA, env_kwargs={"block": "T", "sizes": [1, 2]})
    with EpisodeWriter(tmp_path / "data", metadata) as writer:
        writer.append(*counting_episode(0, 3))
    data = Episodes(tmp_path / "data")
    data.check_fits(replace(COUNTING_ENV, kwargs={"block": "T", "sizes": (1, 2)}))
    with pytest.raises(InputError, match=r"env\.kwargs=.*'T'.*not .*'L'"):
        data.check_fits(replace(COUNTING_ENV, kwargs={"block": "L", "sizes": [1, 2]}))


@pytest.mark.parametrize("changes", [{"id": "tests/Other-v0"}, {"frame_size": 8}])
def test_data_of_another_environment_or_frame_size_are_refused(counting_data, changes):
    counting_data.check_fits(COUNTING_ENV)
    with pytest.raises(InputError, match="give another data path"):
        counting_data.check_fits(replace(COUNTING_ENV, **changes))


def test_as_recordings_any_data_of_the_frame_size_will_do(counting_data):
    counting_data.check_fits(RecordingConfig("recorded", frame_size=4, frameskip=5))
    with pytest.raises(InputError, match=r"env\.frame_size"):
        counting_data.check_fits(RecordingConfig("recorded", frame_size=8, frameskip=5))


@pytest.mark.parametrize("damage", [*FOLDERS.values(), *INSIDE.values()], ids=[*FOLDERS, *INSIDE])
def test_a_damaged_or_foreign_dataset_is_refused_in_one_line(tmp_path, damage):
    path = write(tmp_path / "data")
    damage(path)
    with pytest.raises(InputError) as error:
        Episodes(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
