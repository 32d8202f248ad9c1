"""Small datasets that tests share and do not change."""

import signal

import pytest
import torch
from rich.progress import Progress

from envs.experts import EXPERTS
from lewm.config import CollectionConfig, EnvConfig, EvaluationConfig, build
from lewm.data.collection import collect
from lewm.data.episode_writer import EpisodeWriter
from lewm.data.episodes import Episodes
from tests.fakes import COUNTING_METADATA, counting_episode

# A shell makes what it starts in the background ignore SIGINT, which the tests of Ctrl-C send.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Skips the tests marked gpu on machines without one."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))


@pytest.fixture(scope="session", autouse=True)
def wide_terminal():
    """No sentence is wrapped, whatever terminal the tests are started in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "500")
        yield


COUNTING_LENGTHS = (12, 3, 20, 7, 15, 1)


@pytest.fixture(scope="session")
def counting_data(tmp_path_factory):
    """Episodes of COUNTING_LENGTHS actions whose pixels, states and actions tell where they are from."""
    path = tmp_path_factory.mktemp("counting") / "data"
    with EpisodeWriter(path, COUNTING_METADATA) as writer:
        for number, num_actions in enumerate(COUNTING_LENGTHS):
            writer.append(*counting_episode(number, num_actions))
    return Episodes(path)


def two_room_config(num_episodes, max_steps, seed):
    """Small frames, and the expert of configs/env/two_room.yaml."""
    expert = {"name": "two_room", "noise_std": 2.0, "repeat_probability": 0.05}
    collection = CollectionConfig(expert, num_episodes, max_steps, seed, num_test_episodes=6)
    return EnvConfig("two_room", "envs:lewm/TwoRoom-v0", frame_size=48, frameskip=5, kwargs={}, collection=collection)


def short_evaluation(num_pairs):
    """Of episodes of 40 steps, in this process."""
    return EvaluationConfig(
        split="test",
        num_pairs=num_pairs,
        offset=10,
        budget=12,
        strict=False,
        start="recorded",
        manifest=None,
        manifest_seed=0,
        batch_size=3,
        num_workers=1,
        num_videos=1,
    )


def collect_two_room(path, num_episodes, max_steps, seed):
    """A dataset as scripts/collect.py makes it."""
    config = two_room_config(num_episodes, max_steps, seed)
    collect(path, config, build(EXPERTS, config.collection.expert, "expert"), Progress(disable=True), num_workers=1)
    return Episodes(path)


@pytest.fixture(scope="session")
def two_room_data(tmp_path_factory):
    """Twelve episodes of Two-Room of at most 40 steps."""
    return collect_two_room(tmp_path_factory.mktemp("two_room") / "data", num_episodes=12, max_steps=40, seed=0)
