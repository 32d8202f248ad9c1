"""What an interrupted collection has left: when it is gone on with, refused, or recorded again."""

import os
from dataclasses import replace

import numpy as np
import pytest

from lewm.data.episodes import Episodes
from lewm.errors import InputError, one_line_errors
from lewm.files import run_lock
from tests.collecting import num_committed, run, run_unfinished
from tests.disk import full_disk
from tests.folders import contents
from tests.walk_env import Walker, walk_config


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_policy_that_fails_says_why_and_what_is_written_stays(tmp_path, num_workers):
    path, stop = tmp_path / "data", tmp_path / "stop"
    walker = Walker(stop=stop)
    run(tmp_path / "expected", walk_config(num_episodes=10), walker)
    run_unfinished(path, walk_config(num_episodes=6), walker)
    stop.write_text("fail")
    with pytest.raises(RuntimeError, match="the walker is tired"):
        run(path, walk_config(num_episodes=10), walker, num_workers)
    assert num_committed(path) == 6
    stop.unlink()
    run(path, walk_config(num_episodes=10), walker)
    assert contents(path) == contents(tmp_path / "expected")


@pytest.fixture
def begun(tmp_path):
    """The path of an unfinished dataset of 6 episodes."""
    run_unfinished(tmp_path / "data", walk_config(num_episodes=6))
    return tmp_path / "data"


def test_a_worker_that_dies_is_one_clear_error(tmp_path):
    (tmp_path / "stop").write_text("die")
    with pytest.raises(InputError, match=r"status 7.*num_workers.*what is complete is kept") as error:
        run(tmp_path / "data", walk_config(), Walker(stop=tmp_path / "stop"), num_workers=2)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("config", "policy", "words"),
    [
        (walk_config(seed=1), Walker(), "collection.seed=0, not 1"),
        (walk_config(max_steps=9), Walker(), "collection.max_steps=10, not 9"),
        (walk_config(step_s=1e-9), Walker(), "env_kwargs.step_s=None, not 1e-09"),
        (walk_config(env="WalkVector"), Walker(), "tests/Walk-v0, not"),
        (replace(walk_config(), frame_size=50), Walker(), "frame_size=48, not 50"),
        (walk_config(), Walker(0.5), "Walker(scale=0.5, stop=None)"),
    ],
)
def test_what_was_begun_with_another_setting_is_refused_and_kept(begun, config, policy, words):
    before = contents(begun.parent)
    with pytest.raises(InputError) as error:
        run(begun, config, policy)
    assert words in str(error.value)
    assert f"{begun}.partial" in str(error.value)
    assert "remove the folder" in str(error.value)
    assert "\n" not in str(error.value)
    assert contents(begun.parent) == before


@pytest.mark.parametrize("num_episodes", [4, 6, 9])
def test_what_was_begun_can_end_with_another_number_of_episodes(begun, tmp_path, num_episodes):
    config = walk_config(num_episodes)
    run(tmp_path / "expected", config)
    run(begun, config)
    assert contents(begun) == contents(tmp_path / "expected")


def test_a_collection_side_by_side_can_end_with_more_episodes(tmp_path):
    small, large = (walk_config(num, max_steps=5, env="WalkVector") for num in (70, 150))
    run_unfinished(tmp_path / "data", small)
    run(tmp_path / "data", large)
    run(tmp_path / "expected", large)
    assert contents(tmp_path / "data") == contents(tmp_path / "expected")


def damage_row(name):
    def damage(folder):
        array = np.load(folder / f"{name}.npy", mmap_mode="r+")
        array[len(array) * 2 // 3] += 1
        array.flush()

    return damage


def cut(name):
    return lambda folder: os.truncate(folder / f"{name}.npy", (folder / f"{name}.npy").stat().st_size * 2 // 3)


DAMAGES = {
    **{f"{name} changed": damage_row(name) for name in ("pixels", "states", "actions", "digests")},
    **{f"{name} cut off": cut(name) for name in ("pixels", "states", "actions", "lengths", "digests")},
    "pixels lost": lambda folder: (folder / "pixels.npy").unlink(),
    "metadata lost": lambda folder: (folder / "metadata.json").unlink(),
    "a strange file": lambda folder: (folder / "tmpabc").write_text("half a chunk"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_a_power_cut_damaged_is_recorded_again(begun, tmp_path, damage):
    run(tmp_path / "expected", walk_config(num_episodes=9))
    damage(begun.with_name("data.partial"))
    run(begun, walk_config(num_episodes=9))
    assert contents(begun) == contents(tmp_path / "expected")


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_full_disk_is_one_error_and_keeps_what_was_written(tmp_path, num_workers):
    path, config = tmp_path / "data", walk_config(num_episodes=30)
    run(tmp_path / "expected", config)
    size = (tmp_path / "expected" / "pixels.npy").stat().st_size
    with full_disk(size // 2), pytest.raises(SystemExit) as end, one_line_errors():
        run(path, config, num_workers=num_workers)
    assert str(tmp_path / "data.partial") in end.value.code
    assert "\n" not in end.value.code
    assert 5 <= num_committed(path) <= 25
    run(path, config, num_workers=num_workers)
    assert contents(path) == contents(tmp_path / "expected")


def test_a_path_that_another_process_is_collecting_into_is_left_alone(begun):
    before = contents(begun.parent)
    with (
        run_lock(begun.with_name("data.partial")),
        pytest.raises(InputError, match=r"another process is writing .*data\.partial.*another data path"),
    ):
        run(begun, walk_config())
    (begun.with_name("data.partial") / "lock").unlink()
    assert contents(begun.parent) == before


def test_an_unfinished_dataset_cannot_be_read(begun):
    with pytest.raises(InputError, match="unfinished"):
        Episodes(begun.with_name("data.partial"))
