"""Demonstrations: what is read is what was recorded, and a replay follows it."""

import numpy as np
import pytest
import zarr

from envs.errors import ArgumentError
from envs.experts import EXPERTS
from envs.experts.demonstrations import TEST_EVERY, DemonstrationsExpert, read_demonstrations
from envs.push_t import PushT
from lewm.config import build
from lewm.errors import InputError
from lewm.evaluation.baselines import Privileged
from tests.replay_buffers import LENGTHS, NUM_RECORDINGS, recordings, write_npz, write_zarr


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_zarr(tmp_path_factory.mktemp("demonstrations") / "replay.zarr")


@pytest.mark.parametrize("write", [write_zarr, write_npz])
def test_every_episode_is_read_without_the_action_of_its_last_row(tmp_path, write):
    found = read_demonstrations(write(tmp_path / "file"))
    assert [len(each.targets) for each in found] == [length - 1 for length in LENGTHS]
    for (states, targets), (expected, actions) in zip(found, recordings(), strict=True):
        np.testing.assert_array_equal(states, expected)
        np.testing.assert_array_equal(targets, actions[:-1])


def test_a_lacking_file_is_told_in_one_line_with_where_to_get_it():
    component = {"name": "demonstrations", "path": "nowhere/x.zarr", "split": "train"}
    with pytest.raises(
        InputError, match=r"no file 'nowhere/x.zarr'.*pusht_cchi_v7_replay\.zarr of Diffusion Policy"
    ) as error:
        build(EXPERTS, component, "expert")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"no zip file", "folder"])
def test_what_is_no_replay_buffer_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "file"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.mkdir()
    with pytest.raises(ArgumentError, match="is no replay buffer") as error:
        read_demonstrations(path)
    assert "\n" not in str(error.value)


def test_a_file_without_a_column_is_refused(tmp_path):
    path = write_zarr(tmp_path / "file")
    del zarr.open_group(path, mode="a")["data/state"]
    with pytest.raises(ArgumentError, match=r"data/state"):
        read_demonstrations(path)


@pytest.mark.parametrize("ends", [[3, 3, 9], [4, 9, 8], [4, 9, 10]])
def test_ends_that_do_not_fit_the_rows_are_refused(tmp_path, ends):
    np.savez(tmp_path / "a.npz", state=np.zeros((9, 5)), action=np.zeros((9, 2)), episode_ends=np.array(ends))
    with pytest.raises(ArgumentError, match=r"a\.npz is damaged"):
        read_demonstrations(tmp_path / "a.npz")


def test_a_package_that_is_not_installed_is_named(path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(InputError, match=r"needs the package zarr .*--extra formats"):
        build(EXPERTS, {"name": "demonstrations", "path": str(path), "split": "train"}, "expert")


def test_every_fifth_recording_is_for_the_test_alone(path):
    train, test = (DemonstrationsExpert(str(path), split) for split in ("train", "test"))
    assert (train.num_sources, test.num_sources) == (NUM_RECORDINGS - 2, 2)
    starts = {
        name: [tuple(expert.replay(number).start) for number in range(expert.num_sources)]
        for name, expert in (("train", train), ("test", test))
    }
    recorded = [tuple(states[0]) for states, _ in recordings()]
    assert starts["test"] == recorded[TEST_EVERY - 1 :: TEST_EVERY]
    assert sorted(starts["train"] + starts["test"]) == sorted(recorded)


def test_variants_of_a_recording_are_as_many_episodes_apart_as_there_are_recordings(path):
    expert = DemonstrationsExpert(str(path), "train")
    for number in range(expert.num_sources):
        one, other = expert.replay(number), expert.replay(number + 2 * expert.num_sources)
        np.testing.assert_array_equal(one.start, other.start)
        assert one.num_steps == other.num_steps


def replay(expert, number, seed):
    env, rng = PushT(48), np.random.default_rng(seed)
    played = expert.replay(number)
    env.reset(seed=0, options={"state": played.start})
    policy, states, actions = played.begin(env, rng), [env.state], []
    for _ in range(played.num_steps):
        actions.append(policy(env.state[None], env.state[None], np.zeros((1, 2), np.float32), rng)[0])
        env.advance(actions[-1].astype(np.float64))
        states.append(env.state)
    return np.stack(states), np.stack(actions)


def test_a_replay_aims_at_the_recorded_targets_from_where_the_disc_is(path):
    states, actions = replay(DemonstrationsExpert(str(path), "train", noise_std=0.0), 1, seed=0)
    targets = recordings()[1][1][:-1]
    np.testing.assert_allclose(states[:-1, :2] + 100 * actions, targets, atol=1e-3)


def test_the_noise_of_a_replay_has_its_standard_deviation_and_does_not_add_up(path):
    expert = DemonstrationsExpert(str(path), "train", noise_std=0.1)
    targets, errors = recordings()[1][1][:-1], []
    for seed in range(40):
        states, actions = replay(expert, 1, seed)
        errors.append(states[:-1, :2] + 100 * actions - targets)
    assert np.std(errors) == pytest.approx(10, rel=0.1)
    assert np.std(np.array(errors)[:, -1]) == pytest.approx(10, rel=0.4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"split": "validation"}, "split='validation' must be train or test"),
        ({"variants": 0}, "variants=0"),
        ({"noise_std": -1.0}, r"noise_std=-1\.0"),
    ],
)
def test_a_value_out_of_its_range_is_refused(path, changes, words):
    with pytest.raises(InputError, match=words):
        build(EXPERTS, {"name": "demonstrations", "path": str(path), "split": "train", **changes}, "expert")


def test_fewer_recordings_than_a_test_needs_are_refused(tmp_path):
    with pytest.raises(ArgumentError, match="has 3 episodes: at least 5"):
        DemonstrationsExpert(str(write_npz(tmp_path / "few", recordings()[:3])), "test")


def test_demonstrations_are_no_part_of_a_mixture(path):
    part = {"weight": 1, "expert": {"name": "demonstrations", "path": str(path), "split": "train"}}
    with pytest.raises(InputError, match="no part of a mixture"):
        build(EXPERTS, {"name": "mixture", "parts": [part]}, "expert")


def test_demonstrations_are_no_policy_that_is_evaluated(path):
    with pytest.raises(InputError, match="heads for no goal: give another one"):
        Privileged(DemonstrationsExpert(str(path), "train"), seed=0)


def test_the_digest_is_that_of_the_recordings(path, tmp_path):
    again = write_npz(tmp_path / "again")
    assert DemonstrationsExpert(str(path), "train").digest == DemonstrationsExpert(str(again), "train").digest
    changed = recordings()
    changed[0][1][0] += 1
    other = write_npz(tmp_path / "other", changed)
    assert DemonstrationsExpert(str(path), "train").digest != DemonstrationsExpert(str(other), "train").digest
    assert DemonstrationsExpert(str(path), "test").digest == DemonstrationsExpert(str(other), "test").digest
