"""Damages of a dataset folder: each takes the path of a whole dataset of COUNTING_METADATA and spoils it."""

import json
import shutil

import numpy as np


def edit_description(**changes):
    """Writes keys of metadata.json anew."""

    def damage(path):
        described = json.loads((path / "metadata.json").read_text()) | changes
        (path / "metadata.json").write_text(json.dumps(described))

    return damage


def edit_metadata(**changes):
    """Writes fields of Metadata anew; None leaves a field out."""

    def damage(path):
        described = json.loads((path / "metadata.json").read_text())
        metadata = {key: value for key, value in (described["metadata"] | changes).items() if value is not None}
        (path / "metadata.json").write_text(json.dumps(described | {"metadata": metadata}))

    return damage


def drop(*names):
    """Leaves keys out of metadata.json."""

    def damage(path):
        described = json.loads((path / "metadata.json").read_text())
        (path / "metadata.json").write_text(json.dumps({key: described[key] for key in described if key not in names}))

    return damage


def write_description(content):
    return lambda path: (path / "metadata.json").write_bytes(content)


def truncate(name, num_bytes):
    def damage(path):
        content = (path / name).read_bytes()
        (path / name).write_bytes(content[:num_bytes])

    return damage


def append(name, content):
    return lambda path: (path / name).write_bytes((path / name).read_bytes() + content)


def replace_array(name, array):
    return lambda path: np.save(path / name, array, allow_pickle=True)


def in_place_of(name, make):
    """Removes a file and calls make(its path)."""

    def damage(path):
        (path / name).unlink()
        make(path / name)

    return damage


def header(text):
    """A .npy file that holds no more than this header."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


FOLDERS = {
    "no folder": shutil.rmtree,
    "a file in its place": lambda path: (shutil.rmtree(path), path.write_text("")),
}

DESCRIPTIONS = {
    "no metadata.json": in_place_of("metadata.json", lambda path: None),
    "a folder in its place": in_place_of("metadata.json", lambda path: path.mkdir()),
    "a list": write_description(b"[]"),
    "a number": write_description(b"3"),
    "cut off": truncate("metadata.json", 40),
    "empty": write_description(b""),
    "binary": write_description(b"\x93NUMPY\xff\xfe"),
    "nested without end": write_description(b"[" * 100_000),
    "another format": edit_description(format="lerobot"),
    "an earlier version": edit_description(version=2),
    "a later version": edit_description(version=4),
    "a version that is a list": edit_description(version=[3]),
    "unfinished": edit_description(content_hash=None),
    "another hash": edit_description(content_hash="0" * 64),
    "a hash of another length": edit_description(content_hash="abc"),
    "a hash that is a number": edit_description(content_hash=7),
    "without a hash": drop("content_hash"),
    "without a count": drop("num_frames"),
    "another count": edit_description(num_episodes=3),
    "a count that is text": edit_description(num_frames="10"),
    "without metadata": drop("metadata"),
    "metadata that are a list": edit_description(metadata=[]),
    "metadata that are empty": edit_description(metadata={}),
    "without angles": edit_metadata(angles=None),
    "an unknown field": edit_metadata(colour="red"),
    "an env_id that is a number": edit_metadata(env_id=3),
    "a frame size that is a fraction": edit_metadata(frame_size=4.5),
    "a frame size that is true": edit_metadata(frame_size=True),
    "a frame size of 0": edit_metadata(frame_size=0),
    "another frame size": edit_metadata(frame_size=5),
    "state names that are text": edit_metadata(state_names="xy"),
    "state names that are numbers": edit_metadata(state_names=[1, 2]),
    "a state name twice": edit_metadata(state_names=["x", "x"]),
    "too few state names": edit_metadata(state_names=["x"]),
    "an angle that is no state name": edit_metadata(angles=["tilt"]),
    "an angle twice": edit_metadata(angles=["step", "step"]),
    "velocities that are a number": edit_metadata(velocities=3),
    "no bounds": edit_metadata(action_low=[], action_high=[]),
    "fewer bounds": edit_metadata(action_low=[0.0], action_high=[1.0]),
    "more low bounds than high ones": edit_metadata(action_low=[0.0, 0.0, 0.0]),
    "a low bound above the high one": edit_metadata(action_low=[0.0, 300.0]),
    "an infinite bound": edit_metadata(action_high=[1.0, float("inf")]),
    "a bound that is NaN": edit_metadata(action_low=[float("nan"), 0.0]),
    "a bound of 400 digits": edit_metadata(action_high=[10**400, 1]),
    "a bound that is text": edit_metadata(action_low=["0", 0.0]),
    "bounds that are nested": edit_metadata(action_low=[[0.0, 0.0]]),
    "a collection that is a list": edit_metadata(collection=[]),
    "arguments that are text": edit_metadata(env_kwargs="block=T"),
}

ARRAYS = {
    "no pixels": in_place_of("pixels.npy", lambda path: None),
    "a folder of that name": in_place_of("states.npy", lambda path: path.mkdir()),
    "cut off": truncate("pixels.npy", 300),
    "empty": truncate("pixels.npy", 0),
    "a header cut off": truncate("states.npy", 20),
    "no array at all": in_place_of("actions.npy", lambda path: path.write_text("0.1 0.2")),
    "more than its rows": append("pixels.npy", b"more"),
    "a header of something else": in_place_of("lengths.npy", lambda path: path.write_bytes(header(b"{'a': 1}\n"))),
    "a header that is no dict": in_place_of("lengths.npy", lambda path: path.write_bytes(header(b"((((\n"))),
    "rows for which no memory would do": in_place_of(
        "lengths.npy",
        lambda path: path.write_bytes(
            header(b"{'descr': '<i8', 'fortran_order': False, 'shape': (10000000000000,), }\n")
        ),
    ),
    "a negative number of rows": in_place_of(
        "lengths.npy",
        lambda path: path.write_bytes(header(b"{'descr': '<i8', 'fortran_order': False, 'shape': (-1,), }\n")),
    ),
    "pickled objects": replace_array("actions.npy", np.array([{}], dtype=object)),
    "pixels that are fractions": replace_array("pixels.npy", np.zeros((10, 4, 4, 3))),
    "pixels of one channel": replace_array("pixels.npy", np.zeros((10, 4, 4, 1), np.uint8)),
    "fewer frames": replace_array("pixels.npy", np.zeros((9, 4, 4, 3), np.uint8)),
    "fewer actions": replace_array("actions.npy", np.zeros((7, 2), np.float32)),
    "more action dimensions": replace_array("actions.npy", np.zeros((8, 3), np.float32)),
    "actions of one axis": replace_array("actions.npy", np.zeros(16, np.float32)),
    "more numbers in a state": replace_array("states.npy", np.zeros((10, 3))),
    "other lengths": replace_array("lengths.npy", np.array([3, 4])),
    "an episode without actions": replace_array("lengths.npy", np.array([8, 0])),
    "an episode of negative length": replace_array("lengths.npy", np.array([9, -1])),
    "no episodes": replace_array("lengths.npy", np.zeros(0, np.int64)),
    "lengths that are fractions": replace_array("lengths.npy", np.array([3.0, 5.0])),
    "no digests": in_place_of("digests.npy", lambda path: None),
    "other digests": replace_array("digests.npy", np.zeros((2, 32), np.uint8)),
    "digests of half the length": replace_array("digests.npy", np.zeros((2, 16), np.uint8)),
    "digests of more episodes": replace_array("digests.npy", np.zeros((3, 32), np.uint8)),
}

INSIDE = {f"metadata: {name}": damage for name, damage in DESCRIPTIONS.items()}
INSIDE |= {f"arrays: {name}": damage for name, damage in ARRAYS.items()}
"""All damages of a folder that is still there."""
