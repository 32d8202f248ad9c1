"""Small datasets in the layout of LeRobot 2.1 and 3.0, whose frames, states and actions tell where they are from."""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import imageio.v3 as iio
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.data.films import LENGTHS, frames_of, write_video

CAMERA = "observation.images.front"
FPS = 10
COUNTERS = {
    name: {"dtype": "float32" if name == "timestamp" else "int64", "shape": [1], "names": None}
    for name in ("timestamp", "frame_index", "episode_index", "index", "task_index")
}
PATHS = {
    "v2.1": (
        "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    ),
    "v3.0": (
        "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    ),
}


def features(shape=(32, 32), images=False):
    """The features of meta/info.json, but for the counters of rows."""
    camera = {"dtype": "image" if images else "video", "shape": [*shape, 3], "names": ["height", "width", "channels"]}
    return {
        "action": {"dtype": "float32", "shape": [2], "names": ["x", "y"]},
        "observation.state": {"dtype": "float32", "shape": [2], "names": {"motors": ["number", "row"]}},
        CAMERA: camera,
    }


def write_info(path, version, described, **changes):
    """meta/info.json of a dataset of LENGTHS."""
    data_path, video_path = PATHS[version]
    info = {
        "codebase_version": version,
        "robot_type": "so100",
        "total_episodes": len(LENGTHS),
        "total_frames": sum(LENGTHS),
        "total_tasks": 1,
        "chunks_size": 2 if version == "v2.1" else 1000,
        "fps": FPS,
        "splits": {"train": f"0:{len(LENGTHS)}"},
        "data_path": data_path,
        "video_path": video_path,
        "features": described | COUNTERS,
    }
    (path / "meta").mkdir(parents=True, exist_ok=True)
    (path / "meta" / "info.json").write_text(json.dumps(info | changes))


def change_info(path, **changes):
    """Writes other values into meta/info.json."""
    file = path / "meta" / "info.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def change_feature(path, name, **changes):
    """Writes another description of a feature into meta/info.json."""
    described = json.loads((path / "meta" / "info.json").read_text())["features"]
    change_info(path, features=described | {name: described[name] | changes})


def rename_feature(path, old, new):
    """Gives a feature another name in meta/info.json and in the rows."""
    described = json.loads((path / "meta" / "info.json").read_text())["features"]
    change_info(path, features={new if name == old else name: value for name, value in described.items()})
    for file in (path / "data").rglob("*.parquet"):
        table = pq.read_table(file)
        pq.write_table(table.rename_columns([new if name == old else name for name in table.column_names]), file)


def change_rows(file, **columns):
    """Writes other columns into a parquet file: each a function of the values that are there."""
    table = pq.read_table(file)
    for name, change in columns.items():
        values = pa.array(change(table.column(name).to_pylist()))
        table = table.set_column(table.column_names.index(name), name, values)
    pq.write_table(table, file)


def table_of(number, encode=None):
    """The rows of an episode; `encode` makes the value of each frame, where they are in the rows."""
    length = LENGTHS[number]
    rows = np.arange(length)
    table = pa.table(
        {
            "action": pa.array([[float(100 * number + row), 0.5] for row in rows], pa.list_(pa.float32(), 2)),
            "observation.state": pa.array([[float(number), float(row)] for row in rows], pa.list_(pa.float32())),
            "timestamp": pa.array(rows / FPS, pa.float32()),
            "frame_index": rows,
            "episode_index": [number] * length,
            "index": sum(LENGTHS[:number]) + rows,
            "task_index": [0] * length,
        }
    )
    if encode is None:
        return table
    frames = frames_of(number, length)
    return table.append_column(CAMERA, pa.array([encode(number, row, frame) for row, frame in enumerate(frames)]))


def encoded(number, row, frame):
    """An image as LeRobot keeps it in the rows."""
    return {"bytes": iio.imwrite("<bytes>", frame, extension=".png"), "path": f"frame_{row:06d}.png"}


def copy_film(path, numbers, height, width):
    """Writes a video of the frames of some episodes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(film_of(numbers, height, width))


@cache
def film_of(numbers, height, width):
    """The bytes of such a video."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "film.mp4"
        write_video(file, np.concatenate([frames_of(number, LENGTHS[number], height, width) for number in numbers]))
        return file.read_bytes()


def write_v21(path, shape=(32, 32), encode=None, **changes):
    """Version 2.1: a parquet file and a video for each episode."""
    write_info(path, "v2.1", features(shape, images=encode is not None), **changes)
    lines = []
    for number, length in enumerate(LENGTHS):
        data = path / PATHS["v2.1"][0].format(episode_chunk=number // 2, episode_index=number)
        data.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table_of(number, encode), data)
        if encode is None:
            video = PATHS["v2.1"][1].format(episode_chunk=number // 2, episode_index=number, video_key=CAMERA)
            copy_film(path / video, (number,), *shape)
        lines.append(json.dumps({"episode_index": number, "tasks": ["drive"], "length": length}))
    (path / "meta" / "episodes.jsonl").write_text("\n".join(lines) + "\n")
    (path / "meta" / "tasks.jsonl").write_text('{"task_index": 0, "task": "drive"}\n')
    return path


def write_v30(path, files=((0, 1), (2,)), shape=(32, 32), encode=None, first_file=0, **changes):
    """Version 3: the episodes of each entry of `files` go into one parquet and one video file."""
    write_info(path, "v3.0", features(shape, images=encode is not None), **changes)
    episodes = []
    for file, numbers in enumerate(files, first_file):
        end = 0
        for number in numbers:
            begin, length, start = end, LENGTHS[number], sum(LENGTHS[:number])
            end = begin + length
            row = {"episode_index": number, "tasks": ["drive"], "length": length, "stats/index/min": [start]}
            row |= {"data/chunk_index": 0, "data/file_index": file}
            row |= {"dataset_from_index": start, "dataset_to_index": start + length}
            place = {"chunk_index": 0, "file_index": file}
            place |= {"from_timestamp": begin / FPS, "to_timestamp": end / FPS}
            episodes.append(row | {f"videos/{CAMERA}/{name}": value for name, value in place.items()})
        data = path / PATHS["v3.0"][0].format(chunk_index=0, file_index=file)
        data.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.concat_tables([table_of(number, encode) for number in numbers]), data)
        if encode is None:
            video = path / PATHS["v3.0"][1].format(chunk_index=0, file_index=file, video_key=CAMERA)
            copy_film(video, tuple(numbers), *shape)
    folder = path / "meta" / "episodes" / "chunk-000"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(episodes), folder / "file-000.parquet")
    return path
