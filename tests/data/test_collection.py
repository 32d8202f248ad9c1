"""Recording: what is written is what happened, and the same again byte for byte."""

import numpy as np
import pytest
from rich.progress import Progress

from envs.two_room import move
from lewm.data.collection import NUM_ENVS, collect, record
from lewm.data.episodes import Episodes
from lewm.errors import InputError
from tests.conftest import collect_two_room, two_room_config
from tests.fakes import CountingVectorEnv


def count_down(state, goal_state, previous_action, rng):
    """Acts with 100 + the number of the step, so that an action tells where it was taken."""
    return (100 + state[:, :1]).astype(np.float32)


@pytest.fixture
def counted():
    return list(record(CountingVectorEnv(4), count_down, max_steps=5, seed=(0, 0)))


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


def test_recorded_actions_lead_from_each_recorded_state_to_the_next(two_room_data):
    for number, length in enumerate(two_room_data.lengths):
        frames = two_room_data.frame_offsets[number] + np.arange(length + 1)
        actions = two_room_data.actions[two_room_data.action_offsets[number] + np.arange(length)]
        states = two_room_data.states[frames]
        np.testing.assert_array_equal(move(states[:-1], actions), states[1:])


def test_a_dataset_describes_its_environment(two_room_data):
    two_room_data.check_fits("envs:lewm/TwoRoom-v0", 48)
    assert two_room_data.metadata.state_names == ["agent_x", "agent_y"]
    assert (two_room_data.metadata.action_low, two_room_data.metadata.action_high) == ([-1.0, -1.0], [1.0, 1.0])


def test_collecting_again_gives_the_same_bytes(tmp_path):
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        collect_two_room(path, num_episodes=NUM_ENVS + 3, max_steps=4, seed=5)
    names = sorted(path.name for path in paths[0].iterdir())
    assert names == ["actions.npy", "lengths.npy", "metadata.json", "pixels.npy", "states.npy"]
    for name in names:
        assert (paths[0] / name).read_bytes() == (paths[1] / name).read_bytes()


def test_another_seed_gives_other_episodes(tmp_path):
    hashes = {collect_two_room(tmp_path / str(seed), 3, 4, seed).content_hash for seed in (0, 1)}
    assert len(hashes) == 2


def test_collecting_more_episodes_keeps_the_first(tmp_path):
    few = collect_two_room(tmp_path / "few", NUM_ENVS, 4, seed=0)
    many = collect_two_room(tmp_path / "many", NUM_ENVS + 7, 4, seed=0)
    assert len(many) == NUM_ENVS + 7
    np.testing.assert_array_equal(many.pixels[: len(few.pixels)], few.pixels)
    assert len(np.unique(many.states[many.frame_offsets], axis=0)) == NUM_ENVS + 7


def test_a_policy_that_fails_leaves_no_dataset(tmp_path):
    class Tired:
        steps = 0

        def __call__(self, state, goal_state, previous_action, rng):
            self.steps += 1
            if self.steps > 5:
                raise RuntimeError("tired")
            return np.zeros((len(state), 2), np.float32)

    config = two_room_config(num_episodes=NUM_ENVS + 3, max_steps=4, seed=0)
    with pytest.raises(RuntimeError, match="tired"):
        collect(tmp_path / "data", config, Tired(), Progress(disable=True))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("num_episodes", "max_steps"), [(1, 4), (0, 4), (3, 0)])
def test_too_little_to_collect_is_refused(tmp_path, num_episodes, max_steps):
    with pytest.raises(InputError, match=r"env\.collection"):
        collect_two_room(tmp_path / "data", num_episodes, max_steps, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_two_datasets_of_a_seed_have_the_same_hash(tmp_path, two_room_data):
    again = collect_two_room(tmp_path / "data", num_episodes=12, max_steps=40, seed=0)
    assert again.content_hash == two_room_data.content_hash == Episodes(again.path).content_hash
