"""The published HDF5 layout, written here as others write it and read as ours."""

import errno
import json

import h5py
import hdf5plugin
import numpy as np
import pytest
from rich.progress import Progress

from lewm.data.convert.editing import NativeSource, copy
from lewm.data.convert.exporters import HDF5Writer
from lewm.data.convert.importers import HDF5Source
from lewm.data.convert.resizing import Resize
from lewm.errors import InputError
from tests.fakes import counting_episode

LENGTHS = (5, 3, 9)
KEPT = Resize()


def rows_of(number, num_rows, dtype=np.float32):
    """An episode as others record it: an action in every row, that of the last one NaN."""
    pixels, states, actions = counting_episode(number, num_rows - 1)
    actions = np.concatenate([actions, np.full((1, 2), np.nan, np.float32)])
    return {"pixels": pixels, "action": actions.astype(dtype), "state": states, "proprio": states[:, 1:]}


def write(path, lengths=LENGTHS, index="ep_idx", **changes):
    """A file of these episodes; changes replace columns, None leaves one out."""
    episodes = [rows_of(number, length) for number, length in enumerate(lengths)]
    columns = {name: np.concatenate([rows[name] for rows in episodes]) for name in episodes[0]}
    columns["ep_len"] = np.array(lengths, np.int32)
    columns["ep_offset"] = np.cumsum(lengths) - np.array(lengths)
    columns[index] = np.repeat(np.arange(len(lengths)), lengths)
    columns["step_idx"] = np.concatenate([np.arange(length) for length in lengths])
    with h5py.File(path, "w") as file:
        for name, values in (columns | changes).items():
            if values is not None:
                file.create_dataset(name, data=values, **(hdf5plugin.Blosc() if name == "pixels" else {}))
    return path


@pytest.mark.parametrize("index", ["ep_idx", "episode_idx"])
def test_an_episode_of_rows_has_one_action_less(tmp_path, index):
    episodes = list(HDF5Source(write(tmp_path / "a.h5", index=index), KEPT))
    assert [len(episode.actions) for episode in episodes] == [length - 1 for length in LENGTHS]
    for number, episode in enumerate(episodes):
        for values, expected in zip(episode, counting_episode(number, LENGTHS[number] - 1), strict=True):
            np.testing.assert_array_equal(values, expected)


def test_the_last_action_of_an_episode_is_dropped_when_it_is_a_number_too(tmp_path):
    actions = np.zeros((sum(LENGTHS), 2), np.float32)
    actions[np.cumsum(LENGTHS) - 1] = 7
    source = HDF5Source(write(tmp_path / "a.h5", action=actions), KEPT)
    assert max(episode.actions.max() for episode in source) == 0
    assert source.metadata.action_high == [0, 0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_within_an_episode_is_refused_with_its_place(tmp_path, value):
    actions = np.concatenate([rows_of(number, length)["action"] for number, length in enumerate(LENGTHS)])
    actions[5 + 1, 1] = value
    with pytest.raises(InputError, match=f"action 1 in row 1 of episode 1 in .* is {value}"):
        HDF5Source(write(tmp_path / "a.h5", action=actions), KEPT)


@pytest.mark.parametrize(
    ("states", "there", "expected"),
    [
        (None, {}, ["state_0", "state_1"]),
        (None, {"state": None, "qpos": np.zeros((17, 3)), "qvel": np.zeros((17, 1))}, None),
        (None, {"state": None, "observation": np.zeros(17)}, ["observation_0"]),
        (None, {"state": None}, ["proprio_0"]),
        (None, {"state": None, "proprio": None}, []),
        ("proprio", {}, ["proprio_0"]),
        ("none", {}, []),
    ],
)
def test_the_state_is_the_first_column_that_can_be_one_or_what_was_asked_for(tmp_path, states, there, expected):
    source = HDF5Source(write(tmp_path / "a.h5", **there), KEPT, states=states)
    expected = ["qpos_0", "qpos_1", "qpos_2", "qvel_0"] if expected is None else expected
    assert source.metadata.state_names == expected
    assert all(episode.states.shape == (len(episode.pixels), len(expected)) for episode in source)


def test_frames_are_resized_on_their_way(tmp_path):
    source = HDF5Source(write(tmp_path / "a.h5"), Resize(2))
    assert source.metadata.frame_size == 2
    for number, episode in enumerate(source):
        assert episode.pixels.shape[1:] == (2, 2, 3)
        np.testing.assert_array_equal(episode.pixels[:, 0, 0, 1], number)


def test_frames_that_are_not_square_need_a_word_on_how_they_become_so(tmp_path):
    path = write(tmp_path / "a.h5", pixels=np.zeros((17, 4, 6, 3), np.uint8))
    with pytest.raises(InputError, match=r"6 wide and 4 high.*--fit crop"):
        HDF5Source(path, KEPT)
    assert HDF5Source(path, Resize(None, "crop")).metadata.frame_size == 4
    assert HDF5Source(path, Resize(None, "pad")).metadata.frame_size == 6


def test_bounds_are_those_of_the_data_without_an_environment(tmp_path):
    metadata = HDF5Source(write(tmp_path / "name.h5"), KEPT).metadata
    assert (metadata.env_id, metadata.action_low, metadata.action_high) == ("imported/name", [0, 0], [7, 207])


def test_bounds_are_those_of_the_environment_that_is_named(tmp_path):
    path = write(tmp_path / "a.h5", pixels=np.zeros((17, 48, 48, 3), np.uint8))
    metadata = HDF5Source(path, KEPT, env_id="envs:lewm/TwoRoom-v0").metadata
    assert (metadata.action_low, metadata.action_high) == ([-1, -1], [1, 1])
    assert metadata.state_names == ["agent_x", "agent_y"]


def test_angles_and_velocities_are_those_of_the_environment_that_is_named(tmp_path):
    states = np.random.default_rng(0).normal(size=(17, 10))
    path = write(tmp_path / "a.h5", pixels=np.zeros((17, 48, 48, 3), np.uint8), state=states)
    metadata = HDF5Source(path, KEPT, env_id="envs:lewm/PushT-v0").metadata
    assert metadata.angles == ["block_angle"]
    assert metadata.velocities == metadata.state_names[5:]


def test_nothing_is_declared_of_states_that_are_not_the_environments(tmp_path):
    path = write(tmp_path / "a.h5", pixels=np.zeros((17, 48, 48, 3), np.uint8))
    metadata = HDF5Source(path, KEPT, env_id="envs:lewm/PushT-v0").metadata
    assert (len(metadata.state_names), metadata.angles, metadata.velocities) == (2, [], [])


def test_an_environment_of_other_actions_is_refused(tmp_path):
    path = write(tmp_path / "a.h5", pixels=np.zeros((17, 48, 48, 3), np.uint8), action=np.zeros((17, 3), np.float32))
    with pytest.raises(InputError, match=r"3 numbers.*TwoRoom-v0 2"):
        HDF5Source(path, KEPT, env_id="envs:lewm/TwoRoom-v0")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ep_len": np.array([5, 4, 9])}, "episode 1 .* 4 rows from row 5, and the next one begins at row 8"),
        ({"ep_offset": np.array([0, 6, 8])}, "episode 0 .* next one begins at row 6"),
        ({"ep_len": np.array([5, 3, 8])}, "episode 2 .* the file ends at row 17"),
        ({"ep_len": np.array([5, 3])}, r"ep_len \(2,\) and ep_offset \(3,\)"),
        ({"ep_len": None}, "no column 'ep_len'; it has action"),
        ({"action": None}, "no column 'action'"),
        ({"action": np.zeros(16)}, "the file ends at row 16"),
        ({"pixels": np.zeros((16, 4, 4, 3), np.uint8)}, "17 rows of 'action' and 16 of 'pixels'"),
        ({"pixels": np.zeros((17, 4, 4, 3), np.float32)}, "'pixels' .* is float32"),
        ({"state": np.zeros((3, 2))}, "'state' .*--states"),
        ({"state": np.full((17, 2), np.nan)}, "state 0 in row 0 of episode 0"),
    ],
)
def test_columns_that_do_not_belong_together_are_refused_in_one_line(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as error:
        list(HDF5Source(write(tmp_path / "a.h5", **changes), KEPT))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_on_a_file_system_without_locks_is_read(tmp_path, monkeypatch, number):
    path, real = write(tmp_path / "a.h5"), h5py.File
    harmless = (False, "best-effort") if number == errno.ENOSYS else (False,)  # as HDF5 2.0 does

    def open_file(*arguments, locking=None):
        if locking not in harmless:
            raise OSError(number, "unable to lock file")
        return real(*arguments, locking=locking)

    monkeypatch.setattr(h5py, "File", open_file)
    assert len(list(HDF5Source(path, KEPT))) == len(LENGTHS)


@pytest.mark.parametrize("content", [b"", b"not an HDF5 file"])
def test_a_file_that_is_no_hdf5_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(InputError, match="not a whole HDF5 file") as error:
        HDF5Source(tmp_path / "a.h5", KEPT)
    assert "\n" not in str(error.value)


def test_a_damaged_frame_is_refused_with_its_episode(tmp_path):
    path = write(tmp_path / "a.h5", pixels=np.random.default_rng(0).integers(0, 255, (17, 40, 40, 3)).astype(np.uint8))
    with h5py.File(path, "r") as file:
        chunk = file["pixels"].id.get_chunk_info(file["pixels"].id.get_num_chunks() - 1)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset : chunk.byte_offset + 40] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"'pixels' of episode \d in .* cannot be read") as error:
        list(HDF5Source(path, KEPT))
    assert "\n" not in str(error.value)


def test_episodes_without_an_action_are_left_out_and_told_of(tmp_path):
    source = HDF5Source(write(tmp_path / "a.h5", lengths=(5, 1, 9)), KEPT)
    assert len(source) == len(list(source)) == 2
    assert source.notes[1:] == ["1 episodes of less than 2 rows left out"]


def test_the_columns_that_are_taken_and_those_that_are_not_are_told(tmp_path):
    source = HDF5Source(write(tmp_path / "a.h5"), KEPT)
    assert source.notes == ["frames: pixels; actions: action; states: state; left out: ep_idx, proprio, step_idx"]


def test_booleans_are_0_and_1(tmp_path):
    action = np.arange(2 * 17).reshape(17, 2) % 3 == 0
    episodes = list(HDF5Source(write(tmp_path / "a.h5", action=action), KEPT))
    np.testing.assert_array_equal(episodes[1].actions, action[5:7])


@pytest.mark.parametrize(("column", "row"), [("action", 6), ("state", 7)])
def test_an_episode_with_a_nan_is_left_out_counted_and_named(tmp_path, column, row):
    values = np.concatenate([rows_of(number, length)[column] for number, length in enumerate(LENGTHS)])
    values[row, 1] = np.nan
    path = write(tmp_path / "a.h5", **{column: values})
    source = HDF5Source(path, KEPT, skip=True)
    assert [episode.states[0, 0] for episode in source] == [0, 2]
    assert [note[:43] for note in source.notes[1:]] == [
        f"left out: {column} 1 in row {row - 5} of episode 1 in "[:43],
        "1 of 3 episodes left out",
    ]


def test_bounds_are_those_of_the_episodes_that_are_not_left_out(tmp_path):
    actions = np.concatenate([rows_of(number, length)["action"] for number, length in enumerate(LENGTHS)])
    actions[9, 0], actions[10, 0] = np.nan, 1e9
    source = HDF5Source(write(tmp_path / "a.h5", action=actions), KEPT, skip=True)
    assert (len(source), source.metadata.action_high) == (2, [3, 101])


def export(data, path):
    source = NativeSource(data)
    with HDF5Writer(path, source.metadata) as writer:
        copy(source, writer, Progress(disable=True), "")
    return path


def test_what_is_exported_is_imported_as_it_was(tmp_path, counting_data):
    source = HDF5Source(export(counting_data, tmp_path / "out.h5"), KEPT)
    assert source.metadata == counting_data.metadata
    for number, (episode, length) in enumerate(zip(source, counting_data.lengths, strict=True)):
        for values, expected in zip(episode, counting_episode(number, length), strict=True):
            np.testing.assert_array_equal(values, expected)


def test_an_exported_file_has_the_published_columns(tmp_path, counting_data):
    with h5py.File(export(counting_data, tmp_path / "out.h5")) as file:
        ends = np.cumsum(file["ep_len"][:])
        assert len(file["pixels"]) == len(file["action"]) == len(file["state"]) == ends[-1]
        np.testing.assert_array_equal(file["ep_offset"][:], ends - file["ep_len"][:])
        np.testing.assert_array_equal(np.isnan(file["action"][:, 0]).nonzero()[0], ends - 1)
        np.testing.assert_array_equal(file["step_idx"][:], file["state"][:, 1])
        np.testing.assert_array_equal(file["episode_idx"][:], file["state"][:, 0])
        assert (file["pixels"].dtype, file["action"].dtype) == (np.uint8, np.float32)
        assert file["pixels"].chunks == (1, *file["pixels"].shape[1:])


def test_an_export_that_fails_leaves_nothing(tmp_path, counting_data):
    def interrupted():
        with HDF5Writer(tmp_path / "out.h5", counting_data.metadata) as writer:
            writer.append(*counting_episode(0, 3))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_damaged_metadata_in_a_file_are_refused(tmp_path):
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file.attrs["lewm_metadata"] = json.dumps({"env": 3})
    with pytest.raises(InputError, match=r"lewm_metadata .* --env-id"):
        HDF5Source(path, KEPT)


def test_stable_worldmodel_reads_an_exported_file(tmp_path, counting_data):
    formats = pytest.importorskip("stable_worldmodel.data.formats.hdf5")
    dataset = formats.HDF5Dataset(path=export(counting_data, tmp_path / "out.h5"), frameskip=2, num_steps=3)
    assert dataset.lengths.tolist() == [length + 1 for length in counting_data.lengths]
    clip = dataset[4]  # of episode 0, which has 13 rows and so 8 clips
    assert clip["pixels"].shape == (3, 3, 4, 4)
    assert clip["pixels"][:, 0, 0, 0].tolist() == [4, 6, 8]
    assert clip["action"][:, ::2].tolist() == [[4, 5], [6, 7], [8, 9]]
    assert clip["state"][:, 1].tolist() == [4, 6, 8]
