"""The replay buffer of Diffusion Policy, written here by zarr and read as ours."""

import numpy as np
import pytest

from envs.push_t import PushT
from lewm.data.convert.importers import DiffusionPolicySource
from lewm.data.convert.resizing import Resize
from lewm.errors import InputError
from tests.replay_buffers import FRAME_SIZE, LENGTHS, columns, recordings, write_npz, write_zarr

KEPT = Resize()
PUSH_T = "envs:lewm/PushT-v0"
NAMES = ["agent_x", "agent_y", "block_x", "block_y", "block_angle"]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_zarr(tmp_path_factory.mktemp("replay") / "replay.zarr")


def test_an_episode_of_rows_has_one_action_less_and_the_recorded_numbers(path):
    source = DiffusionPolicySource(path, KEPT)
    episodes = list(source)
    assert [len(episode.actions) for episode in episodes] == [length - 1 for length in LENGTHS]
    for number, (episode, (states, actions)) in enumerate(zip(episodes, recordings(), strict=True)):
        np.testing.assert_array_equal(episode.states, states)
        np.testing.assert_array_equal(episode.actions, actions[:-1])
        assert episode.pixels.shape == (len(states), FRAME_SIZE, FRAME_SIZE, 3)
        assert (episode.pixels[:, 0, 0] == [[number, row, 0] for row in range(len(states))]).all()
    assert source.metadata.state_names == [f"state_{i}" for i in range(5)]
    assert source.metadata.action_high == np.concatenate([actions[:-1] for _, actions in recordings()]).max(0).tolist()


def test_of_an_environment_targets_become_its_actions_and_numbers_have_its_names(path):
    source = DiffusionPolicySource(path, KEPT, env_id=PUSH_T)
    for episode, (states, targets) in zip(source, recordings(), strict=True):
        np.testing.assert_allclose(states[:-1, :2] + 100 * episode.actions, targets[:-1], atol=1e-4)
    assert (source.metadata.env_id, source.metadata.state_names) == (PUSH_T, NAMES)
    assert (source.metadata.angles, source.metadata.velocities) == (["block_angle"], [])
    assert (source.metadata.action_low, source.metadata.action_high) == ([-1, -1], [1, 1])
    assert source.notes == ["frames: img; actions: action; states: state"]


def test_actions_beyond_the_bounds_are_clipped_and_counted(tmp_path):
    episodes = recordings()
    episodes[2][1][1] += (400, 0)
    source = DiffusionPolicySource(write_zarr(tmp_path / "a", episodes), KEPT, env_id=PUSH_T)
    assert list(source)[2].actions[1, 0] == 1
    assert source.notes[1:] == [
        f"1 of {sum(LENGTHS) - len(LENGTHS)} actions were beyond the bounds of {PUSH_T} and are clipped"
    ]


@pytest.mark.parametrize("write", [write_zarr, write_npz])
def test_frames_are_drawn_anew_by_the_environment_in_any_size(tmp_path, write):
    source = DiffusionPolicySource(write(tmp_path / "a"), Resize(64), env_id=PUSH_T, render=True)
    env = PushT(64)
    assert source.metadata.frame_size == 64
    for episode in source:
        for state, frame in zip(episode.states, episode.pixels, strict=True):
            env.set_state(state)
            np.testing.assert_array_equal(frame, env.render())


def test_frames_are_resized(path):
    source = DiffusionPolicySource(path, Resize(48))
    assert source.metadata.frame_size == 48
    assert next(iter(source)).pixels.shape[1:] == (48, 48, 3)


def test_states_are_left_out_if_they_are_not_wanted(path):
    source = DiffusionPolicySource(path, KEPT, env_id=PUSH_T, states="none")
    assert source.metadata.state_names == []
    assert next(iter(source)).states.shape == (LENGTHS[0], 0)


def test_a_frame_that_is_none_is_refused(tmp_path):
    img = columns(recordings())["data/img"]
    img[8, 0, 0, 0] = 256
    source = DiffusionPolicySource(write_zarr(tmp_path / "a", **{"data/img": img}), KEPT)
    with pytest.raises(InputError, match=r"frames of episode 1 in .* are not numbers from 0 to 255"):
        list(source)


def test_a_number_that_is_not_finite_is_refused_with_its_place(tmp_path):
    episodes = recordings()
    episodes[1][1][2, 1] = np.nan
    with pytest.raises(InputError, match=r"action 1 in row 2 of episode 1 in .* is nan"):
        DiffusionPolicySource(write_zarr(tmp_path / "a", episodes), KEPT)


def test_episodes_that_cannot_be_read_are_left_out_counted_and_named(tmp_path):
    episodes = recordings()
    episodes[1][1][2, 1] = np.nan
    episodes[3][0][0, 0] = np.inf
    source = DiffusionPolicySource(write_zarr(tmp_path / "a", episodes), KEPT, skip=True)
    lengths = [length for number, length in enumerate(LENGTHS) if number not in (1, 3)]
    assert [len(episode.pixels) for episode in source] == lengths
    assert [note.partition(" in row")[0] for note in source.notes[1:]] == [
        "left out: action 1",
        f"1 of {len(LENGTHS)} episodes left out",
        "left out: state 0",
        f"1 of {len(LENGTHS) - 1} episodes left out",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data/action": None}, "no column 'data/action'"),
        ({"meta/episode_ends": np.array([6, 5, 76])}, "episode_ends in .* do not rise to its 76 rows"),
        ({"meta/episode_ends": np.array([6, 75])}, "episode_ends in .* do not rise to its 76 rows"),
        ({"data/state": np.zeros((75, 5))}, "different numbers of rows"),
        ({"data/state": np.zeros((76, 5), complex)}, "'data/state' in .* is complex128: give numbers"),
        ({"data/img": np.zeros((76, 9, 9))}, "frames in .* are \\(76, 9, 9\\)"),
        ({"data/img": None}, "has no frames: give --render"),
    ],
)
def test_a_file_of_another_layout_is_refused(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        DiffusionPolicySource(write_zarr(tmp_path / "a", **changes), KEPT)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"env_id": "envs:lewm/TwoRoom-v0"}, "TwoRoom aims at no target.*another --env-id"),
        ({"env_id": "envs:lewm/Pendulum-v0"}, "Pendulum-v0"),
        ({"states": "data/keypoint"}, "--states data/keypoint has no meaning"),
        ({"render": True}, "give --env-id and --frame-size"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(path, options, words):
    with pytest.raises(InputError, match=words):
        DiffusionPolicySource(path, KEPT, **options)
