"""LeRobot's layout, versions 2.1 and 3, written here and read back."""

import json
import re
import shutil

import imageio.v3 as iio
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lewm.data.convert.importers import LeRobotSource
from lewm.data.convert.resizing import Resize
from lewm.errors import InputError
from tests.data.films import LENGTHS, assert_recorded, frames_of, write_video
from tests.data.lerobot_folders import (
    CAMERA,
    change_feature,
    change_info,
    change_rows,
    encoded,
    features,
    rename_feature,
    write_v21,
    write_v30,
)

# imageio writes these videos; it leaves closing its pipes to the collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

KEPT = Resize()
WRITERS = {"v2.1": write_v21, "v3.0": write_v30}
every_version = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())


def data_file(path, number):
    """The file that holds the rows of an episode, and of episode 2 alone."""
    return next(file for file in (path / "data").rglob("*.parquet") if number in numbers_in(file))


def numbers_in(file):
    return pq.read_table(file).column("episode_index").to_pylist()


def video_file(path):
    """The video of episode 2 alone."""
    return sorted((path / "videos").rglob("*.mp4"))[-1]


def list_of(path):
    """The list of episodes of version 3."""
    return path / "meta" / "episodes" / "chunk-000" / "file-000.parquet"


def assert_read(path, numbers, **options):
    """These episodes are read, and no others; returns the notes."""
    source = LeRobotSource(path, KEPT, **options)
    shown = [(int(episode.states[0, 0]), len(episode.states)) for episode in source]
    assert shown == [(number, LENGTHS[number]) for number in numbers]
    assert len(source) == len(numbers)
    return "\n".join(source.notes)


def assert_refused(path, message, **options):
    with pytest.raises(InputError, match=message) as error:
        list(LeRobotSource(path, KEPT, **options))
    assert "\n" not in str(error.value)


@every_version
def test_episodes_are_read_with_their_frames_states_and_actions(tmp_path, write):
    assert_recorded(LeRobotSource(write(tmp_path / "data"), KEPT))
    assert_recorded(LeRobotSource(write(tmp_path / "images", encode=encoded), KEPT))


def test_version_2_0_has_the_same_files(tmp_path):
    assert_recorded(LeRobotSource(write_v21(tmp_path / "data", codebase_version="v2.0"), KEPT))


@pytest.mark.parametrize("version", ["v1.6", "v2.2", "v4.0", None])
def test_another_version_is_refused(tmp_path, version):
    assert_refused(
        write_v21(tmp_path / "data", encode=encoded, codebase_version=version), rf"version {version}, and v2\.0"
    )


@pytest.mark.parametrize("files", [((0, 1, 2),), ((0,), (1,), (2,))])
def test_episodes_are_found_in_the_files_they_share(tmp_path, files):
    assert_recorded(LeRobotSource(write_v30(tmp_path / "data", files), KEPT))


def test_episodes_that_lie_in_a_file_in_another_order_are_read(tmp_path):
    path = write_v30(tmp_path / "data", ((0, 1, 2),))
    table = pq.read_table(data_file(path, 0))
    pq.write_table(table.take(np.random.default_rng(0).permutation(len(table))), data_file(path, 0))
    assert_recorded(LeRobotSource(path, KEPT))


def test_episodes_that_the_converter_lists_under_the_file_before_are_found(tmp_path):
    path = write_v30(tmp_path / "data", ((0,), (1,), (2,)))
    change_rows(list_of(path), **{"data/file_index": lambda files: [max(file - 1, 0) for file in files]})
    assert_recorded(LeRobotSource(path, KEPT))


def test_a_first_data_file_that_the_converter_leaves_out_is_no_fault(tmp_path):
    path = write_v30(tmp_path / "data", ((0,), (1,), (2,)), first_file=1)
    change_rows(list_of(path), **{"data/file_index": lambda files: [file - 1 for file in files]})
    assert_recorded(LeRobotSource(path, KEPT))


def test_an_episode_in_a_file_far_from_the_listed_one_is_refused(tmp_path):
    path = write_v30(tmp_path / "data", ((0,), (1,), (2,)))
    change_rows(list_of(path), **{"data/file_index": lambda files: [0, 1, 0]})
    assert_refused(path, r"episode 2 has 4 rows by meta/episodes, and there are none in .*file-000.* nor .*file-001")


def test_frames_are_those_at_the_times_of_the_rows(tmp_path):
    """Before the episode, the video has frames that belong to no row."""
    path = write_v30(tmp_path / "data", ((2,),))
    write_video(video_file(path), np.concatenate([frames_of(0, 3), frames_of(2, 4), frames_of(1, 2)]))
    for name, shift in (("from_timestamp", 0.3), ("to_timestamp", 0.3)):
        change_rows(list_of(path), **{f"videos/{CAMERA}/{name}": lambda times, by=shift: [time + by for time in times]})
    episode = next(iter(LeRobotSource(path, KEPT)))
    expected = frames_of(2, 4)[:, 0, 0, 0]
    np.testing.assert_allclose(episode.pixels.reshape(4, -1).mean(1), expected, atol=3)


def test_an_episodes_own_video_may_have_frames_after_its_last_row(tmp_path):
    path = write_v21(tmp_path / "data")
    write_video(video_file(path), frames_of(2, LENGTHS[2] + 2))
    assert_recorded(LeRobotSource(path, KEPT))


def test_an_episodes_own_video_may_play_at_another_rate(tmp_path):
    path = write_v21(tmp_path / "data", fps=12.5)
    for number in range(3):
        change_rows(data_file(path, number), timestamp=lambda times: [time * 10 / 12.5 for time in times])
    assert_recorded(LeRobotSource(path, KEPT))


@every_version
def test_names_bounds_and_rate_are_those_of_the_dataset(tmp_path, write):
    source = LeRobotSource(write(tmp_path / "data", encode=encoded), KEPT)
    metadata, origin = source.metadata, source.metadata.collection["imported_from"]
    assert metadata.state_names == ["number", "row"]
    assert (metadata.action_low, metadata.action_high) == ([0.0, 0.5], [202.0, 0.5])
    assert (origin["action_names"], origin["fps"], origin["robot_type"]) == (["x", "y"], 10.0, "so100")
    assert metadata.env_id == "imported/data"
    assert "recorded at 10 frames a second: env.frameskip=5 makes a model step of 0.5 s" in source.notes


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, ["state_0", "state_1"]),
        ([["a", "b"]], ["a", "b"]),
        ({"axes": ["a", "b"]}, ["a", "b"]),
        ({"left": {"arm": ["a"]}, "right": {"arm": ["b"]}}, ["a", "b"]),
        (["state"], ["state_0", "state_1"]),
        (["gripper", "gripper"], ["state_0", "state_1"]),
        ({"motors": None}, ["state_0", "state_1"]),
    ],
)
def test_names_may_be_lists_dicts_or_nothing(tmp_path, names, expected):
    path = write_v30(tmp_path / "data", encode=encoded)
    change_feature(path, "observation.state", names=names)
    assert LeRobotSource(path, KEPT).metadata.state_names == expected


def test_frames_that_are_not_square_are_cropped(tmp_path):
    path = write_v30(tmp_path / "data", shape=(32, 48))
    assert_refused(path, "48 wide and 32 high")
    source = LeRobotSource(path, Resize(16, "crop"))
    assert source.metadata.frame_size == 16
    assert_recorded(source)


@pytest.mark.parametrize("names", [None, ["channels", "height", "width"], ["height", "width", "channels"]])
def test_shapes_with_channels_first_are_recognized(tmp_path, names):
    path = write_v21(tmp_path / "data", encode=encoded)
    change_feature(path, CAMERA, shape=[3, 32, 32], names=names)
    source = LeRobotSource(path, KEPT)
    assert source.metadata.frame_size == 32
    assert "high" not in "\n".join(source.notes)
    assert_recorded(source)


def test_frames_of_another_size_than_their_shape_are_taken_and_told(tmp_path):
    path = write_v21(tmp_path / "data", encode=encoded)
    change_feature(path, CAMERA, shape=[96, 64, 3])
    assert "frames are 32 high and 32 wide; meta/info.json tells of [96, 64, 3]" in LeRobotSource(path, KEPT).notes


def test_one_of_several_cameras_has_to_be_named(tmp_path):
    path = write_v30(tmp_path / "data")
    change_info(path, features=features() | {"observation.images.wrist": features()[CAMERA]})
    assert_refused(path, rf"2 of camera: give --camera, one of {CAMERA}, observation\.images\.wrist")
    assert_refused(path, "no camera 'front': give --camera", camera="front")
    source = LeRobotSource(path, KEPT, camera=CAMERA)
    assert "left out: observation.images.wrist" in source.notes[1]
    assert_recorded(source)


def test_a_depth_camera_is_refused_by_name_and_is_not_the_only_camera(tmp_path):
    path = write_v30(tmp_path / "data", encode=encoded)
    depth = [{"info": {"is_depth_map": True}}, {"video_info": {"video.is_depth_map": True}}]
    depth.append({"info": {"video.pix_fmt": "gray16le"}})
    for details in depth:
        described = {"dtype": "video", "shape": [32, 32, 1], **details}
        change_info(path, features=features(images=True) | {"depth": described})
        assert_refused(path, rf"camera 'depth' of .* is a depth map.*one of {CAMERA}", camera="depth")
        assert "left out: depth" in LeRobotSource(path, KEPT).notes[1]
    change_info(path, features={name: value for name, value in features().items() if name != CAMERA} | {"d": described})
    assert_refused(path, "camera 'd' of .* is a depth map")


@every_version
def test_features_of_other_names_are_asked_for_and_chosen(tmp_path, write):
    path = write(tmp_path / "data", encode=encoded)
    for old, new in (("action", "actions"), ("observation.state", "state"), (CAMERA, "image")):
        rename_feature(path, old, new)
    assert_refused(path, r"has no feature 'action'; it has actions, state, image: give --action")
    assert_refused(
        path, r"has no feature 'speed'; it has actions, state, image: give --states", action="actions", states="speed"
    )
    assert_refused(path, r"feature 'image' of .* is image: give --action", action="image")
    assert_recorded(LeRobotSource(path, KEPT, action="actions", states="state", camera="image"))
    source = LeRobotSource(path, KEPT, action="actions")
    assert [episode.states.shape for episode in source] == [(length, 0) for length in LENGTHS]
    assert "frames: image; actions: actions; states: none; left out: state" in source.notes


def test_states_can_be_left_out(tmp_path):
    source = LeRobotSource(write_v30(tmp_path / "data", encode=encoded), KEPT, states="none")
    assert source.metadata.state_names == []
    assert [episode.states.shape for episode in source] == [(length, 0) for length in LENGTHS]


def test_a_number_a_row_is_a_vector_of_one(tmp_path):
    path = write_v21(tmp_path / "data", encode=encoded)
    change_feature(path, "action", shape=[1], names=None)
    for number in range(3):
        change_rows(data_file(path, number), action=lambda actions: [x for x, _ in actions])
    assert_recorded(LeRobotSource(path, KEPT))


def test_the_action_of_the_last_row_is_never_looked_at(tmp_path):
    path = write_v21(tmp_path / "data", encode=encoded)
    change_rows(data_file(path, 2), action=lambda actions: [*actions[:-1], None])
    assert_recorded(LeRobotSource(path, KEPT))


def as_gray(number, row, frame):
    return {"bytes": iio.imwrite("<bytes>", frame[..., 0], extension=".png"), "path": None}


def as_bytes(number, row, frame):
    return iio.imwrite("<bytes>", np.dstack([frame, frame[..., 0]]), extension=".png")


@pytest.mark.parametrize("encode", [as_gray, as_bytes])
def test_images_get_three_channels(tmp_path, encode):
    assert_recorded(LeRobotSource(write_v21(tmp_path / "data", encode=encode), KEPT))


@pytest.mark.parametrize("is_absolute", [True, False])
@every_version
def test_images_that_are_named_by_their_path_are_read(tmp_path, write, is_absolute):
    path = tmp_path / "data"

    def saved(number, row, frame):
        file = path / "images" / CAMERA / f"episode_{number:06d}" / f"frame_{row:06d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        iio.imwrite(file, frame)
        return {"bytes": None, "path": str(file if is_absolute else file.relative_to(path))}

    assert_recorded(LeRobotSource(write(path, encode=saved), KEPT))
    next((path / "images").rglob("episode_000002/frame_000003.png")).unlink()
    notes = assert_read(path, (0, 1))
    assert re.search(
        r"1 episodes left out, 1 files are missing: episodes 2; files .*episode_000002/frame_000003\.png", notes
    )


def as_depth(number, row, frame):
    return {"bytes": iio.imwrite("<bytes>", frame[..., 0].astype(np.uint16) * 100, extension=".png")}


def test_images_of_16_bits_are_refused_by_name(tmp_path):
    assert_refused(write_v21(tmp_path / "data", encode=as_depth), "frame 0 of episode 0 .* more than 8 bits")


@every_version
def test_missing_videos_are_counted_and_named_and_the_other_episodes_read(tmp_path, write):
    path = write(tmp_path / "data")
    missing = video_file(path)
    missing.unlink()
    expected = f"1 episodes left out, 1 files are missing: episodes 2; files {missing}"
    assert expected in assert_read(path, (0, 1)).splitlines()


@every_version
def test_missing_rows_are_counted_and_named_and_the_other_episodes_read(tmp_path, write):
    path = write(tmp_path / "data", encode=encoded)
    missing = [data_file(path, number) for number in (0, 1)]
    for file in set(missing):
        file.unlink()
    notes = assert_read(path, (2,))
    num_files = len(set(missing))
    assert f"2 episodes left out, {num_files} files are missing: episodes 0-1; files {missing[0]}" in notes


def test_a_dataset_without_a_video_is_refused(tmp_path):
    path = write_v30(tmp_path / "data")
    shutil.rmtree(path / "videos")
    assert_refused(
        path, r"no episode of at least 2 rows that can be read: 3 episodes left out, 2 files are missing: episodes 0-2"
    )


@every_version
def test_fewer_or_more_episodes_than_meta_info_tells_of_are_told(tmp_path, write):
    path = write(tmp_path / "data", encode=encoded, total_episodes=50)
    assert "meta/info.json tells of 50 episodes, and 3 are there" in assert_read(path, (0, 1, 2))


@every_version
def test_a_folder_video_for_videos_is_found_and_told(tmp_path, write):
    path = write(tmp_path / "data")
    (path / "videos").rename(path / "video")
    source = LeRobotSource(path, KEPT)
    assert "videos are in video/, and in videos/ by meta/info.json" in source.notes
    assert_recorded(source)


@pytest.mark.parametrize("is_there", [True, False])
def test_an_empty_list_of_episodes_is_told_and_made_of_the_files(tmp_path, is_there):
    path = write_v21(tmp_path / "data")
    for name in ("episodes.jsonl", "tasks.jsonl"):
        (path / "meta" / name).write_text("\n") if is_there else (path / "meta" / name).unlink()
    data_file(path, 1).unlink()
    notes = assert_read(path, (0, 2))
    assert "meta/episodes.jsonl is missing or empty: the episodes are those that have a file of rows" in notes


def test_rows_of_episodes_that_are_not_listed_are_told(tmp_path):
    path = write_v21(tmp_path / "data")
    lines = (path / "meta" / "episodes.jsonl").read_text().splitlines()
    (path / "meta" / "episodes.jsonl").write_text("\n\n".join(lines[:2]) + "\n\n")
    notes = assert_read(path, (0, 1))
    assert re.search(r"1 files of rows left out, no episode is listed for them: .*episode_000002\.parquet", notes)


def test_episodes_of_one_row_are_left_out_and_counted(tmp_path):
    path = write_v21(tmp_path / "data", encode=encoded)
    pq.write_table(pq.read_table(data_file(path, 2)).slice(0, 1), data_file(path, 2))
    lines = (path / "meta" / "episodes.jsonl").read_text().replace('"length": 4', '"length": 1')
    (path / "meta" / "episodes.jsonl").write_text(lines)
    assert "1 episodes of less than 2 rows left out" in assert_read(path, (0, 1))


def shorten_video(path):
    write_video(video_file(path), frames_of(2, 2))


def damage_video(path):
    video_file(path).write_bytes(b"no video")


def break_off_video(path):
    whole = video_file(path).read_bytes()
    video_file(path).write_bytes(whole[: len(whole) // 2])


def damage_table(path):
    data_file(path, 2).write_bytes(b"PAR1 and nothing")


def drop_row(path):
    table = data_file(path, 2)
    pq.write_table(pq.read_table(table).slice(1), table)


def drop_column(path):
    table = data_file(path, 2)
    pq.write_table(pq.read_table(table).drop_columns(["action"]), table)


def rows_with(**columns):
    return lambda path: change_rows(data_file(path, 2), **columns)


def widen(vectors):
    return [[*vector, 1.0] for vector in vectors]


DAMAGES = [
    (shorten_video, r"video of episode 2 has no frame for row 2 of 4, at 0\.\d+ s: .* has 2, from 0 to 0\.1 s"),
    (damage_video, r"\.mp4 is not a whole video"),
    (break_off_video, r"\.mp4 is not a whole video"),
    (damage_table, r"\.parquet is not a whole parquet file"),
    (drop_row, "episode 2 has 4 rows by meta/episodes, and .* holds 3"),
    (drop_column, r"\.parquet has no column 'action'; it has"),
    (rows_with(action=lambda rows: [rows[0], [1.0, float("nan")], *rows[2:]]), "action 1 in row 1 of episode 2 .* nan"),
    (rows_with(action=lambda rows: [rows[0], None, *rows[2:]]), r"'action' in row 1 of .*\.parquet is null"),
    (rows_with(action=lambda rows: [rows[0], [1.0], *rows[2:]]), "rows of 'action' in .* no vectors of one length"),
    (rows_with(action=lambda rows: ["left"] * 4), "'action' in .* is string: numbers are expected"),
    (rows_with(action=widen), "'action' of episode 2 in .* has 3 numbers in a row, and 2"),
    (rows_with(**{"observation.state": widen}), "'observation.state' of episode 2 in .* has 3 numbers in a row, and 2"),
    (rows_with(frame_index=lambda rows: [0, 1, 1, 2]), "'frame_index' of episode 2 in .* is not each of 0 to 3 once"),
    (rows_with(frame_index=lambda rows: [0, 1, 2, None]), r"'frame_index' in row 3 of .*\.parquet is null"),
    (
        rows_with(timestamp=lambda times: [0.0, 0.1, 0.4, 0.5]),
        r"'timestamp' in row 2 of episode 2 .* 0\.4 s, and 0\.2 s",
    ),
    (rows_with(timestamp=lambda times: [0.0, float("nan"), 0.2, 0.3]), "'timestamp' in row 1 of episode 2 .* nan s"),
    (rows_with(episode_index=lambda rows: [2, 2, 2, None]), r"'episode_index' in row 3 of .*\.parquet is null"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
@every_version
def test_an_unreadable_episode_is_refused_in_one_line_or_skipped_and_named(tmp_path, write, damage, message):
    path = write(tmp_path / "data", encode=None if "video" in damage.__name__ else encoded)
    damage(path)
    assert_refused(path, message + r".*\(--skip leaves out episodes that cannot be read\)")
    notes = assert_read(path, (0, 1), skip=True)
    assert "1 episodes left out, they cannot be read:" in notes
    assert re.search(r"episode 2.*" if "episode 2" not in message else message, notes)
    assert LeRobotSource(path, KEPT, skip=True).metadata.action_high == [107.0, 0.5]


def test_rows_of_another_episode_in_an_episodes_file_are_refused(tmp_path):
    path = write_v21(tmp_path / "data", encode=encoded)
    change_rows(data_file(path, 2), episode_index=lambda rows: [7] * 4)
    assert_refused(path, r"episode_000002\.parquet of episode 2 has rows of episode 7")


def test_rows_that_begin_elsewhere_than_listed_are_refused(tmp_path):
    path = write_v30(tmp_path / "data", encode=encoded)
    change_rows(data_file(path, 2), index=lambda rows: [row + 3 for row in rows])
    assert_refused(path, "'index' in row 0 of episode 2 is 17 in .*, and 14 by 'dataset_from_index'")


VIDEO = f"videos/{CAMERA}"


WHOLE = (
    "length",
    "dataset_from_index",
    "dataset_to_index",
    *(f"{prefix}/{name}" for prefix in ("data", VIDEO) for name in ("chunk_index", "file_index")),
)
SECONDS = (f"{VIDEO}/from_timestamp", f"{VIDEO}/to_timestamp")


@pytest.mark.parametrize(
    ("column", "value"),
    [(column, value) for column in (*WHOLE, *SECONDS) for value in (None, float("nan"), -1.0)]
    + [(column, 0.5) for column in WHOLE],
)
def test_what_is_no_number_in_the_list_is_refused_by_episode_and_column(tmp_path, column, value):
    path = write_v30(tmp_path / "data")
    change_rows(list_of(path), **{column: lambda values: [*map(float, values[:2]), value]})
    assert_refused(path, rf"'{column}' of episode 2 in .*episodes is {'null' if value is None else value}")


def test_what_is_no_number_in_the_list_is_skipped_and_named(tmp_path):
    path = write_v30(tmp_path / "data")
    change_rows(list_of(path), **{f"{VIDEO}/file_index": lambda values: [*values[:2], None]})
    notes = assert_read(path, (0, 1), skip=True)
    assert "1 episodes left out, they cannot be read:" in notes
    assert f"'{VIDEO}/file_index' of episode 2 in {path / 'meta' / 'episodes'} is null" in notes


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"episode_index": [0, 1, None]}, "'episode_index' in row 2 of .*episodes is null"),
        ({"episode_index": [0, 1, 1]}, "episode 1 is listed twice"),
        ({"length": [5, 9, 5]}, "episode 2 has 5 rows by 'length' .* and 4 by 'dataset_from_index' 14"),
        ({"dataset_from_index": [0, 5, 13], "dataset_to_index": [5, 14, 17]}, "'index' in row 0 of episode 2 is 14"),
        (
            {f"{VIDEO}/to_timestamp": [0.5, 1.4, 0.1]},
            "episode 2 has 4 rows at 10 a second, and its video lasts from 0 to 0.1 s",
        ),
        (
            {f"{VIDEO}/from_timestamp": [0.0, 0.2, 0.0]},
            "episode 1 begins at 0.2 s of .*, where episode 0 of 5 rows from 0 s",
        ),
        (
            {f"{VIDEO}/from_timestamp": [0.0, 0.5, 0.9], f"{VIDEO}/to_timestamp": [0.5, 1.4, 1.3]},
            "video of episode 2 has no frame for row 0 of 4, at 0.9 s",
        ),
    ],
)
def test_contradictions_in_the_list_are_refused_by_name(tmp_path, columns, message):
    path = write_v30(tmp_path / "data")
    change_rows(list_of(path), **{name: lambda _, values=values: values for name, values in columns.items()})
    assert_refused(path, message)
    assert "1 episodes left out, they cannot be read:" in "\n".join(LeRobotSource(path, KEPT, skip=True).notes)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"episode_index": 2, "len', "line 3 of .*episodes.jsonl is no JSON object"),
        ("[2, 4]", "line 3 of .*episodes.jsonl is no JSON object"),
        ('{"length": 4}', "'episode_index' in line 3 of .*episodes.jsonl is null"),
        ('{"episode_index": 2, "length": NaN}', "'length' of episode 2 in .*episodes.jsonl is nan"),
        ('{"episode_index": 1, "length": 9}', "episode 1 is listed twice"),
    ],
)
def test_a_damaged_line_of_the_list_is_refused_by_its_number_or_skipped(tmp_path, line, message):
    path = write_v21(tmp_path / "data", encode=encoded)
    file = path / "meta" / "episodes.jsonl"
    file.write_text("\n".join([*file.read_text().splitlines()[:2], line]))
    assert_refused(path, message)
    assert_read(path, (0, 1), skip=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: list_of(path).unlink(), "no meta/episodes"),
        (lambda path: pq.write_table(pq.read_table(list_of(path)).slice(0, 0), list_of(path)), "no meta/episodes"),
        (lambda path: (path / "meta" / "info.json").unlink(), r"no meta/info\.json"),
        (lambda path: (path / "meta" / "info.json").write_text("{"), "damaged or incomplete"),
        (lambda path: (path / "meta" / "info.json").write_text("[]"), "damaged or incomplete"),
        (lambda path: change_info(path, fps=None), "damaged or incomplete"),
        (lambda path: change_info(path, fps=0), "damaged or incomplete .*fps is 0"),
        (lambda path: change_info(path, fps=float("nan")), "damaged or incomplete .*fps is nan"),
        (lambda path: change_info(path, features=None), "damaged or incomplete"),
        (lambda path: change_info(path, features={"action": "float32"}), "feature 'action' has no dtype"),
        (lambda path: change_info(path, data_path=None), "data_path in .* is None: a path in the dataset"),
        (lambda path: change_info(path, data_path="/data/{file_index}"), "data_path in .* a path in the dataset"),
        (lambda path: change_info(path, data_path="data/{episode}.parquet"), "data_path in .* cannot be filled in"),
    ],
)
def test_a_damaged_description_is_refused_in_one_line(tmp_path, damage, message):
    path = write_v30(tmp_path / "data", encode=encoded)
    damage(path)
    assert_refused(path, message)


def test_a_video_that_breaks_off_while_it_is_read_is_skipped_and_named(tmp_path):
    path = write_v21(tmp_path / "data")
    whole = bytearray(video_file(path).read_bytes())
    begin = whole.index(b"mdat") + 4
    whole[begin : begin + 4000] = bytes(4000)[: len(whole[begin : begin + 4000])]
    video_file(path).write_bytes(whole)
    assert_refused(path, "mp4")
    assert re.search(r"episode 2.*mp4", assert_read(path, (0, 1), skip=True))


def test_frames_of_another_size_in_a_later_episode_need_a_frame_size(tmp_path):
    path = write_v21(tmp_path / "data")
    write_video(video_file(path), frames_of(2, LENGTHS[2], 48, 48))
    assert_refused(
        path, "frames of episode 2 in .* are 48 pixels wide, and those of the first one 32: give --frame-size"
    )
    assert_recorded(LeRobotSource(path, Resize(16)))


def test_files_that_a_mac_leaves_beside_others_are_ignored(tmp_path):
    path = write_v30(tmp_path / "data", encode=encoded)
    for file in (list_of(path), data_file(path, 2)):
        (file.parent / f"._{file.name}").write_bytes(b"resource fork")
    assert assert_read(path, (0, 1, 2)).count("left out") == 1


def test_an_integer_table_of_actions_is_read(tmp_path):
    path = write_v21(tmp_path / "data", encode=encoded)
    for number in range(3):
        table = pq.read_table(data_file(path, number))
        whole = pa.array([[int(x), 0] for x, _ in table.column("action").to_pylist()], pa.list_(pa.int64()))
        pq.write_table(table.set_column(0, "action", whole), data_file(path, number))
    assert_recorded(LeRobotSource(path, KEPT))


def test_a_list_in_other_encodings_of_lines_is_read(tmp_path):
    path = write_v21(tmp_path / "data", encode=encoded)
    lines = [
        json.dumps({"episode_index": number, "length": length, "tasks": ["größe\u2028"]}, ensure_ascii=False)
        for number, length in enumerate(LENGTHS)
    ]
    (path / "meta" / "episodes.jsonl").write_bytes(("\ufeff" + "\r\n".join(lines)).encode())
    assert_recorded(LeRobotSource(path, KEPT))
