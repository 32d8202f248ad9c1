"""scripts/import_checkpoint.py and scripts/export_checkpoint.py as their users run them."""

import json

import pytest
import torch

import train
from lewm.run import Run
from scripts import export_checkpoint, import_checkpoint, plan
from tests.programs import TINY_EVALUATION, assert_one_line_error, run_program
from tests.released import make_tensors, write

SETTINGS = ("env.collection.num_test_episodes=6", "data.val_fraction=0.25", "device=cpu", "num_threads=1")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write(tmp_path_factory.mktemp("released"), make_tensors())


@pytest.fixture(scope="module")
def imported(tmp_path_factory, weights, two_room_data):
    """The run folder of an imported checkpoint."""
    folder = tmp_path_factory.mktemp("runs")
    words = (f"weights={weights}", f"data.path={two_room_data.path}", f"output_dir={folder}", "name=imported")
    assert run_program(import_checkpoint.main, *words, *SETTINGS, *TINY_EVALUATION) is None
    return folder / "imported"


def test_the_run_has_the_weights_and_what_the_data_know(imported, two_room_data):
    run = Run.open(imported)
    assert (run.spec.frameskip, run.spec.frame_size, run.step) == (5, 48, 0)
    assert run.spec.data.content_hash == two_room_data.content_hash
    assert torch.equal(run.model.predictor.norm.weight, make_tensors()["predictor.transformer.norm.weight"])
    assert run.config.model == run.spec.model and run.config.env.frameskip == 5


def test_it_plans_and_is_evaluated(imported, two_room_data):
    words = (f"run={imported}", "name=plan", "num_threads=1", "device=cpu", "evaluation.split=validation")
    assert run_program(plan.main, *words) is None
    assert json.loads((imported / "plan" / "results.json").read_text())["model"]["success"]["trials"] == 4


def test_it_is_fine_tuned(imported, two_room_data):
    run = Run.open(imported)
    sizes = [f"model.{key}={json.dumps(value)}" for key, value in (("embedding_dim", 16), ("context", 3))]
    parts = (
        f"model.{part}={{{', '.join(f'{key}: {value}' for key, value in getattr(run.spec.model, part).items())}}}"
        for part in ("encoder", "projector", "action_encoder", "predictor")
    )
    words = (f"data.path={two_room_data.path}", f"output_dir={imported.parent}", "name=tuned", f"init_from={imported}")
    steps = ("training.num_steps=2", "training.batch_size=4", "env.frame_size=48", "evaluation.split=validation")
    assert run_program(train.main, *words, *steps, *SETTINGS, *TINY_EVALUATION, *sizes, *parts) is None
    tuned, before = (dict(run.model.named_parameters()) for run in (Run.open(imported.parent / "tuned"), run))
    moved = {name: float((tuned[name] - before[name]).abs().max()) for name in before}
    assert 0 < max(moved.values()) < 0.01  # two steps of AdamW at a rate of at most 1e-3


def test_pixels_that_were_normalized_otherwise_are_so_again(weights, two_room_data, tmp_path):
    words = (f"weights={weights}", f"data.path={two_room_data.path}", f"output_dir={tmp_path}")
    halves = ("pixel_mean=[0.5,0.5,0.5]", "pixel_std=[0.5,0.25,0.5]")
    assert run_program(import_checkpoint.main, *words, *halves, "name=halves", *SETTINGS) is None
    encoder = Run.open(tmp_path / "halves").model.encoder
    assert torch.equal(encoder.mean, torch.full((3, 48, 48), 127.5))
    assert encoder.std.flatten().tolist() == [127.5, 63.75, 127.5]
    with pytest.raises(SystemExit) as refused:
        export_checkpoint.main([str(tmp_path / "halves"), str(tmp_path / "out")])
    assert_one_line_error(refused.value.code, "normalized by other numbers than ImageNet's")
    code = run_program(import_checkpoint.main, *words, "pixel_std=[0.5,0,0.5]", "name=zero", *SETTINGS)
    assert_one_line_error(code, "pixel_std=[0.5, 0.0, 0.5]", "above 0")


def test_it_is_exported_as_it_came(imported, tmp_path):
    assert run_program(lambda: export_checkpoint.main([str(imported), str(tmp_path / "out")])) is None
    written = torch.load(tmp_path / "out" / "weights.pt", weights_only=True)
    assert all(torch.equal(written[name], value) for name, value in make_tensors().items())
    again = run_program(lambda: export_checkpoint.main([str(imported), str(tmp_path / "out")]))
    assert_one_line_error(again, "exists already")


def test_mistakes_get_one_line_and_make_no_run(tmp_path, weights, two_room_data):
    def start(*words):
        return run_program(import_checkpoint.main, f"output_dir={tmp_path}", *SETTINGS, *words)

    data = f"data.path={two_room_data.path}"
    assert_one_line_error(start(data), "give a value for weights=")
    assert_one_line_error(start(data, f"weights={tmp_path}/none"), "none: give the folder with weights.pt")
    assert_one_line_error(
        start(f"weights={weights}", f"data.root={tmp_path}"), "lewm collect env=two_room env.frame_size=48"
    )
    odd = {**make_tensors(), "action_encoder.patch_embed.weight": torch.zeros(10, 7, 1)}
    folder = write(tmp_path / "odd", odd)
    assert_one_line_error(start(f"weights={folder}", data), "7 numbers an action block")
    assert not list(tmp_path.glob("*/config.yaml"))


def test_a_second_import_of_that_name_is_refused(imported, weights, two_room_data):
    words = (f"weights={weights}", f"data.path={two_room_data.path}", f"output_dir={imported.parent}", "name=imported")
    assert_one_line_error(run_program(import_checkpoint.main, *words, *SETTINGS), "holds a run already")
