"""A checkpoint is whole or absent, comes back bit for bit, and holds nothing that could be run."""

import json
import os
import shutil
import threading

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lewm.data.normalize import ActionNormalizer
from lewm.errors import InputError, one_line_errors
from lewm.files import sha256_of
from lewm.regularizers import SIGReg
from lewm.training import checkpoint
from lewm.training.checkpoint import (
    Checkpoint,
    CheckpointWriter,
    Snapshot,
    checkpoints,
    latest_checkpoint,
    save_checkpoint,
)
from lewm.training.objective import build_objective
from lewm.training.optimizers import build_optimizer
from tests.disk import full_disk
from tests.programs import TINY, compose
from tests.runs import spec_of
from tests.training.damages import DAMAGES, cut_off


@pytest.fixture(scope="module")
def spec():
    return spec_with_statistics(compose(*TINY))


def spec_with_statistics(config):
    return spec_of(config, ActionNormalizer((0.1, -0.2), (0.5, 1 / 3)))


def save(folder, spec, step, model, optimizer):
    return save_checkpoint(folder, spec, step, Snapshot.take(model, SIGReg(), optimizer))


def trained(spec, num_steps=2, seed=0):
    """A model after some steps on noise, and its optimizer."""
    torch.manual_seed(seed)
    model = spec.build_model()
    model.fit_normalization(torch.randint(256, (4, 2, 3, 48, 48), dtype=torch.uint8))
    optimizer = new_optimizer(model)
    for _ in range(num_steps):
        z = model.encode(torch.randint(256, (4, 3, 3, 48, 48), dtype=torch.uint8))
        (model.predict(z, torch.randn(4, 3, spec.action_dim)) - z).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def new_optimizer(model):
    return torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=1e-2)


def load(path):
    """Everything that a checkpoint holds, as train.py and plan.py read it."""
    checkpoint = Checkpoint.open(path)
    model = checkpoint.spec.build_model()
    checkpoint.load_weights(model)
    optimizer = new_optimizer(model)
    checkpoint.load_optimizer(optimizer)
    return checkpoint.spec, checkpoint.step, model, optimizer


def assert_same_tensors(actual, expected):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype
        assert torch.equal(actual[name], value), name


def optimizer_tensors(optimizer):
    state = optimizer.state_dict()["state"]
    return {f"{index}.{key}": value for index, entry in state.items() for key, value in entry.items()}


@pytest.fixture(scope="module")
def original(tmp_path_factory, spec):
    """A run folder with a checkpoint of step 7 in it, its model and its optimizer."""
    folder = tmp_path_factory.mktemp("original")
    model, optimizer = trained(spec)
    save(folder / "checkpoints", spec, 7, model, optimizer)
    return folder, model, optimizer


@pytest.fixture
def saved(tmp_path, original):
    """The path of a copy of its checkpoint, its model and its optimizer."""
    folder, model, optimizer = original
    shutil.copytree(folder, tmp_path / "run")
    return tmp_path / "run" / "checkpoints" / "step_0000007", model, optimizer


def test_recipe_and_step_come_back(saved, spec):
    checkpoint = Checkpoint.open(saved[0])
    assert (checkpoint.spec, checkpoint.step) == (spec, 7)


def test_weights_and_buffers_come_back_bit_for_bit(saved):
    path, model, _ = saved
    assert_same_tensors(load(path)[2].state_dict(), model.state_dict())


def test_the_optimizer_comes_back_bit_for_bit(saved):
    path, _, optimizer = saved
    assert optimizer_tensors(optimizer)
    assert_same_tensors(optimizer_tensors(load(path)[3]), optimizer_tensors(optimizer))


def grouped_optimizer(model, name):
    config = compose(*TINY, f"optimizer={name}")
    return build_optimizer(config, build_objective(model, config.regularizer), torch.device("cpu"), torch.float32)


def test_moments_of_one_group_come_back_to_the_same_parameters_in_other_groups(saved):
    """Checkpoints of before there were groups hold one, in the order of the modules."""
    path, model, single = saved
    [group], grouped = single.param_groups, grouped_optimizer(model, "adamw")
    assert [len(each["params"]) for each in grouped.param_groups] != [len(group["params"])]
    Checkpoint.open(path).load_optimizer(grouped)
    for parameter in group["params"]:
        assert single.state[parameter]
        assert_same_tensors(grouped.state[parameter], single.state[parameter])


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_moments_of_several_groups_come_back_bit_for_bit(tmp_path, spec, name):
    model, _ = trained(spec)
    optimizer, other = (grouped_optimizer(model, name) for _ in range(2))
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter) if parameter.requires_grad else None
    optimizer.step()
    path = save(tmp_path, spec, 1, model, optimizer)
    Checkpoint.open(path).load_optimizer(other)
    assert {len(entry) for entry in optimizer.state.values()} == {"adamw": {3}, "muon": {1, 3}}[name]
    assert_same_tensors(optimizer_tensors(other), optimizer_tensors(optimizer))
    assert other.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]


def test_an_averaged_model_comes_back_beside_the_last_weights(tmp_path, spec):
    (model, optimizer), (average, _) = trained(spec), trained(spec, seed=1)
    path = save_checkpoint(tmp_path, spec, 3, Snapshot.take(model, SIGReg(), optimizer, average))
    opened = Checkpoint.open(path)
    loaded = {}
    for name in ("load_weights", "load_last_weights", "load_average"):
        loaded[name] = spec.build_model()
        getattr(opened, name)(loaded[name])
    assert_same_tensors(loaded["load_last_weights"].state_dict(), model.state_dict())
    for name in ("load_weights", "load_average"):
        assert_same_tensors(loaded[name].state_dict(), average.state_dict())
    assert opened.weights_hash == sha256_of(path / "average.safetensors") != sha256_of(path / "model.safetensors")
    cut_off("average.safetensors")(path)
    with pytest.raises(InputError, match=r"average\.safetensors is damaged"):
        opened.load_weights(spec.build_model())


def test_without_an_average_the_last_weights_are_those_to_evaluate(saved, spec):
    opened, model = Checkpoint.open(saved[0]), spec.build_model()
    opened.load_last_weights(model)
    assert_same_tensors(model.state_dict(), saved[1].state_dict())
    assert opened.weights_hash == sha256_of(saved[0] / "model.safetensors")
    with pytest.raises(InputError, match="holds no averaged weights"):
        opened.load_average(model)


def test_the_action_dimension_is_that_of_a_block(spec):
    assert spec.action_dim == 2 * spec.frameskip


def test_a_checkpoint_is_safetensors_and_json_and_nothing_else(saved):
    names = sorted(path.name for path in saved[0].iterdir())
    assert names == ["model.json", "model.safetensors", "optimizer.safetensors", "regularizer.safetensors"]
    json.loads((saved[0] / "model.json").read_text())
    for name in names[1:3]:
        assert load_file(saved[0] / name)
    assert load_file(saved[0] / names[3]) == {}  # SIGReg has nothing to keep


def test_a_checkpoint_is_found_where_the_run_is(saved, tmp_path):
    assert latest_checkpoint(tmp_path / "run") == saved[0]


def test_a_run_without_a_checkpoint_has_none(tmp_path):
    assert latest_checkpoint(tmp_path) is None


def test_only_the_last_checkpoint_is_kept(saved, spec, tmp_path):
    for step in (9, 99, 1000):
        path = save(saved[0].parent, spec, step, *trained(spec))
        assert latest_checkpoint(tmp_path / "run") == path
        assert list(saved[0].parent.iterdir()) == [path]
        assert Checkpoint.open(path).step == step


def test_a_step_can_be_saved_again(saved, spec):
    model, optimizer = trained(spec, num_steps=4)
    path = save(saved[0].parent, spec, 7, model, optimizer)
    assert_same_tensors(load(path)[2].state_dict(), model.state_dict())


class Interrupting(nn.Module):
    """A model that raises when its weights are asked for."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def state_dict(self):
        raise self.error


class InterruptingOptimizer(Interrupting):
    """An optimizer whose state cannot be had: the weights are written by then."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, SystemExit])
@pytest.mark.parametrize("part", ["model", "optimizer"])
def test_an_interrupted_save_leaves_the_checkpoint_before_it(saved, spec, tmp_path, part, error):
    path, model, optimizer = saved
    parts = (Interrupting(error), optimizer) if part == "model" else (model, InterruptingOptimizer(error))
    with pytest.raises(error):
        save(path.parent, spec, 8, *parts)
    assert latest_checkpoint(tmp_path / "run") == path
    assert_same_tensors(load(path)[2].state_dict(), model.state_dict())


def test_the_remains_of_an_interrupted_save_do_not_get_into_the_next(saved, spec):
    path, model, optimizer = saved
    remains = path.parent / "step_0000005.partial"
    remains.mkdir()
    (remains / "something.else").write_text("")
    following = save(path.parent, spec, 8, model, optimizer)
    assert len(list(following.iterdir())) == 4
    assert list(path.parent.iterdir()) == [following]


COPIES = (
    "step_0000007_keep",
    "step_0000080 (copy)",
    "step_80",
    "step_00000080",
    "step_",
    "step_٨",
    "best",
    "keep.partial",
)
"""Names of folders that are no checkpoints of ours."""


def test_copies_beside_the_checkpoints_are_neither_deleted_nor_taken_for_one(saved, spec, tmp_path):
    path, model, optimizer = saved
    for name in COPIES:
        shutil.copytree(path, path.with_name(name))
    for name in ("step_0000090", "note.partial"):
        (path.parent / name).write_text("a file of the user's")
    assert latest_checkpoint(tmp_path / "run") == path
    following = save(path.parent, spec, 8, model, optimizer)
    assert latest_checkpoint(tmp_path / "run") == following
    left = {each.name for each in path.parent.iterdir()}
    assert left == {*COPIES, "step_0000090", "note.partial", following.name}


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_a_checkpoint_may_be_read_by_whom_the_umask_lets(tmp_path, spec, umask):
    before = os.umask(umask)
    try:
        path = save(tmp_path, spec, 7, *trained(spec))
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o666 & ~umask}
    assert path.stat().st_mode & 0o777 == 0o777 & ~umask


def file_sizes(path):
    return {file.name: file.stat().st_size for file in path.iterdir()}


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
def test_a_full_disk_raises_and_leaves_the_checkpoint_before_it(saved, spec, tmp_path, name):
    path, model, optimizer = saved
    with pytest.raises((OSError, InputError)), full_disk(file_sizes(path)[name] - 1):
        save(path.parent, spec, 8, *trained(spec, num_steps=4))
    assert latest_checkpoint(tmp_path / "run") == path
    loaded = load(path)
    assert_same_tensors(loaded[2].state_dict(), model.state_dict())
    assert_same_tensors(optimizer_tensors(loaded[3]), optimizer_tensors(optimizer))


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
def test_a_full_disk_ends_a_program_with_one_line(saved, spec, name):
    path, model, optimizer = saved
    with pytest.raises(SystemExit) as end, full_disk(file_sizes(path)[name] - 1), one_line_errors():
        save(path.parent, spec, 8, model, optimizer)
    assert end.value.code.startswith("error: ")
    assert "\n" not in end.value.code
    assert str(path.parent) in end.value.code


def test_after_a_full_disk_the_next_save_succeeds(saved, spec, tmp_path):
    path, model, optimizer = saved
    with pytest.raises((OSError, InputError)), full_disk(100):
        save(path.parent, spec, 8, model, optimizer)
    following = save(path.parent, spec, 8, model, optimizer)
    assert list(path.parent.iterdir()) == [following]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_or_foreign_checkpoint_is_refused_in_one_line(saved, damage):
    damage(saved[0])
    with pytest.raises(InputError) as error:
        load(saved[0])
    assert "\n" not in str(error.value)


def test_the_refusal_of_a_damaged_checkpoint_names_it(saved):
    cut_off("model.safetensors")(saved[0])
    with pytest.raises(InputError, match=str(saved[0])):
        load(saved[0])


@pytest.mark.parametrize("option", ["micro", "paper"])
def test_models_of_every_configuration_come_back(tmp_path, option):
    config = compose(
        f"model={option}", f"env.frame_size={ {'micro': 64, 'paper': 56}[option] }", "model.encoder.depth=1"
    )
    spec = spec_with_statistics(config)
    model = spec.build_model()
    path = save(tmp_path, spec, 0, model, new_optimizer(model))
    assert_same_tensors(load(path)[2].state_dict(), model.state_dict())


def test_steps_are_compared_as_numbers(saved, spec, tmp_path):
    for step in (9_999_999, 10_000_000):
        path = save(saved[0].parent, spec, step, *trained(spec))
    assert latest_checkpoint(tmp_path / "run") == path
    assert Checkpoint.open(latest_checkpoint(tmp_path / "run")).step == 10_000_000


def test_the_last_checkpoints_and_every_kth_are_kept(tmp_path, spec):
    model, optimizer = trained(spec)
    snapshot = Snapshot.take(model, SIGReg(), optimizer)
    for step in range(1, 9):
        save_checkpoint(tmp_path / "checkpoints", spec, step, snapshot, keep_last=2, keep_every=3)
    assert sorted(checkpoints(tmp_path)) == [3, 6, 7, 8]


def test_unknown_keys_of_a_description_are_ignored(saved, spec):
    described = json.loads((saved[0] / "model.json").read_text())
    described["later"] = 1
    described["model"]["later"] = 2
    (saved[0] / "model.json").write_text(json.dumps(described))
    assert Checkpoint.open(saved[0]).spec == spec


def test_a_snapshot_does_not_change_with_the_training(spec):
    model, optimizer = trained(spec)
    snapshot = Snapshot.take(model, SIGReg(), optimizer)
    before = [{name: value.clone() for name, value in part.items()} for part in snapshot]
    with torch.no_grad():
        for value in (*model.parameters(), *(each for entry in optimizer.state.values() for each in entry.values())):
            value.add_(1)
    for part, values in zip(snapshot, before, strict=True):
        assert_same_tensors(part, values)


def test_the_seconds_of_a_training_come_back_and_older_checkpoints_have_none(tmp_path, spec):
    model, optimizer = trained(spec)
    path = save_checkpoint(tmp_path, spec, 3, Snapshot.take(model, SIGReg(), optimizer), seconds=12.5)
    assert Checkpoint.open(path).seconds == 12.5
    described = json.loads((path / "model.json").read_text())
    del described["seconds"]
    (path / "model.json").write_text(json.dumps(described))
    assert Checkpoint.open(path).seconds == 0


@pytest.mark.parametrize("seconds", [-1, "2", None, True, float("inf")])
def test_seconds_that_are_none_are_damage(tmp_path, spec, seconds):
    model, optimizer = trained(spec)
    path = save_checkpoint(tmp_path, spec, 3, Snapshot.take(model, SIGReg(), optimizer))
    described = json.loads((path / "model.json").read_text())
    (path / "model.json").write_text(json.dumps({**described, "seconds": seconds}))
    with pytest.raises(InputError, match=r"model\.json is damaged: seconds="):
        Checkpoint.open(path)


def test_what_a_training_ran_on_comes_back_and_older_checkpoints_do_not_say(tmp_path, spec):
    trained_on = {"device": "cpu", "precision": "bfloat16", "num_processes": 2, "num_threads": 1}
    snapshot = Snapshot({"a": torch.ones(1)}, {}, {}, {})
    path = save_checkpoint(tmp_path / "checkpoints", spec, 3, snapshot, trained_on=trained_on)
    assert Checkpoint.open(path).trained_on == trained_on
    path = save_checkpoint(tmp_path / "checkpoints", spec, 4, snapshot)
    assert "trained_on" not in json.loads((path / "model.json").read_text())
    assert Checkpoint.open(path).trained_on == {}


def test_checkpoints_are_written_beside_the_training(tmp_path, spec, monkeypatch):
    """One at a time, and all of them by the end."""
    model, optimizer = trained(spec)
    snapshot, go_on = Snapshot.take(model, SIGReg(), optimizer), threading.Event()
    write = checkpoint.save_checkpoint
    monkeypatch.setattr(checkpoint, "save_checkpoint", lambda *args, **keys: go_on.wait() and write(*args, **keys))
    with CheckpointWriter() as writer:
        writer.write(tmp_path / "checkpoints", spec, 1, snapshot)
        assert checkpoints(tmp_path) == {}
        go_on.set()
        writer.write(tmp_path / "checkpoints", spec, 2, snapshot, keep_last=2)
        assert 1 in checkpoints(tmp_path)
    assert sorted(checkpoints(tmp_path)) == [1, 2]


@pytest.mark.parametrize("last", [True, False])
def test_an_error_while_a_checkpoint_is_written_is_raised_at_the_next_one_or_at_the_end(tmp_path, spec, last):
    model, optimizer = trained(spec)
    snapshot = Snapshot.take(model, SIGReg(), optimizer)
    ended = []

    def write():
        with CheckpointWriter() as writer:
            writer.write(tmp_path, spec, 1, snapshot)
            if not last:
                writer.write(tmp_path, spec, 2, snapshot)
            ended.append(True)

    with full_disk(1000), pytest.raises(InputError, match="cannot write the checkpoint"):
        write()
    assert ended == [True] * last
