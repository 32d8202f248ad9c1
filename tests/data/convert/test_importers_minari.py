"""Minari datasets: in the layout of its files, written here by h5py, and by Minari itself where it is installed."""

import gc
import io
import json

import h5py
import imageio.v3 as iio
import numpy as np
import pytest
from gymnasium.wrappers import AddRenderObservation, TimeLimit

from lewm.data.convert.importers import MinariSource
from lewm.data.convert.resizing import Resize
from lewm.errors import InputError
from tests.walk_env import Walk

KEPT = Resize()
LENGTHS = (3, 5, 2)
IDENTIFIER = "walk/random-v0"
ACTION_SPACE = {"type": "Box", "dtype": "float32", "shape": [2], "low": [-1, -2], "high": [1, 2]}


def frames_of(number, num_frames):
    frames = np.zeros((num_frames, 32, 32, 3), np.uint8)
    frames[:] = (20 * np.arange(num_frames) + 10 * number + 20)[:, None, None, None]
    return frames


def as_jpeg(frames):
    """The bytes of each frame."""
    encoded = []
    for frame in frames:
        buffer = io.BytesIO()
        iio.imwrite(buffer, frame, extension=".jpg")
        encoded.append(np.frombuffer(buffer.getvalue(), np.uint8))
    return encoded


def put(group, name, frames, encoding):
    """Writes frames as Minari does: as they are, as JPEGs that are equally long, or as rows of different lengths."""
    rows = as_jpeg(frames)
    if encoding == "array":
        group[name] = frames
    elif encoding == "jpeg":
        longest = max(map(len, rows))
        group[name] = np.stack([np.pad(row, (0, longest - len(row))) for row in rows])
    else:
        column = group.create_dataset(name, (len(rows),), h5py.vlen_dtype(np.uint8))
        for i, row in enumerate(rows):
            column[i] = row


def write(folder, encoding="array", alone=False, change=lambda file: None, **about):
    """A dataset in its folder; `about` is added to metadata.json."""
    (folder / "data").mkdir(parents=True)
    metadata = {"dataset_id": IDENTIFIER, "minari_version": "0.5.4", "action_space": json.dumps(ACTION_SPACE)} | about
    (folder / "data" / "metadata.json").write_text(json.dumps(metadata))
    with h5py.File(folder / "data" / "main_data.hdf5", "w", track_order=True) as file:
        for number, length in enumerate(LENGTHS):
            group = file.create_group(f"episode_{number}")
            group["actions"] = np.stack([np.arange(length), np.full(length, number)], 1) / 10
            group["rewards"], group["terminations"] = np.zeros(length), np.zeros(length, bool)
            frames = frames_of(number, length + 1)
            if alone:
                put(group, "observations", frames, encoding)
                continue
            put(group, "observations/camera/front", frames, encoding)
            group["observations/goal"] = np.full((length + 1, 1), number)
            group["observations/mission"] = np.array(["go"] * (length + 1), "S2")
            group["observations/where/_index_0"] = np.stack([np.arange(length + 1)] * 2, 1) / 2
        change(file)
    return folder


def assert_recorded(source, atol=0, alone=False):
    assert len(source) == len(LENGTHS)
    for number, episode in enumerate(source):
        length = LENGTHS[number]
        np.testing.assert_allclose(episode.pixels[1:], frames_of(number, length + 1)[1:], atol=atol)
        np.testing.assert_allclose(episode.actions, np.stack([np.arange(length), [number] * length], 1) / 10)
        states = np.stack([np.full(length + 1, number), *[np.arange(length + 1) / 2] * 2], 1)
        np.testing.assert_array_equal(episode.states, states[:, :0] if alone else states)


@pytest.mark.parametrize(("encoding", "atol"), [("array", 0), ("jpeg", 2), ("ragged", 2)])
def test_frames_are_an_entry_of_the_observations(tmp_path, encoding, atol):
    source = MinariSource(write(tmp_path / "walk", encoding), KEPT)
    assert_recorded(source, atol)
    assert source.notes == [
        "frames: camera/front; actions: actions; states: goal, where/_index_0; left out: mission",
    ]
    metadata = source.metadata
    assert metadata.state_names == ["goal_0", "where/_index_0_0", "where/_index_0_1"]
    assert (metadata.env_id, metadata.frame_size) == ("imported/walk", 32)
    assert (metadata.action_low, metadata.action_high) == ([-1, -2], [1, 2])
    assert metadata.collection["imported_from"]["dataset"] == IDENTIFIER


@pytest.mark.parametrize(("encoding", "atol"), [("array", 0), ("jpeg", 2), ("ragged", 2)])
def test_frames_are_the_whole_observation(tmp_path, encoding, atol):
    source = MinariSource(write(tmp_path / "walk", encoding, alone=True), Resize(16))
    assert source.metadata.frame_size == 16
    for number, episode in enumerate(source):
        expected = frames_of(number, LENGTHS[number] + 1)[1:, :16, :16]
        np.testing.assert_allclose(episode.pixels[1:], expected, atol=atol)
    assert_recorded(MinariSource(write(tmp_path / "other", encoding, alone=True), KEPT), atol, alone=True)


def test_a_dataset_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    folder = write(tmp_path / IDENTIFIER)
    monkeypatch.chdir(tmp_path.parent)
    for path in (folder.relative_to(tmp_path), folder, folder / "data"):
        assert_recorded(MinariSource(path, KEPT))
    with pytest.raises(InputError, match=r"no Minari dataset walk/random-v1, neither as a folder nor in .*minari list"):
        MinariSource(folder.relative_to(tmp_path).with_name("random-v1"), KEPT)


@pytest.mark.parametrize(
    "space",
    [
        ACTION_SPACE | {"high": [1.0, float("inf")]},
        ACTION_SPACE | {"low": [-1.0], "high": [1.0]},
        {"type": "Discrete", "start": 0, "n": 4},
        "a Box",
    ],
)
def test_bounds_are_those_of_the_data_where_the_action_space_has_none(tmp_path, space):
    metadata = MinariSource(write(tmp_path / "walk", action_space=json.dumps(space)), KEPT).metadata
    assert (metadata.action_low, metadata.action_high) == ([0, 0], pytest.approx([0.4, 0.2]))


def test_a_file_without_its_metadata_is_read(tmp_path):
    folder = write(tmp_path / "walk")
    (folder / "data" / "metadata.json").unlink()
    assert_recorded(MinariSource(folder, KEPT))


def replaced(place, values):
    def change(file):
        del file[place]
        file[place] = values

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replaced("episode_1/actions", np.zeros((3, 2))), "episode_1 in .* has 3 actions and 6 of 'camera/front'"),
        (replaced("episode_1/actions/left", np.zeros((5, 2))), "episode_1 in .* has no 'actions' that are vectors"),
        (replaced("episode_1/observations/goal", np.zeros(3)), r"'goal' of episode_1 in .* is float64 \(3,\)"),
        (replaced("episode_1/observations/camera/front", np.zeros((6, 9), np.uint8)), "'camera/front' of episode_1"),
    ],
)
def test_an_episode_that_is_not_whole_is_refused_or_left_out(tmp_path, change, message):
    def changed(file):
        if "left" in message or "vectors" in message:
            del file["episode_1/actions"]
            file["episode_1/actions/left"] = np.zeros((5, 2))
        change(file)

    folder = write(tmp_path / "walk", change=changed)
    with pytest.raises(InputError, match=message) as error:
        list(MinariSource(folder, KEPT))
    assert "\n" not in str(error.value)
    assert [episode.states[0, 0] for episode in MinariSource(folder, KEPT, skip=True)] == [0, 2]


def test_a_jpeg_that_is_not_whole_is_refused(tmp_path):
    def change(file):
        file["episode_1/observations"][2, 20:] = 0

    folder = write(tmp_path / "walk", "jpeg", alone=True, change=change)
    with pytest.raises(InputError, match=r"'observations' of episode_1 in .* no whole JPEG"):
        list(MinariSource(folder, KEPT))


@pytest.mark.parametrize(
    ("about", "message"),
    [({"data_format": "arrow"}, "format 'arrow', and 'hdf5' is read"), ({"data_format": ["a"]}, "'hdf5' is read")],
)
def test_another_format_is_refused(tmp_path, about, message):
    with pytest.raises(InputError, match=message):
        MinariSource(write(tmp_path / "walk", **about), KEPT)


@pytest.mark.parametrize("content", ["{", "[1]", "3"])
def test_damaged_metadata_are_refused_in_one_line(tmp_path, content):
    folder = write(tmp_path / "walk")
    (folder / "data" / "metadata.json").write_text(content)
    with pytest.raises(InputError, match=r"metadata\.json is damaged") as error:
        MinariSource(folder, KEPT)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore")  # Minari's, on what its metadata lack
@pytest.mark.parametrize("jpeg_encoding", [True, False])
@pytest.mark.parametrize("render_only", [True, False])
def test_what_minari_collects_is_read_as_it_was_played(tmp_path, monkeypatch, jpeg_encoding, render_only):
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = AddRenderObservation(TimeLimit(Walk(), 4), render_only=render_only, render_key="rendered")
    collector = minari.DataCollector(env, jpeg_encoding=jpeg_encoding)
    played = []
    for seed in range(3):
        observation, _ = collector.reset(seed=seed)
        frames, actions, is_over = [observation], [], False
        while not is_over:
            actions.append(collector.action_space.sample())
            observation, _, terminated, truncated, _ = collector.step(actions[-1])
            frames.append(observation)
            is_over = terminated or truncated
        played.append((np.stack([each if render_only else each["rendered"] for each in frames]), np.stack(actions)))
    collector.create_dataset(IDENTIFIER)
    collector.close()
    del collector
    gc.collect()  # its temporary folders, while their warnings are ignored
    camera = "observations" if render_only else "rendered"
    source = MinariSource(tmp_path.joinpath(IDENTIFIER).relative_to(tmp_path), KEPT, camera=camera)
    assert len(source) == 3
    assert (source.metadata.action_low, source.metadata.action_high) == ([-1, -1], [1, 1])
    for episode, (frames, actions) in zip(source, played, strict=True):
        np.testing.assert_allclose(episode.pixels, frames, atol=4 if jpeg_encoding else 0)
        np.testing.assert_array_equal(episode.actions, actions)
