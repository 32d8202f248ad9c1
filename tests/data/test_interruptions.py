"""Collections that were killed or interrupted are gone on with, and end with the same bytes."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from lewm.errors import one_line_errors
from tests import LAST_NET_S
from tests.collecting import num_committed, run
from tests.folders import contents
from tests.walk_env import WALK_UNTIL, walk_config

ROOT = Path(__file__).parents[2]
SLOW = walk_config(num_episodes=60, max_steps=12, step_s=0.002)
SIDE_BY_SIDE = walk_config(num_episodes=300, max_steps=5, env="WalkVector", step_s=0.0002)
STEPS = {"SLOW": 120, "SIDE_BY_SIDE": 480}
"""Steps after which a process stands still: it has committed something and never ends, however late the signal is."""


def wait_for(condition):
    deadline = time.monotonic() + LAST_NET_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def collect_and_exit(path, config, num_workers):
    os.environ[WALK_UNTIL] = str(STEPS["SLOW" if config is SLOW else "SIDE_BY_SIDE"])
    with one_line_errors():
        run(path, config, num_workers=num_workers, console=Console(file=(path.parent / "said").open("w"), width=500))


@pytest.fixture
def start():
    """Starts a collection in a process of its own; a fork, because a fresh interpreter would import torch."""

    def begin(path, config, num_workers):
        process = multiprocessing.get_context("fork").Process(target=collect_and_exit, args=(path, config, num_workers))
        process.start()
        processes.append(process)
        return process

    processes = []
    yield begin
    for process in processes:
        process.kill()
        process.join()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What uninterrupted collections leave."""
    folder = tmp_path_factory.mktemp("whole")
    for name, config in (("SLOW", SLOW), ("SIDE_BY_SIDE", SIDE_BY_SIDE)):
        run(folder / name, config)
    return {"SLOW": contents(folder / "SLOW"), "SIDE_BY_SIDE": contents(folder / "SIDE_BY_SIDE")}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("name", ["SLOW", "SIDE_BY_SIDE"])
def test_killed_at_any_moment_and_run_again_it_ends_with_the_same_bytes(tmp_path, start, whole, name, num_workers):
    path, config = tmp_path / "data", {"SLOW": SLOW, "SIDE_BY_SIDE": SIDE_BY_SIDE}[name]
    moments = random.Random(num_workers)
    for _ in range(4 - num_workers):
        before = num_committed(path)
        process = start(path, config, num_workers)
        wait_for(lambda before=before: num_committed(path) > before)
        time.sleep(0.05 * moments.random())  # any moment will do
        process.kill()
        process.join()
        assert num_committed(path) > before
    run(path, config, num_workers=num_workers)
    assert contents(path) == whole[name]
    assert [each.name for each in tmp_path.iterdir() if each.name != "said"] == ["data"]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("seconds", [0, 0.01, 0.05])
def test_killed_while_it_starts_it_is_no_hindrance(tmp_path, start, whole, seconds):
    process = start(tmp_path / "data", SLOW, 1)
    time.sleep(seconds)
    process.kill()
    process.join()
    run(tmp_path / "data", SLOW)
    assert contents(tmp_path / "data") == whole["SLOW"]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("number", "num_workers"),
    [
        (signal.SIGINT, 1),
        (signal.SIGINT, 2),
        *((number, 2) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)),
    ],
)
def test_ctrl_c_ends_it_with_130_and_the_way_to_go_on(tmp_path, start, whole, number, num_workers):
    process = start(tmp_path / "data", SLOW, num_workers)
    wait_for(lambda: num_committed(tmp_path / "data") >= 3)
    os.kill(process.pid, number)
    process.join()
    said = (tmp_path / "said").read_text()
    assert process.exitcode == 130
    assert f"{num_committed(tmp_path / 'data')} of 60 episodes are in {tmp_path}/data.partial" in said
    assert "the same command goes on" in said
    run(tmp_path / "data", SLOW)
    assert contents(tmp_path / "data") == whole["SLOW"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_ctrl_c_in_a_terminal_ends_the_program_and_its_workers(tmp_path, number):
    path = tmp_path / "data"
    words = ("env.frame_size=48", "num_episodes=100000", f"data_path={path}", "num_workers=2")
    process = subprocess.Popen(
        [sys.executable, "scripts/collect.py", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: num_committed(path) >= 64 or process.poll() is not None)
    os.killpg(process.pid, number)  # a terminal sends it to all processes in the foreground
    said, _ = process.communicate()  # returns when its workers, which have the same output, have ended as well
    assert process.returncode == 130
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert not path.exists()
