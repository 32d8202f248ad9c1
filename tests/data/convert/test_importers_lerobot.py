"""LeRobot's layout, version 3, written here and read back."""

import json

import imageio.v3 as iio
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lewm.data.convert.importers import LeRobotSource
from lewm.data.convert.resizing import Resize
from lewm.errors import InputError
from tests.data.films import LENGTHS, assert_recorded, frames_of, write_video

# imageio writes these videos; it leaves closing its pipes to the collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

KEPT = Resize()
CAMERA = "observation.images.front"


def table_of(number, length, start):
    rows = np.arange(length)
    actions = [[float(100 * number + row), 0.5] for row in rows]
    states = [[float(number), float(row)] for row in rows]
    columns = {"action": actions, "observation.state": states, "frame_index": rows, "episode_index": [number] * length}
    return pa.table(columns | {"index": start + rows, "timestamp": rows / 10})


def write_lerobot(path, files=((0, 1), (2,)), shape=(32, 32), images=False, **changes):
    """The episodes of each entry of `files` go into one parquet and one video file."""
    features = {
        "action": {"dtype": "float32", "shape": [2], "names": ["x", "y"]},
        "observation.state": {"dtype": "float32", "shape": [2], "names": {"motors": ["number", "row"]}},
        CAMERA: {
            "dtype": "image" if images else "video",
            "shape": [*shape, 3],
            "names": ["height", "width", "channels"],
        },
    }
    info = {
        "codebase_version": "v3.0",
        "fps": 10,
        "features": features,
        "robot_type": None,
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    }
    (path / "meta").mkdir(parents=True)
    (path / "meta" / "info.json").write_text(json.dumps(info | changes))
    episodes = []
    for file, numbers in enumerate(files):
        tables, films = [], []
        for number in numbers:
            begin = sum(len(film) for film in films)
            start = sum(LENGTHS[:number])
            films.append(frames_of(number, LENGTHS[number], *shape))
            table = table_of(number, LENGTHS[number], start)
            if images:
                encoded = [{"bytes": iio.imwrite("<bytes>", frame, extension=".png")} for frame in films[-1]]
                table = table.append_column(CAMERA, pa.array(encoded))
            tables.append(table)
            row = {"episode_index": number, "length": LENGTHS[number], "data/chunk_index": 0, "data/file_index": file}
            place = {"chunk_index": 0, "file_index": file, "from_timestamp": begin / 10}
            place["to_timestamp"] = (begin + LENGTHS[number]) / 10
            episodes.append(row | {f"videos/{CAMERA}/{name}": value for name, value in place.items()})
        data = path / "data" / "chunk-000" / f"file-{file:03d}.parquet"
        data.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.concat_tables(tables), data)
        if not images:
            write_video(path / "videos" / CAMERA / "chunk-000" / f"file-{file:03d}.mp4", np.concatenate(films))
    folder = path / "meta" / "episodes" / "chunk-000"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(episodes), folder / "file-000.parquet")
    return path


@pytest.mark.parametrize("files", [((0, 1, 2),), ((0, 1), (2,)), ((0,), (1,), (2,))])
def test_episodes_are_found_in_the_files_they_share(tmp_path, files):
    assert_recorded(LeRobotSource(write_lerobot(tmp_path / "data", files), KEPT))


def test_episodes_whose_frames_are_images_in_the_table_are_read(tmp_path):
    assert_recorded(LeRobotSource(write_lerobot(tmp_path / "data", images=True), KEPT))


def test_episodes_that_lie_in_a_file_in_another_order_are_read(tmp_path):
    path = write_lerobot(tmp_path / "data", ((1, 0, 2),))
    table = path / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    pq.write_table(pq.read_table(table).sort_by("episode_index"), table)
    assert_recorded(LeRobotSource(path, KEPT))


def test_names_and_bounds_are_those_of_the_dataset(tmp_path):
    metadata = LeRobotSource(write_lerobot(tmp_path / "data"), KEPT).metadata
    assert metadata.state_names == ["number", "row"]
    assert (metadata.action_low, metadata.action_high) == ([0.0, 0.5], [202.0, 0.5])
    assert metadata.collection["imported_from"]["action_names"] == ["x", "y"]
    assert metadata.env_id == "imported/data"


def test_frames_that_are_not_square_are_cropped(tmp_path):
    path = write_lerobot(tmp_path / "data", shape=(32, 48))
    with pytest.raises(InputError, match="48 wide and 32 high"):
        LeRobotSource(path, KEPT)
    source = LeRobotSource(path, Resize(16, "crop"))
    assert source.metadata.frame_size == 16
    assert_recorded(source)


def test_one_of_several_cameras_has_to_be_named(tmp_path):
    path = write_lerobot(tmp_path / "data")
    info = json.loads((path / "meta" / "info.json").read_text())
    info["features"]["observation.images.wrist"] = info["features"][CAMERA]
    (path / "meta" / "info.json").write_text(json.dumps(info))
    with pytest.raises(InputError, match=rf"2 of camera: give --camera, one of {CAMERA}, observation\.images\.wrist"):
        LeRobotSource(path, KEPT)
    assert_recorded(LeRobotSource(path, KEPT, camera=CAMERA))


def test_states_can_be_left_out(tmp_path):
    source = LeRobotSource(write_lerobot(tmp_path / "data"), KEPT, states="none")
    assert source.metadata.state_names == []
    assert [episode.states.shape for episode in source] == [(length, 0) for length in LENGTHS]


def drop_video(path):
    (path / "videos" / CAMERA / "chunk-000" / "file-001.mp4").unlink()


def shorten_video(path):
    write_video(path / "videos" / CAMERA / "chunk-000" / "file-001.mp4", frames_of(2, 2))


def damage_video(path):
    (path / "videos" / CAMERA / "chunk-000" / "file-001.mp4").write_bytes(b"no video")


def drop_table(path):
    (path / "data" / "chunk-000" / "file-001.parquet").unlink()


def damage_table(path):
    (path / "data" / "chunk-000" / "file-001.parquet").write_bytes(b"PAR1 and nothing")


def drop_rows(path):
    table = path / "data" / "chunk-000" / "file-001.parquet"
    pq.write_table(pq.read_table(table).slice(1), table)


def spoil_action(path):
    file = path / "data" / "chunk-000" / "file-001.parquet"
    table = pq.read_table(file)
    actions = table.column("action").to_pylist()
    actions[1] = [1.0, float("nan")]
    pq.write_table(table.set_column(0, "action", pa.array(actions)), file)


def drop_episodes(path):
    (path / "meta" / "episodes" / "chunk-000" / "file-000.parquet").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_video, r"no video .*file-001\.mp4"),
        (shorten_video, "video of episode 2 .* ends at row 2 of 4"),
        (damage_video, r"file-001\.mp4 is not a whole video"),
        (drop_table, r"lacks data/chunk-000/file-001\.parquet"),
        (damage_table, r"file-001\.parquet is not a whole parquet file"),
        (drop_rows, "episode 2 has 4 rows .* holds 3"),
        (spoil_action, "action 1 in row 1 of episode 2 .* nan"),
        (drop_episodes, "has no meta/episodes"),
        (lambda path: (path / "meta" / "info.json").unlink(), r"no meta/info\.json"),
        (lambda path: (path / "meta" / "info.json").write_text("{"), "damaged or incomplete"),
        (lambda path: (path / "meta" / "info.json").write_text("[]"), "damaged or incomplete"),
    ],
)
def test_a_damaged_lerobot_dataset_is_refused_in_one_line(tmp_path, damage, message):
    path = write_lerobot(tmp_path / "data")
    damage(path)
    with pytest.raises(InputError, match=message) as error:
        list(LeRobotSource(path, KEPT))
    assert "\n" not in str(error.value)


def test_an_older_version_of_lerobot_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"version v2\.1, and v3 is read"):
        LeRobotSource(write_lerobot(tmp_path / "data", codebase_version="v2.1"), KEPT)
