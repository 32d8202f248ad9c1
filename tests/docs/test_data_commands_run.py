"""The commands of docs/data.md are given in their order, on a few short recordings."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import train
from lewm.data.episodes import Episodes
from scripts import collect, data
from tests import replay_buffers
from tests.data.convert import test_importers_minari, test_importers_robomimic
from tests.data.films import write_video
from tests.data.lerobot_folders import encoded, rename_feature, write_v21, write_v30
from tests.docs.pages import blocks, commands, program_and_arguments
from tests.programs import TINY_TRAINING, run_program

RECORDER = next(block.text for block in blocks("python") if "import Recorder" in block.text)
COMMANDS = [command for page, command in commands() if page == "docs/data.md"]
NUM_RECORDINGS = 6
TRAINING = [word for word in TINY_TRAINING if not word.startswith(("name=", "env."))]


def record(folder: Path, episodes: Episodes) -> None:
    """Writes name.mp4 and name.csv for a few of the episodes."""
    for number in range(NUM_RECORDINGS):
        episode = episodes[number]
        write_video(folder / f"{number}.mp4", episode.pixels)
        rows = np.concatenate([episode.actions, np.zeros_like(episode.actions[:1])])
        np.savetxt(folder / f"{number}.csv", rows, delimiter=",", header="action_x,action_y", comments="")


def write_lerobot(folder: Path) -> None:
    """Writes a dataset with LeRobot's names, and one with those of others."""
    write_v30(folder / "so100_pick")
    other = write_v21(folder / "libero", encode=encoded)
    for old, new in (("action", "actions"), ("observation.state", "state"), ("observation.images.front", "image")):
        rename_feature(other, old, new)


def give(command: str) -> object:
    """Gives a command, with what makes its work small; what its program ends with."""
    program, words = program_and_arguments(command)
    arguments = [word for word in words if not word.startswith("num_episodes=")]
    if program == "train.py":
        return run_program(train.main, *arguments, *TRAINING)
    if program == "scripts/collect.py":
        return run_program(collect.main, *arguments, "num_episodes=2", "env.collection.max_steps=10", "num_workers=1")
    if "merge" in arguments:
        shutil.copytree("data/mine", "data/other")
    return run_program(data.main, *arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, two_room_data) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    record(folder / "recordings", two_room_data)
    write_lerobot(folder)
    replay_buffers.write_zarr(folder / "pusht_cchi_v7_replay.zarr")
    test_importers_minari.write(folder / "pendulum" / "random-v0")
    test_importers_robomimic.write(folder / "lift.hdf5")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(RECORDER, {})
        assert {command: give(command) for command in COMMANDS} == dict.fromkeys(COMMANDS)
    return folder


def test_the_page_has_a_command_for_each_thing_that_is_done_with_data() -> None:
    parsed = [program_and_arguments(command) for command in COMMANDS]
    words = {word for program, arguments in parsed for word in (program, *arguments)}
    assert {"convert", "validate", "preview", "info", "merge", "split", "train.py", "scripts/collect.py"} <= words


def test_recordings_become_a_dataset_of_frames_of_the_size_asked_for(folder: Path) -> None:
    mine = Episodes(folder / "data" / "mine")
    assert (len(mine), mine.metadata.frame_size) == (NUM_RECORDINGS, 64)


def test_demonstrations_are_imported_and_drawn(folder: Path) -> None:
    demonstrations = Episodes(folder / "data" / "demonstrations")
    assert (len(demonstrations), demonstrations.metadata.frame_size) == (replay_buffers.NUM_RECORDINGS, 64)


def test_lerobot_datasets_are_imported(folder: Path) -> None:
    assert Episodes(folder / "data" / "so100_pick").metadata.frame_size == 64
    assert Episodes(folder / "data" / "libero").metadata.state_names == ["number", "row"]


def test_datasets_are_merged_and_split_and_exported(folder: Path) -> None:
    assert len(Episodes(folder / "data" / "both")) == 2 * NUM_RECORDINGS
    assert sum(len(Episodes(folder / "data" / name)) for name in ("mine_a", "mine_b")) == NUM_RECORDINGS
    assert (folder / "mine.h5").stat().st_size > 0
    assert any((folder / "preview").iterdir())


def test_what_a_loop_has_played_is_a_dataset(folder: Path) -> None:
    pendulum = Episodes(folder / "data" / "pendulum")
    assert (pendulum.lengths.tolist(), pendulum.metadata.frame_size) == ([50] * 8, 64)
    np.testing.assert_allclose(np.linalg.norm(pendulum.states[:, :2], axis=1), 1, atol=1e-6)  # cosine and sine


@pytest.mark.parametrize(("name", "num_states"), [("minari", 3), ("lift", 3)])
def test_files_of_others_become_datasets(folder: Path, name: str, num_states: int) -> None:
    data = Episodes(folder / "data" / name)
    assert (len(data), data.states.shape[1]) == (3, num_states)


@pytest.mark.parametrize("name", ["mine", "pendulum"])
def test_a_model_is_trained_on_them(folder: Path, name: str) -> None:
    assert (folder / "runs" / name / "results.json").exists()
