"""A run is opened in one place, and what lies where its data were is never taken for them without a word."""

import shutil

import numpy as np
import pytest
import torch

from lewm.data.clips import split_episodes, training_actions
from lewm.data.normalize import ActionNormalizer
from lewm.errors import InputError
from lewm.run import Run
from lewm.training.model_spec import ModelSpec
from tests.conftest import collect_two_room
from tests.programs import TINY, compose
from tests.runs import save_run


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Eight short episodes, which tests may replace by others."""
    return collect_two_room(tmp_path_factory.mktemp("data") / "walks", num_episodes=8, max_steps=20, seed=0)


@pytest.fixture
def run(tmp_path, data):
    """A run with random weights on a copy of the data."""
    shutil.copytree(data.path, tmp_path / "walks")
    own = type(data)(tmp_path / "walks")
    config = compose(*TINY, f"data.path={own.path}")
    train_ids, _ = split_episodes(len(own), config.data.val_fraction, config.data.split_seed)
    spec = ModelSpec.of(config, own, ActionNormalizer.fit(training_actions(own, train_ids)))
    torch.manual_seed(0)
    return save_run(tmp_path / "run", config, spec, spec.build_model(), step=3)


def test_a_run_knows_its_step_its_weights_and_its_settings(run):
    assert run.step == 3
    assert run.config.data.path == run.spec.data.path
    assert not run.model.training
    assert not any(parameter.requires_grad for parameter in run.model.parameters())


def test_a_run_can_be_opened_by_the_folder_of_a_checkpoint(run):
    opened = Run.open(run.checkpoint.path)
    assert opened.path == run.path
    assert opened.checkpoint == run.checkpoint


def test_a_folder_without_a_checkpoint_is_refused_by_its_name(tmp_path):
    with pytest.raises(InputError, match="nothing holds no checkpoint"):
        Run.open(tmp_path / "nothing")


def test_the_split_of_the_own_data_is_the_one_of_the_training(run):
    train_ids, held_out = run.split(run.data())
    expected = split_episodes(8, run.config.data.val_fraction, run.config.data.split_seed)
    np.testing.assert_array_equal(train_ids, expected[0])
    np.testing.assert_array_equal(held_out, expected[1])


def test_other_data_where_the_own_ones_were_are_refused(run):
    path = run.data().path
    shutil.rmtree(path)
    collect_two_room(path, num_episodes=24, max_steps=20, seed=0)
    with pytest.raises(InputError, match=r"is not the dataset that .* was trained on.*data_path="):
        Run.open(run.path).data()


def test_every_episode_of_other_data_that_are_asked_for_counts_as_held_out(run, tmp_path):
    other = collect_two_room(tmp_path / "other", num_episodes=5, max_steps=20, seed=1)
    data = run.data(other.path)
    train_ids, held_out = run.split(data)
    assert not run.owns(data)
    assert not len(train_ids)
    np.testing.assert_array_equal(held_out, np.arange(5))


def test_a_copy_of_the_own_data_is_the_own_data(run, tmp_path):
    shutil.copytree(run.data().path, tmp_path / "moved")
    data = run.data(tmp_path / "moved")
    assert run.owns(data)
    assert len(run.split(data)[0])


def test_an_agent_plans_as_the_run_is_configured_unless_told_otherwise(run):
    assert run.agent().mpc.horizon == run.config.planning.horizon
    assert run.agent(horizon=4).mpc.horizon == 4
    assert run.agent().mpc.seed == run.config.seed
    assert run.agent(seed=run.config.seed + 1).mpc.seed == run.config.seed + 1


def test_a_run_of_an_older_version_is_read_with_the_defaults_of_what_it_lacks(run):
    path = run.path / "config.yaml"
    lines = [line for line in path.read_text().splitlines() if not line.strip().startswith(("num_videos:", "window:"))]
    path.write_text("\n".join([*lines, "a_later_key: 1"]) + "\n")
    config = Run.open(run.path).config
    assert config.evaluation.num_videos == 8
    assert config.planning.window == 1
    assert config.training == run.config.training


@pytest.mark.parametrize("content", [b"seed: [", b"\xff\xfe\x00", b"- 1\n- 2\n", b"", b"seed: one\n"])
def test_a_damaged_configuration_is_refused_in_one_line(run, content):
    (run.path / "config.yaml").write_bytes(content)
    with pytest.raises(InputError) as error:
        _ = Run.open(run.path).config
    assert "\n" not in str(error.value)
