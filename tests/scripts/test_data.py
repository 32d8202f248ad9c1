"""scripts/data.py as its users run it: what it prints, what it leaves, how it ends."""

import importlib
import json
import sys

import h5py
import imageio.v3 as iio
import numpy as np
import pytest

from lewm.data.episodes import Episodes
from scripts import data as program
from tests.data.films import LENGTHS, frames_of, write_video
from tests.data.lerobot_folders import encoded, rename_feature, write_v21
from tests.disk import full_disk
from tests.programs import assert_one_line_error, run_program
from tests.replay_buffers import NUM_RECORDINGS, write_zarr

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # imageio's, while it writes and reads


def run(*arguments):
    return run_program(program.main, *map(str, arguments))


def damaged_copy(data, path):
    """A copy with a NaN among its actions, a truncated frame and bytes that are not those that were written."""
    path.mkdir()
    for file in data.path.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    actions = np.load(path / "actions.npy")
    actions[data.index.action_offsets[2] + 5] = np.nan
    np.save(path / "actions.npy", actions)
    pixels = path / "pixels.npy"
    pixels.write_bytes(pixels.read_bytes()[:-10])
    return path


def test_info_tells_what_is_in_a_dataset(two_room_data, capsys):
    assert run("info", two_room_data.path) is None
    printed = "".join(capsys.readouterr().out.split())
    for word in ("envs:lewm/TwoRoom-v0", "agent_x", "agent_y", "action0", two_room_data.content_hash, "seed0", "numpy"):
        assert word in printed, word
    assert f"{len(two_room_data.pixels)}of48x48x3" in printed
    lengths = two_room_data.lengths
    assert f"{lengths.min()}to{lengths.max()},median{np.median(lengths):g}" in printed
    assert f"{two_room_data.states[:, 0].mean():.4g}" in printed


def test_angles_and_velocities_are_declared_when_a_dataset_is_converted(tmp_path, two_room_data, capsys):
    declared = ("--angles", "agent_x", "--velocities", "agent_y, agent_x")
    assert run("convert", two_room_data.path, tmp_path / "out", *declared) is None
    metadata = Episodes(tmp_path / "out").metadata
    assert (metadata.angles, metadata.velocities) == (["agent_x"], ["agent_y", "agent_x"])
    assert run("info", tmp_path / "out") is None
    printed = "".join(capsys.readouterr().out.split())
    assert "anglesagent_x" in printed
    assert "velocitiesagent_y,agent_x" in printed


@pytest.mark.parametrize("option", ["--angles", "--velocities"])
def test_a_declared_name_that_is_no_number_of_a_state_is_refused(tmp_path, two_room_data, option):
    code = run("convert", two_room_data.path, tmp_path / "out", option, "tilt")
    assert_one_line_error(code, option[2:], "'tilt'", "agent_x, agent_y")
    assert not (tmp_path / "out").exists()


def test_validating_a_dataset_that_is_right_ends_with_0(two_room_data, capsys):
    assert run("validate", two_room_data.path) is None
    assert "nothing is wrong" in capsys.readouterr().out


def test_validating_a_damaged_dataset_lists_every_fault_and_ends_with_1(tmp_path, two_room_data, capsys):
    assert run("validate", damaged_copy(two_room_data, tmp_path / "data")) == 1
    printed = capsys.readouterr().out
    assert "file: pixels.npy is truncated" in printed
    assert "length: pixels.npy ends in row" in printed
    assert "bytes: the bytes of episode 2" in printed
    assert "action: action 0 in row 5 of episode 2 is nan" in printed
    assert "4 faults" in printed


def test_faults_of_a_kind_are_listed_up_to_a_number(tmp_path, two_room_data, capsys):
    described = json.loads((two_room_data.path / "metadata.json").read_text())
    described["metadata"] |= {"action_high": [-2.0, -2.0], "action_low": [-3.0, -3.0]}
    for file in two_room_data.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "metadata.json").write_text(json.dumps(described))
    assert run("validate", tmp_path, "--show", "3") == 1
    printed = capsys.readouterr().out
    assert printed.count("bounds: action") == 3
    assert "bounds: and 9 more of these" in printed


def test_a_preview_is_a_sheet_and_a_film_of_the_episodes(tmp_path, two_room_data):
    assert run("preview", two_room_data.path, "--out", tmp_path / "new" / "folder", "--episodes", 3) is None
    assert iio.imread(tmp_path / "new" / "folder" / "sheet.png").std() > 10
    film = iio.imread(tmp_path / "new" / "folder" / "episodes.mp4", plugin="FFMPEG")
    chosen = two_room_data.lengths[[0, 6, 11]]
    assert len(film) == chosen.max() + 1
    shown = film[0, 2:146, 2:146].astype(int)  # three times larger
    first = two_room_data.pixels[0].repeat(3, 0).repeat(3, 1).astype(int)
    assert np.abs(shown - first).mean() < 5


def test_a_dataset_goes_to_hdf5_and_comes_back(tmp_path, two_room_data):
    assert run("convert", two_room_data.path, tmp_path / "out.h5", "--to", "hdf5") is None
    assert run("convert", tmp_path / "out.h5", tmp_path / "back", "--from", "hdf5") is None
    back = Episodes(tmp_path / "back")
    assert back.content_hash == two_room_data.content_hash
    assert back.metadata == two_room_data.metadata
    assert run("validate", tmp_path / "back") is None


def test_resized_data_are_valid_data(tmp_path, two_room_data):
    assert run("convert", two_room_data.path, tmp_path / "big", "--frame-size", 64) is None
    big = Episodes(tmp_path / "big")
    assert (big.metadata.frame_size, big.pixels.shape[1:]) == (64, (64, 64, 3))
    np.testing.assert_array_equal(big.states, two_room_data.states)
    assert run("validate", tmp_path / "big") is None


def test_a_folder_of_videos_becomes_a_dataset(tmp_path, capsys):
    for number, length in enumerate(LENGTHS):
        write_video(tmp_path / "takes" / f"{number}.mp4", frames_of(number, length, 32, 48))
        (tmp_path / "takes" / f"{number}.csv").write_text("speed\n" + "\n".join(map(str, range(length))))
    convert = ("convert", tmp_path / "takes", tmp_path / "out", "--from", "video_folder", "--action-columns", "speed")
    assert_one_line_error(run(*convert), "48 wide and 32 high", "--fit crop")
    assert run(*convert, "--fit", "crop", "--frame-size", 16) is None
    data = Episodes(tmp_path / "out")
    assert data.lengths.tolist() == [length - 1 for length in LENGTHS]
    assert data.states.shape == (sum(LENGTHS), 0)
    assert run("info", data.path) is None
    assert run("validate", data.path) is None
    assert "imported/takes" in capsys.readouterr().out


@pytest.mark.parametrize(("numbers", "is_told"), [((0, 3), True), ((0, 1), False), ((1, 3), False), ((0, 200), False)])
def test_whole_numbers_from_0_are_told_of_as_a_discrete_choice(tmp_path, capsys, numbers, is_told):
    write_video(tmp_path / "takes" / "a.mp4", frames_of(0, 5))
    rows = [f"{number},{0.1 + number}" for number in (*numbers, *numbers, "None")[:4]] + ["None,None"]
    (tmp_path / "takes" / "a.csv").write_text("\n".join(["action_key,action_x", *rows]))
    assert run("convert", tmp_path / "takes", tmp_path / "out", "--from", "video_folder") is None
    printed = capsys.readouterr().out
    assert ("action_key is a whole number from 0 to 3: it looks like a discrete choice" in printed) == is_told
    assert "action_x is" not in printed


def test_episodes_that_cannot_be_read_are_left_out_where_that_is_asked_for(tmp_path, capsys):
    for number, length in enumerate(LENGTHS):
        write_video(tmp_path / "takes" / f"{number}.mp4", frames_of(number, length))
        (tmp_path / "takes" / f"{number}.csv").write_text("action\n" + "\n".join(map(str, range(length))))
    (tmp_path / "takes" / "1.mp4").write_bytes(b"")
    convert = ("convert", tmp_path / "takes", tmp_path / "out", "--from", "video_folder")
    assert_one_line_error(run(*convert), "1.mp4 is not a whole video")
    assert not (tmp_path / "out").exists()
    assert run(*convert, "--skip") is None
    assert Episodes(tmp_path / "out").lengths.tolist() == [LENGTHS[0] - 1, LENGTHS[2] - 1]
    printed = capsys.readouterr().out
    for words in ("actions: action; states: none", "left out: ", "1.mp4", "1 of 3 episodes left out", "2 episodes: "):
        assert words in printed, words


def test_demonstrations_are_imported_with_frames_that_are_drawn_anew(tmp_path, capsys):
    path = write_zarr(tmp_path / "replay.zarr")
    options = ("--from", "diffusion_policy", "--env-id", "envs:lewm/PushT-v0", "--render", "--frame-size", 48)
    assert run("convert", path, tmp_path / "out", *options) is None
    data = Episodes(tmp_path / "out")
    assert (len(data), data.pixels.shape[1:], data.metadata.angles) == (NUM_RECORDINGS, (48, 48, 3), ["block_angle"])
    assert run("validate", data.path, "--replay", 0) is None
    assert run("info", data.path) is None
    assert "block_angle" in capsys.readouterr().out


def test_a_lerobot_dataset_is_imported_and_what_was_left_out_is_printed(tmp_path, capsys):
    path = write_v21(tmp_path / "arm", encode=encoded)
    rename_feature(path, "action", "actions")
    next((path / "data").rglob("episode_000001.parquet")).unlink()
    next((path / "data").rglob("episode_000002.parquet")).write_bytes(b"no table")
    convert = ("convert", path, tmp_path / "out", "--from", "lerobot", "--states", "observation.state")
    assert_one_line_error(run(*convert), "no feature 'action'", "actions", "--action")
    assert_one_line_error(run(*convert, "--action", "actions"), "episode_000002.parquet", "--skip")
    assert not (tmp_path / "out").exists()
    assert run(*convert, "--action", "actions", "--skip") is None
    printed = capsys.readouterr().out
    assert "frames: observation.images.front; actions: actions; states: observation.state; left out: nothing" in printed
    assert "1 episodes left out, 1 files are missing: episodes 1; files" in printed
    assert f"episode 2: {path}" in printed
    assert "recorded at 10 frames a second" in printed
    assert f"1 episodes: {tmp_path / 'out'}" in printed
    assert Episodes(tmp_path / "out").lengths.tolist() == [LENGTHS[0] - 1]


def test_parts_of_a_split_merge_to_the_whole(tmp_path, two_room_data):
    assert run("split", two_room_data.path, tmp_path / "a", tmp_path / "b", "--fraction", 0.75) is None
    assert [len(Episodes(tmp_path / name)) for name in "ab"] == [9, 3]
    assert run("merge", tmp_path / "out", tmp_path / "a", tmp_path / "b") is None
    merged = Episodes(tmp_path / "out")
    assert sorted(map(bytes, merged.digests)) == sorted(map(bytes, two_room_data.digests))


@pytest.mark.parametrize(
    "arguments",
    [
        ("info", "{there}/none"),
        ("validate", "{there}/none"),
        ("info", "{there}"),
        ("info", "{there}/file.h5"),
        ("preview", "{there}", "--out", "{there}/preview"),
        ("convert", "{there}", "{there}/out"),
        ("convert", "{there}/none.h5", "{there}/out", "--from", "hdf5"),
        ("convert", "{there}/file.h5", "{there}/out", "--from", "hdf5"),
        ("convert", "{there}/folder/inner.h5", "{there}/out", "--from", "hdf5"),
        ("convert", "{there}/folder", "{there}/out", "--from", "hdf5"),
        ("convert", "{there}", "{there}/out", "--from", "lerobot"),
        ("convert", "{there}/none", "{there}/out", "--from", "lerobot"),
        ("convert", "{there}/none", "{there}/out", "--from", "diffusion_policy"),
        ("convert", "{there}/folder", "{there}/out", "--from", "diffusion_policy"),
        ("convert", "{there}/file.h5", "{there}/out", "--from", "diffusion_policy"),
        ("convert", "{there}/folder", "{there}/out", "--from", "minari"),
        ("convert", "{there}/none", "{there}/out", "--from", "minari"),
        ("convert", "{there}/folder/inner.h5", "{there}/out", "--from", "robomimic"),
        ("convert", "{there}/none.h5", "{there}/out", "--from", "robomimic"),
        ("convert", "{there}/folder", "{there}/out", "--from", "video_folder"),
        ("convert", "{there}/none", "{there}/out", "--from", "video_folder"),
        ("merge", "{there}/out", "{there}", "{there}"),
        ("split", "{there}", "{there}/out", "{there}/out2"),
    ],
    ids=" ".join,
)
def test_what_is_no_dataset_is_refused_in_one_line_and_nothing_is_left(tmp_path, arguments):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.h5").write_bytes(b"nothing")
    with h5py.File(tmp_path / "folder" / "inner.h5", "w") as file:
        file["other"] = 3
    before = sorted(tmp_path.rglob("*"))
    assert_one_line_error(run(*(argument.format(there=tmp_path) for argument in arguments)), str(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("to", ["native", "hdf5"])
def test_a_source_that_breaks_off_leaves_nothing(tmp_path, two_room_data, to):
    path = tmp_path / "data"
    damaged_copy(two_room_data, path)
    (path / "pixels.npy").write_bytes((two_room_data.path / "pixels.npy").read_bytes())
    assert_one_line_error(run("convert", path, tmp_path / "out", "--to", to), "episode 2", "not what was written")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("to", ["native", "hdf5"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, two_room_data, to):
    with full_disk(50_000):
        assert_one_line_error(run("convert", two_room_data.path, tmp_path / "out", "--to", to), str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_there_is_left_as_it_is(tmp_path, two_room_data):
    (tmp_path / "out").write_text("mine")
    assert_one_line_error(run("convert", two_room_data.path, tmp_path / "out", "--to", "hdf5"), "exists already")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--from", "video_folder", "--camera", "front"), ["--camera", "video_folder"]),
        (("--action-columns", "a"), ["--action-columns", "native"]),
        (("--render",), ["--render", "native"]),
        (("--skip",), ["--skip", "native"]),
        (("--frame-size", "0"), ["--frame-size 0"]),
    ],
)
def test_an_option_without_a_meaning_is_refused(tmp_path, two_room_data, options, words):
    assert_one_line_error(run("convert", two_room_data.path, tmp_path / "out", *options), *words)


@pytest.mark.parametrize(
    ("module", "format"),
    [
        ("h5py", "hdf5"),
        ("hdf5plugin", "hdf5"),
        ("h5py", "robomimic"),
        ("pyarrow.parquet", "lerobot"),
        ("zarr", "diffusion_policy"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(tmp_path, monkeypatch, module, format):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError):
        importlib.import_module(module)
    code = run("convert", tmp_path, tmp_path / "out", "--from", format)
    assert_one_line_error(code, module.split(".")[0], "uv run --extra formats")
