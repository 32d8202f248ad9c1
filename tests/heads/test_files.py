"""A head in a run folder comes back bit for bit, belongs to its weights, and is whole or absent."""

import json
import shutil

import pytest
import torch

from lewm.errors import InputError
from lewm.files import sha256_of
from lewm.heads import HEADS
from lewm.heads.files import VERSION, _read_description, save_head
from lewm.heads.fitting import FittedHead, build_head
from lewm.regularizers import SIGReg
from lewm.run import Run
from lewm.training.checkpoint import Snapshot, save_checkpoint
from tests.heads.damages import DAMAGES, edited_head
from tests.training.linear_world import head_config, spec_for, write_walks

NAMES = sorted(HEADS)


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return spec_for(write_walks(tmp_path_factory.mktemp("walks") / "data", num_episodes=4))


def save_run(run_dir, spec, seed=0):
    torch.manual_seed(seed)
    model = spec.build_model()
    optimizer = torch.optim.SGD(model.parameters())
    return save_checkpoint(run_dir / "checkpoints", spec, 1 + seed, Snapshot.take(model, SIGReg(), optimizer))


def save_random_head(run_dir, spec, name, seed=1, fitted_to=None):
    config = head_config(name)
    torch.manual_seed(seed)
    head = build_head(config, spec)
    fitted_to = fitted_to or Run.open(run_dir).checkpoint.weights_hash
    save_head(run_dir, config, FittedHead(head, {"r2": 0.5}), fitted_to)
    return head


@pytest.fixture(scope="module")
def run(tmp_path_factory, spec):
    """A run folder with every head, and these heads."""
    run_dir = tmp_path_factory.mktemp("runs") / "x"
    save_run(run_dir, spec)
    return run_dir, {name: save_random_head(run_dir, spec, name) for name in NAMES}


@pytest.fixture
def own_run(run, tmp_path):
    """A copy to break."""
    return shutil.copytree(run[0], tmp_path / "x")


def refusal(run_dir, name):
    with pytest.raises(InputError) as error:
        Run.open(run_dir).heads[name]
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_head_comes_back_bit_for_bit_and_ready_for_use(run, name):
    run_dir, heads = run
    loaded = Run.open(run_dir).heads[name]
    assert type(loaded) is HEADS[name]
    saved = heads[name].state_dict()
    assert loaded.state_dict().keys() == saved.keys()
    assert all(torch.equal(value, saved[key]) for key, value in loaded.state_dict().items())
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_the_heads_of_a_run_are_listed(run):
    heads = Run.open(run[0]).heads
    assert list(heads) == NAMES
    assert len(heads) == len(NAMES)
    assert "inverse_dynamics" in heads and "another" not in heads


def test_a_run_without_heads_has_none(tmp_path, spec):
    save_run(tmp_path, spec)
    assert dict(Run.open(tmp_path).heads) == {}


def test_a_head_is_read_once(run):
    heads = Run.open(run[0]).heads
    assert heads["inverse_dynamics"] is heads["inverse_dynamics"]


def test_a_head_of_other_weights_is_refused(own_run, spec):
    save_run(own_run, spec, seed=1)
    message = refusal(own_run, "inverse_dynamics")
    assert "other weights" in message and "train-head" in message and "head=inverse_dynamics" in message


def test_a_head_belongs_to_the_weights_it_was_fitted_to_and_not_to_those_at_the_time_it_is_saved(own_run, spec):
    fitted_to = sha256_of(next((own_run / "checkpoints").iterdir()) / "model.safetensors")
    save_run(own_run, spec, seed=1)
    save_random_head(own_run, spec, "inverse_dynamics", fitted_to=fitted_to)
    assert "other weights" in refusal(own_run, "inverse_dynamics")
    shutil.rmtree(own_run / "checkpoints")
    save_run(own_run, spec)
    assert Run.open(own_run).heads["inverse_dynamics"] is not None


def test_a_head_that_is_not_there_says_how_to_fit_it(own_run):
    shutil.rmtree(own_run / "heads" / "temporal_distance")
    assert f"train-head run={own_run} head=temporal_distance" in refusal(own_run, "temporal_distance")


def test_other_heads_than_the_one_asked_for_may_be_damaged(own_run):
    (own_run / "heads" / "temporal_distance" / "head.json").write_text("{")
    assert Run.open(own_run).heads["inverse_dynamics"] is not None


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_head_is_refused_in_one_line_by_its_path_and_with_the_remedy(own_run, damage):
    path = own_run / "heads" / "inverse_dynamics"
    damage(path)
    message = refusal(own_run, "inverse_dynamics")
    assert str(path) in message
    assert f"train-head run={own_run} head=inverse_dynamics" in message


def test_a_head_of_another_version_is_told_from_a_damaged_one(own_run):
    edited_head(lambda described: described.update(version=VERSION - 1))(own_run / "heads" / "inverse_dynamics")
    message = refusal(own_run, "inverse_dynamics")
    assert f"version {VERSION}" in message and "damaged" not in message


def test_weights_of_another_size_are_refused(own_run):
    edited_head(lambda described: described["head"].update(hidden_dim=32))(own_run / "heads" / "inverse_dynamics")
    assert "do not fit" in refusal(own_run, "inverse_dynamics")


def test_keys_of_later_versions_are_ignored(own_run):
    def extend(described):
        described.update(later=1)
        described["fitting"].update(later=1)

    edited_head(extend)(own_run / "heads" / "inverse_dynamics")
    assert Run.open(own_run).heads["inverse_dynamics"] is not None


def test_a_head_of_before_precisions_were_written_was_fitted_in_float32(own_run):
    path = own_run / "heads" / "inverse_dynamics"
    edited_head(lambda described: described["fitting"].pop("precision"))(path)
    assert Run.open(own_run).heads["inverse_dynamics"] is not None
    assert _read_description(path / "head.json").fitting.precision == "float32"


def test_heads_that_were_used_are_told_apart_by_the_hash_of_their_weights(run):
    heads = Run.open(run[0]).heads
    assert heads.used() == {}
    assert heads["temporal_distance"] is not None
    file = run[0] / "heads" / "temporal_distance" / "head.safetensors"
    assert heads.used() == {"temporal_distance": sha256_of(file)}


def test_a_head_replaces_the_one_before_it(own_run, spec):
    head = save_random_head(own_run, spec, "inverse_dynamics", seed=2)
    weights = Run.open(own_run).heads["inverse_dynamics"].state_dict()
    assert all(torch.equal(weights[key], value) for key, value in head.state_dict().items())


def test_an_unfinished_head_is_none(own_run):
    (own_run / "heads" / "inverse_dynamics").rename(own_run / "heads" / "inverse_dynamics.partial")
    assert list(Run.open(own_run).heads) == [name for name in NAMES if name != "inverse_dynamics"]


def test_a_head_file_says_what_it_was_fitted_with_and_its_errors(run):
    described = json.loads((run[0] / "heads" / "inverse_dynamics" / "head.json").read_text())
    config = head_config("inverse_dynamics")
    assert described["head"] == config.head
    assert described["fitting"]["num_steps"] == config.fitting.num_steps
    assert described["errors"] == {"r2": 0.5}


def test_a_run_without_a_checkpoint_has_nothing_to_save_a_head_for(tmp_path, spec):
    with pytest.raises(InputError, match="no checkpoint"):
        save_random_head(tmp_path, spec, "inverse_dynamics")
