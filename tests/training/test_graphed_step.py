"""A recorded step: made again on other batches, it is the step; and it makes no GPU wait."""

from functools import partial

import pytest
import torch

from lewm.training import trainer as trainer_module
from lewm.training.graphed_step import NUM_EAGER, GraphedStep, Recording
from tests.programs import TINY, compose, make_trainer
from tests.training.recorded_ops import RecordedOps

NUM_STEPS = 8
REGULARIZERS = ("sigreg", "mmd", "vicreg", "none")  # Wristband reads a number, on CPUs only
PLAIN = tuple(word for word in TINY if not word.startswith("regularizer."))


class OnCPU(GraphedStep):
    """Records operations instead of a CUDA graph."""

    num_records = 0

    def warm_up(self, clip):
        return self._update(clip)

    def record(self, clip):
        self.num_records += 1
        # A recording calculates, and a capture does not: what it has changed is put back.
        trainer = self._update.__self__
        state = trainer.objective.state_dict() | moments_of(trainer)
        before = {name: value.clone() for name, value in state.items()}
        randoms = torch.get_rng_state(), self._generators[0].get_state()
        with RecordedOps() as recorded:
            outputs = self._update(clip)
        for name, value in state.items():
            value.copy_(before[name])
        torch.set_rng_state(randoms[0])
        self._generators[0].set_state(randoms[1])
        return Recording(clip, recorded.replay, outputs)


def moments_of(trainer):
    entries = trainer.optimizer.optimizer.state_dict()["state"]
    return {f"{index}.{key}": value for index, entry in entries.items() for key, value in entry.items()}


def fitted(folder, data, *overrides):
    """The weights and moments after NUM_STEPS steps, and the trainer."""
    words = (*overrides, f"training.num_steps={NUM_STEPS}", "training.final_weight_fraction=0.1")
    config = compose(*words, f"data.path={data.path}", f"output_dir={folder}")
    config.run_dir.mkdir(parents=True)
    trainer = make_trainer(config, data)
    assert trainer.fit()
    return trainer.model.state_dict() | moments_of(trainer), trainer


@pytest.fixture
def with_recording(monkeypatch):
    """Lets trainers on a CPU record their steps."""
    choose = trainer_module.choose_switches
    monkeypatch.setattr(trainer_module, "choose_switches", lambda *parts: choose(*parts)._replace(graph=True))
    monkeypatch.setattr(trainer_module, "GraphedStep", OnCPU)


@pytest.mark.parametrize("name", REGULARIZERS)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_recorded_step_made_again_is_the_step(tmp_path, two_room_data, request, name, dropout):
    words = (*PLAIN, f"regularizer={name}", f"model.predictor.dropout={dropout}")
    if name == "sigreg":
        words = (*words, "regularizer.num_directions=16")
    expected, plain = fitted(tmp_path / "plain", two_room_data, *words)
    request.getfixturevalue("with_recording")
    actual, recorded = fitted(tmp_path / "recorded", two_room_data, *words)
    assert not isinstance(plain._update, GraphedStep)
    assert recorded._update.num_records == 1
    assert actual.keys() == expected.keys()
    assert [key for key in expected if not torch.equal(actual[key], expected[key])] == []


FED_BACK = ("training.num_frames=5", "training.rollout_steps=4")
PREDICTORS = {
    "adaln, fed back": ("model.predictor.dropout=0.3", *FED_BACK),
    "affine, fed back": ("predictor=affine", *FED_BACK),
    "prefix": ("predictor=prefix", "model.predictor.depth=2", "model.predictor.action_depth=1"),
}


@pytest.mark.parametrize("name", PREDICTORS)
def test_a_recorded_step_made_again_is_the_step_with_every_predictor(tmp_path, two_room_data, request, name):
    words = [word for word in TINY if name.startswith("adaln") or not word.startswith("model.predictor.")]
    expected, _ = fitted(tmp_path / "plain", two_room_data, *words, *PREDICTORS[name])
    request.getfixturevalue("with_recording")
    actual, recorded = fitted(tmp_path / "recorded", two_room_data, *words, *PREDICTORS[name])
    assert recorded._update.num_records == 1
    assert actual.keys() == expected.keys()
    assert [key for key in expected if not torch.equal(actual[key], expected[key])] == []


@pytest.mark.parametrize("word", ["optimizer=muon", "training.ema_decay=0.9"])
def test_a_step_with_this_option_is_recorded_as_it_is(tmp_path, two_room_data, request, word):
    expected, plain = fitted(tmp_path / "plain", two_room_data, *TINY, word)
    request.getfixturevalue("with_recording")
    actual, recorded = fitted(tmp_path / "recorded", two_room_data, *TINY, word)
    assert recorded._update.num_records == 1
    assert (plain._average is not None) == (word == "training.ema_decay=0.9")
    if plain._average is not None:
        actual, expected = recorded._average.model.state_dict(), plain._average.model.state_dict()
    assert actual.keys() == expected.keys()
    assert [key for key in expected if not torch.equal(actual[key], expected[key])] == []


def test_the_step_is_eager_first_and_recorded_once():
    made = []

    class Fake(GraphedStep):
        def warm_up(self, clip):
            made.append("eager")

        def record(self, clip):
            made.append("record")
            return Recording(clip, partial(made.append, "replay"), None)

    step = Fake(None, [], torch.device("cpu"))
    for _ in range(NUM_EAGER + 2):
        step([torch.zeros(1)] * 3)
    assert made == ["eager"] * NUM_EAGER + ["record", "replay", "replay"]


def test_a_recording_reads_the_batch_of_its_call():
    class Fake(GraphedStep):
        def warm_up(self, clip):
            pass

        def record(self, clip):
            return Recording(clip, lambda: None, clip.pixels)

    step = Fake(None, [], torch.device("cpu"))
    batches = [trainer_module.Clip(*(torch.full((2,), float(k)) for _ in range(3))) for k in range(NUM_EAGER + 3)]
    outputs = [step(batch) for batch in batches]
    assert outputs[-1].tolist() == [NUM_EAGER + 2] * 2
    assert batches[NUM_EAGER].pixels.tolist() == [NUM_EAGER] * 2  # the caller's stays as it is


@pytest.mark.parametrize("make_it_wait", [torch.Tensor.item, torch.nonzero, bool])
def test_this_recorder_notices_what_makes_a_gpu_wait(make_it_wait):
    with pytest.raises(AssertionError, match="makes a GPU wait"), RecordedOps():
        make_it_wait(torch.ones(()))


def test_this_recorder_notices_a_number_of_the_host():
    """Its replay keeps the number, as a graph does."""
    x, factor = torch.ones(2), 3.0
    with RecordedOps() as recorded:
        y = x * factor
    factor = 5.0
    x.fill_(2.0)
    recorded.replay()
    assert y.tolist() == [6.0, 6.0] != [x[0].item() * factor] * 2
