"""Training on a GPU: replayed and compiled steps are the plain ones, nothing waits, a resumed run is the same."""

import signal

import numpy as np
import pytest
import torch

from lewm.data.device_clips import DeviceClips
from tests.training.test_trainer import assert_same_tensors, averages, fit, resume, send, tensors_of, trainer_in

pytestmark = pytest.mark.gpu

PLAIN = (
    *("device=cuda", "training.precision=float32", "training.graph=false", "training.compile=false"),
    "data.num_workers=0",  # signals are sent to the process that reads the clips
    *("training.num_steps=8", "training.validate_every=50", "training.checkpoint_every=50"),
)
NO_DROPOUT = "model.predictor.dropout=0"
DROPOUT = "model.predictor.dropout=0.4"


def parameters(trainer):
    return torch.cat([parameter.detach().cpu().flatten() for parameter in trainer.model.parameters()])


def relative_distance(folder, data, overrides, others):
    """How far two runs of 8 steps end from one another, in lengths of the way of the first one."""
    initial = parameters(trainer_in(folder / "initial", data, *overrides))
    ends = [parameters(fit(folder / str(i), data, *words)) for i, words in enumerate((overrides, others))]
    return ((ends[1] - ends[0]).norm() / (ends[0] - initial).norm()).item()


@pytest.mark.parametrize("dropout", [NO_DROPOUT, DROPOUT])
def test_five_replayed_steps_after_three_eager_ones_are_the_plain_steps(tmp_path, two_room_data, dropout):
    plain = (*PLAIN, dropout)
    assert relative_distance(tmp_path, two_room_data, plain, (*plain, "training.graph=true")) < 1e-3


FED_BACK = ("training.num_frames=5", "training.rollout_steps=4")
PREFIX = (
    "model.predictor={name: prefix, width: 16, action_depth: 1, num_heads: 2, head_dim: 8, depth: 1, mlp_dim: 16,"
    " fusion_dim: 16, dropout: 0.1}"
)


@pytest.mark.parametrize(
    "words",
    [(DROPOUT, *FED_BACK), ("model.predictor=affine", *FED_BACK), (PREFIX,)],
    ids=["adaln fed back", "affine fed back", "prefix"],
)
def test_replayed_steps_of_other_predictors_and_losses_are_the_plain_steps(tmp_path, two_room_data, words):
    plain = (*PLAIN, *words)
    assert relative_distance(tmp_path, two_room_data, plain, (*plain, "training.graph=true")) < 1e-3


def test_compiled_blocks_train_with_predictions_fed_back_as_the_plain_ones(tmp_path, two_room_data):
    plain = (*PLAIN, NO_DROPOUT, *FED_BACK)
    compiled = (*plain, "training.compile=true", "training.graph=true")
    assert relative_distance(tmp_path, two_room_data, plain, compiled) < 5e-2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_replayed_steps_of_muon_are_its_plain_steps(tmp_path, two_room_data, precision):
    # A direction that is nothing but rounding becomes as long as any other.
    plain = (*PLAIN, NO_DROPOUT, "optimizer=muon", f"training.precision={precision}")
    assert relative_distance(tmp_path, two_room_data, plain, (*plain, "training.graph=true")) < 5e-2


def test_averaged_weights_of_replayed_steps_are_those_of_plain_steps(tmp_path, two_room_data):
    words = (*PLAIN, NO_DROPOUT, "training.ema_decay=0.5")
    runs = [fit(tmp_path / graph, two_room_data, *words, f"training.graph={graph}") for graph in ("false", "true")]
    plain, replayed = (averages(run)["average.projector.0.weight"] for run in runs)
    last = runs[0].model.state_dict()["projector.0.weight"]
    assert (replayed - plain).norm() < 0.1 * (last - plain).norm()


def test_the_tolerance_would_notice_other_dropout_in_the_replayed_steps(tmp_path, two_room_data):
    others = (*PLAIN, "model.predictor.dropout=0.41", "training.graph=true")
    assert relative_distance(tmp_path, two_room_data, (*PLAIN, DROPOUT), others) > 1e-2


@pytest.mark.parametrize("graph", ["false", "true"])
def test_compiled_blocks_train_as_the_plain_ones_within_rounding(tmp_path, two_room_data, graph):
    # AdamW's first steps are as long for a gradient that is nothing but rounding as for any other. Compiled dropout
    # draws other numbers.
    plain = (*PLAIN, NO_DROPOUT)
    compiled = (*plain, "training.compile=true", f"training.graph={graph}")
    assert relative_distance(tmp_path, two_room_data, plain, compiled) < 5e-2


def test_an_interrupted_and_resumed_run_is_the_same_run_bit_for_bit(tmp_path, two_room_data):
    words = (*PLAIN, DROPOUT)
    whole = fit(tmp_path / "whole", two_room_data, *words)
    assert not trainer_in(tmp_path, two_room_data, *words, step=3, event=send(signal.SIGINT)).fit()
    assert_same_tensors(tensors_of(resume(tmp_path, two_room_data, *words)), tensors_of(whole))


def test_a_resumed_run_of_replayed_steps_is_the_same_run(tmp_path, two_room_data):
    """Its first steps are eager again, where those of the whole run were replayed."""
    words = (*PLAIN, DROPOUT, "training.graph=true")
    initial, whole = (trainer_in(tmp_path / name, two_room_data, *words) for name in ("initial", "whole"))
    assert whole.fit()
    assert not trainer_in(tmp_path, two_room_data, *words, step=3, event=send(signal.SIGINT)).fit()
    resumed = resume(tmp_path, two_room_data, *words)
    way = parameters(whole) - parameters(initial)
    assert (parameters(resumed) - parameters(whole)).norm() < 1e-3 * way.norm()


@pytest.fixture
def no_waits():
    """Makes every wait for the GPU an error while it is entered."""

    class NoWaits:
        def __enter__(self):
            torch.cuda.synchronize()
            torch.cuda.set_sync_debug_mode("error")

        def __exit__(self, *_):
            torch.cuda.set_sync_debug_mode("default")

    return NoWaits()


def on_gpu(trainer, data):
    """The trainer's clips, with their frames on the GPU."""
    num_frames, spec = trainer.config.training.num_frames, trainer.spec
    return DeviceClips(data, np.unique(trainer.clips.owners), num_frames, spec.frameskip, spec.normalizer, "cuda")


def test_these_tests_would_notice_a_wait(no_waits):
    with pytest.raises(RuntimeError, match="synchroniz"), no_waits:
        torch.ones(1, device="cuda").item()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("graph", ["false", "true"])
@pytest.mark.parametrize("options", [(), ("optimizer=muon", "training.ema_decay=0.9")], ids=["default", "options"])
def test_a_step_does_not_wait_for_the_gpu(tmp_path, two_room_data, no_waits, precision, graph, options):
    words = (*PLAIN, f"training.precision={precision}", f"training.graph={graph}", *options)
    trainer = trainer_in(tmp_path, two_room_data, *words)
    clips, rng = on_gpu(trainer, two_room_data), np.random.default_rng(0)
    batches = [rng.integers(len(clips), size=trainer.config.training.batch_size) for _ in range(6)]
    trainer.objective.train()
    before = parameters(trainer)
    for index, batch in enumerate(batches[:5]):  # libraries set themselves up, a graph is recorded
        trainer.step(index, clips.__getitems__(batch))
    with no_waits:
        trainer.step(5, clips.__getitems__(batches[5]))
    assert not torch.equal(parameters(trainer), before)


def test_frames_on_the_gpu_train_as_those_on_the_disk(tmp_path, two_room_data):
    there, here = (trainer_in(tmp_path / name, two_room_data, *PLAIN) for name in ("disk", "gpu"))
    here.clips = on_gpu(here, two_room_data)
    assert there.fit() and here.fit()
    assert_same_tensors(tensors_of(here), tensors_of(there))
