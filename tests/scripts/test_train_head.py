"""scripts/train_head.py as its users run it."""

import json

import numpy as np
import pytest
import torch
from rich.progress import Progress

from lewm.data.clips import split_episodes, training_actions
from lewm.data.normalize import ActionNormalizer
from lewm.heads import HEADS
from lewm.heads.config import TrainHeadConfig, read_heads
from lewm.heads.fitting import head_data
from lewm.run import Run
from lewm.training.model_spec import ModelSpec
from scripts import train_head
from tests.conftest import collect_two_room
from tests.programs import TINY, assert_one_line_error, compose, run_program
from tests.runs import save_run

SMALL = ("num_threads=1", "device=cpu", "fitting.num_steps=4", "fitting.batch_size=8")
NAMES = sorted(HEADS)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, two_room_data):
    """A run folder with a checkpoint of random weights."""
    config = compose(*TINY, f"data.path={two_room_data.path}")
    train_ids, _ = split_episodes(len(two_room_data), config.data.val_fraction, config.data.split_seed)
    normalizer = ActionNormalizer.fit(training_actions(two_room_data, train_ids))
    spec = ModelSpec.of(config, two_room_data, normalizer)
    torch.manual_seed(0)
    return save_run(tmp_path_factory.mktemp("runs") / "tiny", config, spec, spec.build_model()).path


def fit(run_dir, *words):
    return run_program(train_head.main, f"run={run_dir}", *SMALL, *words)


@pytest.mark.parametrize("name", NAMES)
def test_a_head_is_fitted_and_can_be_used(run_dir, name, capsys):
    assert fit(run_dir, f"head={name}", "seed=3") is None
    head = Run.open(run_dir).heads[name]
    assert type(head) is HEADS[name]
    printed = capsys.readouterr().out.replace("\n", "")
    assert f"{run_dir}/heads/{name}" in printed
    errors = json.loads((run_dir / "heads" / name / "head.json").read_text())["errors"]
    assert errors
    for error, value in errors.items():
        assert f"held-out {error}: {value:.4f}" in printed


@pytest.mark.parametrize("name", NAMES)
def test_a_fitted_head_takes_what_the_model_gives_and_gives_what_it_is_judged_by(run_dir, two_room_data, name):
    run, (config,) = Run.open(run_dir), read_heads([name])
    assert fit(run_dir, f"head={name}") is None
    head, (_, held_out) = run.heads[name], run.split(two_room_data)
    data = head_data(head, run.model, run.spec, two_room_data, held_out, config, Progress(disable=True))
    batch = head.draw(data, 3, np.random.default_rng(0))
    assert head(batch.seen, batch.goals).shape == batch.targets.shape


@pytest.mark.parametrize("name", NAMES)
def test_every_head_composes_as_the_file_that_train_reads(name):
    config = compose("run=x", f"head={name}", program="train_head", schema=TrainHeadConfig)
    assert config.head_config == read_heads([name])[0]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["head=inverse_dynamic"], ["'inverse_dynamic'", "'inverse_dynamics'"]),
        (["head.hiden_dim=3"], ["'head.hiden_dim'", "'head.hidden_dim'"]),
        (["head.num_layers=0"], ["num_layers=0"]),
        (["head.context=0"], ["context=0"]),
        (["+head.embedding_dim=7"], ["embedding_dim"]),
        (["fitting.num_steps=0"], ["fitting.num_steps=0"]),
        (["fitting.far_share=1.5"], ["fitting.far_share=1.5"]),
        (["device=tpu"], ["device='tpu'"]),
        (["data_path=/nowhere"], ["/nowhere"]),
    ],
)
def test_mistakes_end_in_one_line(run_dir, words, named):
    assert_one_line_error(fit(run_dir, *words), *named)


def test_a_run_that_is_none_is_refused(tmp_path):
    assert_one_line_error(fit(tmp_path / "none"), "holds no checkpoint", "none")


def test_other_data_than_the_runs_are_refused(run_dir, tmp_path):
    other = collect_two_room(tmp_path / "data", num_episodes=3, max_steps=12, seed=1)
    assert_one_line_error(fit(run_dir, f"data_path={other.path}"), str(other.path), "trained on")
