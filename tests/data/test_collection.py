"""Recording: what is written is what happened, and the same again byte for byte."""

from dataclasses import replace

import numpy as np
import pytest
from rich.progress import Progress

from envs.experts import EXPERTS
from envs.experts.expert import Expert
from envs.two_room import move
from lewm.config import build
from lewm.data import collection, recording
from lewm.data.collection import collect
from lewm.data.episodes import Episodes
from lewm.data.recording import NUM_ENVS, ChunkRecorder, record
from lewm.data.workers import Workers
from lewm.errors import InputError
from tests.conftest import collect_two_room
from tests.fakes import CountingVectorEnv
from tests.folders import contents
from tests.registries import ENVS
from tests.replay_buffers import recordings, replay_config, write_npz
from tests.walk_env import Walker, walk_config


class CountDown(Expert):
    """Acts with 100 + the number of the step, so that an action tells where it was taken."""

    def __call__(self, state, goal_state, previous_action, rng):
        return (100 + state[:, :1]).astype(np.float32)


@pytest.fixture
def counted():
    return list(record(CountingVectorEnv(4), CountDown(), max_steps=5, seed=(0, 0)))


def test_an_episode_ends_when_its_environment_does_or_at_the_last_step(counted):
    assert [len(episode.actions) for episode in counted] == [3, 4, 5, 5]


def test_frame_0_is_that_of_the_reset(counted):
    assert [(episode.pixels[0].max(), episode.states[0, 0]) for episode in counted] == [(0, 0.0)] * 4


def test_an_action_leads_from_its_frame_to_the_next(counted):
    for episode in counted:
        num_actions = len(episode.actions)
        assert episode.pixels[:, 0, 0, 0].tolist() == list(range(num_actions + 1))
        assert episode.actions[:, 0].tolist() == [100 + t for t in range(num_actions)]
        np.testing.assert_array_equal(episode.states[1:, 1], episode.actions[:, 0])


def test_the_size_of_a_large_dataset_is_told_before_it_is_collected(tmp_path, monkeypatch, capsys):
    collect_two_room(tmp_path / "small", num_episodes=2, max_steps=4, seed=0)
    assert "takes up to" not in capsys.readouterr().out
    monkeypatch.setattr(collection, "LARGE", 2 * 5 * 48 * 48 * 3)
    data = collect_two_room(tmp_path / "new" / "large", num_episodes=2, max_steps=4, seed=0)
    printed = capsys.readouterr().out
    assert f"{tmp_path}/new/large takes up to 0 GB" in printed and f"are free in {tmp_path}\n" in printed
    assert printed.index("takes up to") < printed.index("collected")
    assert data.pixels.nbytes <= 2 * 5 * 48 * 48 * 3


def test_angles_and_velocities_of_the_environment_stand_with_the_data(tmp_path):
    config = ENVS["push_t"]
    config = replace(config, frame_size=48, collection=replace(config.collection, num_episodes=2, max_steps=3))
    expert = build(EXPERTS, config.collection.expert, "expert")
    collect(tmp_path / "data", config, expert, Progress(disable=True), num_workers=1)
    metadata = Episodes(tmp_path / "data").metadata
    assert metadata.angles == ["block_angle"]
    assert metadata.velocities == metadata.state_names[5:]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_replays_begin_where_their_recordings_do_and_are_as_long(tmp_path, num_workers):
    config, expert = replay_config(write_npz(tmp_path / "a"), 20)
    collect(tmp_path / "data", config, expert, Progress(disable=True), num_workers)
    data = Episodes(tmp_path / "data")
    sources = [each for i, each in enumerate(recordings(), 1) if i % 5]
    for number, episode in enumerate(data):
        states, targets = sources[number % 9]
        np.testing.assert_array_equal(episode.states[0], [*states[0], 0, 0, 0, 0, 0])
        assert len(episode.actions) == len(targets) - 1
    assert len({episode.actions.tobytes() for episode in data}) == 20
    np.testing.assert_array_equal(data.sources, np.arange(20) % 9)


def test_more_replays_than_there_are_variants_are_refused(tmp_path):
    config, expert = replay_config(write_npz(tmp_path / "a"), 28)
    with pytest.raises(InputError, match=r"num_episodes=28 is more than the 27 variants of 9 recordings.*variants=3"):
        collect(tmp_path / "data", config, expert, Progress(disable=True), 1)


def test_recordings_of_another_environment_are_refused(tmp_path):
    config, expert = replay_config(write_npz(tmp_path / "a"), 5)
    with pytest.raises(InputError, match="recordings of another environment"):
        ChunkRecorder(replace(ENVS["two_room"], collection=config.collection), expert)


def test_recorded_actions_lead_from_each_recorded_state_to_the_next(two_room_data):
    for number, length in enumerate(two_room_data.lengths):
        frames = two_room_data.index.frame_offsets[number] + np.arange(length + 1)
        actions = two_room_data.actions[two_room_data.index.action_offsets[number] + np.arange(length)]
        states = two_room_data.states[frames]
        np.testing.assert_array_equal(move(states[:-1], actions), states[1:])


def test_a_dataset_describes_its_environment(two_room_data):
    two_room_data.check_fits(replace(ENVS["two_room"], frame_size=48))
    assert two_room_data.metadata.state_names == ["agent_x", "agent_y"]
    assert (two_room_data.metadata.action_low, two_room_data.metadata.action_high) == ([-1.0, -1.0], [1.0, 1.0])


def test_a_dataset_describes_how_it_came_about(tmp_path):
    collect(tmp_path / "data", walk_config(step_s=1e-9, seed=3), Walker(0.5), Progress(disable=True), 1)
    metadata = Episodes(tmp_path / "data").metadata
    assert (metadata.env_id, metadata.env_kwargs) == ("tests.walk_env:tests/Walk-v0", {"step_s": 1e-9})
    found = metadata.collection
    assert (found["policy"], found["seed"], found["max_steps"]) == ("Walker(scale=0.5, stop=None)", 3, 10)
    assert found["versions"].keys() == {"python", "numpy", "gymnasium"}
    assert found["simulator"] == {"simulator": "walk 1.0", "renderer": "numpy"}


def test_collecting_again_gives_the_same_bytes(tmp_path):
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        collect_two_room(path, num_episodes=NUM_ENVS + 3, max_steps=4, seed=5)
    names = {"actions.npy", "digests.npy", "lengths.npy", "metadata.json", "pixels.npy", "states.npy"}
    assert contents(paths[0]).keys() == names
    assert contents(paths[0]) == contents(paths[1])


@pytest.mark.parametrize("env", ["Walk", "WalkVector"])
@pytest.mark.parametrize("num_workers", [2, 3])
def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path, env, num_workers):
    config = walk_config(num_episodes=2 * NUM_ENVS + 5, max_steps=6, env=env)
    for name, num in (("one", 1), ("several", num_workers)):
        collect(tmp_path / name, config, Walker(), Progress(disable=True), num)
    assert contents(tmp_path / "one") == contents(tmp_path / "several")
    assert len(np.unique(Episodes(tmp_path / "one").lengths)) > 1


@pytest.mark.parametrize("env", ["Walk", "WalkVector"])
def test_a_chunk_does_not_depend_on_those_that_were_recorded_before_it(env):
    config = walk_config(num_episodes=2 * NUM_ENVS, max_steps=4, env=env)
    used, fresh = ChunkRecorder(config, Walker()), ChunkRecorder(config, Walker())
    for number in (0, 1):
        list(used.chunk(number))
    for episode, expected in zip(used.chunk(1), fresh.chunk(1), strict=True):
        for array, other in zip(episode, expected, strict=True):
            np.testing.assert_array_equal(array, other)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENVS)
def test_a_chunk_does_not_depend_on_what_its_process_has_recorded(tmp_path, name):
    config = replace(ENVS[name], collection=replace(ENVS[name].collection, num_episodes=NUM_ENVS + 2, max_steps=5))
    expert = build(EXPERTS, config.collection.expert, "expert")
    digests = []
    for numbers in (range(2), range(1, 2)):
        with Workers(config, expert, 1, tmp_path) as workers:
            digests.append([[digest for _, digest in chunk] for chunk in workers.chunks(numbers)][-1])
    assert digests[0] == digests[1]


def test_episodes_of_large_frames_are_recorded_in_smaller_chunks(monkeypatch):
    monkeypatch.setattr(recording, "CHUNK_BYTES", 10 * 7 * 48 * 48 * 3)
    assert ChunkRecorder(walk_config(100, max_steps=6, env="WalkVector"), Walker()).chunk_size == 10
    assert ChunkRecorder(walk_config(100, max_steps=700, env="WalkVector"), Walker()).chunk_size == 1
    assert ChunkRecorder(walk_config(100, max_steps=6, env="Walk"), Walker()).chunk_size == 1


def test_another_seed_gives_other_episodes(tmp_path):
    hashes = {collect_two_room(tmp_path / str(seed), 3, 4, seed).content_hash for seed in (0, 1)}
    assert len(hashes) == 2


def test_collecting_more_episodes_keeps_the_first(tmp_path):
    few = collect_two_room(tmp_path / "few", NUM_ENVS, 4, seed=0)
    many = collect_two_room(tmp_path / "many", NUM_ENVS + 7, 4, seed=0)
    assert len(many) == NUM_ENVS + 7
    np.testing.assert_array_equal(many.pixels[: len(few.pixels)], few.pixels)
    assert len(np.unique(many.states[many.index.frame_offsets], axis=0)) == NUM_ENVS + 7


@pytest.mark.parametrize(("num_episodes", "max_steps"), [(1, 4), (0, 4), (3, 0)])
def test_too_little_to_collect_is_refused(tmp_path, num_episodes, max_steps):
    with pytest.raises(InputError, match=r"env\.collection"):
        collect_two_room(tmp_path / "data", num_episodes, max_steps, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_two_datasets_of_a_seed_have_the_same_hash(tmp_path, two_room_data):
    again = collect_two_room(tmp_path / "data", num_episodes=12, max_steps=40, seed=0)
    assert again.content_hash == two_room_data.content_hash == Episodes(again.path).content_hash
