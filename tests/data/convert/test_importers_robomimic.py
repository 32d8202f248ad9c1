"""HDF5 files in the layout of robomimic and LIBERO, written here and read as ours."""

import json

import h5py
import numpy as np
import pytest

from lewm.data.convert.importers import RobomimicSource
from lewm.data.convert.resizing import Resize
from lewm.errors import InputError

LENGTHS = {"demo_0": 5, "demo_10": 7, "demo_2": 4}
ORDER = ("demo_0", "demo_2", "demo_10")
KEPT = Resize()
NUMBERS = {"demo_0": 0, "demo_2": 2, "demo_10": 10}


def observations(name, first, num_rows):
    """Frame t of an episode shows t in red and the episode in green; the vectors hold both numbers."""
    steps = np.arange(first, first + num_rows)
    frames = np.zeros((num_rows, 8, 8, 3), np.uint8)
    frames[..., 0], frames[..., 1] = steps[:, None, None], NUMBERS[name]
    return {
        "agentview_image": frames,
        "robot0_eye_in_hand_image": 255 - frames,
        "agentview_depth": np.zeros((num_rows, 8, 8, 1), np.float32),
        "robot0_eef_pos": np.stack([steps, np.full(num_rows, NUMBERS[name])], 1).astype(np.float64),
        "robot0_gripper_qpos": steps[:, None].astype(np.float32) / 100,
    }


def actions(name, num_rows):
    return np.stack([np.arange(num_rows), np.full(num_rows, NUMBERS[name])], 1) / 100


def write(path, next_obs=False, change=lambda data: None, **attributes):
    """Demonstrations in a file; `change` gets the group `data`."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = sum(LENGTHS.values())
        data.attrs["env_args"] = json.dumps({"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20}})
        for key, value in attributes.items():
            data.attrs[key] = value
        for name, length in LENGTHS.items():
            demo = data.create_group(name)
            demo.attrs["num_samples"] = length
            demo["actions"] = actions(name, length)
            demo["states"], demo["rewards"], demo["dones"] = np.zeros((length, 9)), np.zeros(length), np.zeros(length)
            for key, values in observations(name, 0, length).items():
                demo.create_dataset(f"obs/{key}", data=values, compression="gzip")
                if next_obs:
                    demo[f"next_obs/{key}"] = observations(name, 1, length)[key]
        file["mask/train"] = np.array(["demo_0"], "S8")
        change(data)
    return path


def assert_recorded(source, extra_frames, names=ORDER):
    """Episodes in the order of their numbers, each with `extra_frames` more frames than rows."""
    episodes = list(source)
    assert len(episodes) == len(source) == len(names)
    for episode, name in zip(episodes, names, strict=True):
        num_frames = LENGTHS[name] + extra_frames
        expected = observations(name, 0, num_frames)
        np.testing.assert_array_equal(episode.pixels, expected["agentview_image"])
        states = np.concatenate([expected["robot0_eef_pos"], expected["robot0_gripper_qpos"]], 1)
        np.testing.assert_allclose(episode.states, states, rtol=1e-6)
        np.testing.assert_allclose(episode.actions, actions(name, num_frames - 1), rtol=1e-6)


def test_the_last_action_is_dropped_without_a_frame_that_it_leads_to(tmp_path):
    source = RobomimicSource(write(tmp_path / "a.hdf5"), KEPT, camera="agentview_image")
    assert_recorded(source, extra_frames=0)
    metadata = source.metadata
    assert metadata.state_names == ["robot0_eef_pos_0", "robot0_eef_pos_1", "robot0_gripper_qpos_0"]
    assert metadata.collection["imported_from"]["environment"] == "Lift"
    assert (metadata.action_low, metadata.action_high) == ([0, 0], pytest.approx([0.05, 0.1]))
    assert source.notes == [
        "frames: agentview_image; actions: actions; states: robot0_eef_pos, robot0_gripper_qpos;"
        " left out: agentview_depth, robot0_eye_in_hand_image"
    ]


def test_next_observations_give_the_frame_that_the_last_action_leads_to(tmp_path):
    source = RobomimicSource(write(tmp_path / "a.hdf5", next_obs=True), KEPT, camera="agentview_image")
    assert_recorded(source, extra_frames=1)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ("robot0_gripper_qpos", ["robot0_gripper_qpos_0"]),
        ("robot0_gripper_qpos, robot0_eef_pos", ["robot0_gripper_qpos_0", "robot0_eef_pos_0", "robot0_eef_pos_1"]),
        ("none", []),
    ],
)
def test_states_are_the_observations_that_are_named(tmp_path, states, expected):
    path = write(tmp_path / "a.hdf5", next_obs=True)
    source = RobomimicSource(path, Resize(4), camera="robot0_eye_in_hand_image", states=states)
    assert source.metadata.state_names == expected
    for episode in source:
        assert episode.states.shape == (len(episode.pixels), len(expected))
        assert episode.pixels.shape[1:] == (4, 4, 3)
        assert episode.pixels[0, 0, 0, 0] == 255


def test_frames_that_are_stored_upside_down_are_told_of(tmp_path):
    source = RobomimicSource(
        write(tmp_path / "a.hdf5", macros_image_convention="opengl"), KEPT, camera="agentview_image"
    )
    assert "upside down" in source.notes[-1]
    assert_recorded(source, extra_frames=0)


def put(place, values):
    def change(data):
        del data[place]
        if values is not None:
            data[place] = values

    return change


BROKEN = [
    (put("demo_2/actions", None), "data/demo_2 in .* has no 'actions'"),
    (put("demo_2/actions", np.zeros((9, 2))), "data/demo_2 in .* has 9 actions and 4 of 'agentview_image'"),
    (put("demo_2/actions", np.full((4, 2), np.nan)), "action 0 in row 0 of episode data/demo_2"),
    (put("demo_2/obs/agentview_image", None), "data/demo_2 in .* has no 'agentview_image'; it has agentview_depth"),
    (put("demo_2/obs", None), "data/demo_2 in .* has no 'obs'; it has actions"),
    (put("demo_2/obs/agentview_image", np.zeros((4, 8, 9, 3), np.uint8)), r"demo_2 in .* is \(8, 9\), .* \(8, 8\)"),
    (put("demo_2/obs/agentview_image", np.zeros((4, 8, 8, 3))), r"demo_2 in .* is \(4, 8, 8, 3\)"),
    (put("demo_2/obs/robot0_eef_pos", np.zeros((3, 2))), r"demo_2 in .* is float64 \(3, 2\), beside 4 frames"),
    (put("demo_2/obs/robot0_eef_pos", np.zeros((4, 3))), r"demo_2 in .* has states \(4, 4\) beside 3 actions"),
    (put("demo_2/obs/robot0_eef_pos", np.full((4, 2), np.inf)), "state 0 in row 0 of episode data/demo_2"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_an_episode_that_is_not_whole_is_refused_in_one_line(tmp_path, change, message):
    path = write(tmp_path / "a.hdf5", change=change)
    with pytest.raises(InputError, match=message) as error:
        list(RobomimicSource(path, KEPT, camera="agentview_image"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_an_episode_that_is_not_whole_is_left_out_where_that_is_asked_for(tmp_path, change, message):
    path = write(tmp_path / "a.hdf5", change=change)
    source = RobomimicSource(path, KEPT, camera="agentview_image", skip=True)
    assert [episode.states[0, 1] for episode in source] == [0, 10]
    assert source.notes[-1] == "1 of 3 episodes left out"


def test_the_first_episode_may_be_one_that_is_left_out(tmp_path):
    path = write(tmp_path / "a.hdf5", change=put("demo_0/obs/robot0_eef_pos", None))
    source = RobomimicSource(path, KEPT, camera="agentview_image", states="robot0_eef_pos", skip=True)
    assert [episode.states[0, 1] for episode in source] == [2, 10]


def test_an_episode_of_one_row_is_left_out(tmp_path):
    def change(data):
        for key in ("actions", *(f"obs/{name}" for name in data["demo_2/obs"])):
            put(f"demo_2/{key}", data[f"demo_2/{key}"][:1])(data)

    source = RobomimicSource(write(tmp_path / "a.hdf5", change=change), KEPT, camera="agentview_image")
    assert_recorded(source, extra_frames=0, names=("demo_0", "demo_10"))
    assert source.notes[-1] == "1 of 3 episodes left out"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "there are 2 of camera: give --camera, one of agentview_image, robot0_eye_in_hand_image"),
        ({"camera": "front"}, "no camera 'front': give --camera"),
        ({"camera": "agentview_depth"}, "no camera 'agentview_depth'"),
        ({"camera": "agentview_image", "states": "speed"}, "no observation of numbers 'speed': give --states"),
        ({"camera": "agentview_image", "states": "robot0_eef_pos,robot0_eef_pos"}, "names 'robot0_eef_pos' twice"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        RobomimicSource(write(tmp_path / "a.hdf5"), KEPT, **options)


def test_a_file_of_another_layout_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["pixels"] = np.zeros(3)
    with pytest.raises(InputError, match="no group 'data'; it has pixels"):
        RobomimicSource(tmp_path / "a.h5", KEPT)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_group("data")
    with pytest.raises(InputError, match="holds no episode"):
        RobomimicSource(tmp_path / "b.h5", KEPT)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["data/demo_0/actions"], file["data/demo_0/obs/eef"] = np.zeros((4, 2)), np.zeros((4, 2))
    with pytest.raises(InputError, match=r"no frames among the observations in .*: eef"):
        RobomimicSource(tmp_path / "c.h5", KEPT)
