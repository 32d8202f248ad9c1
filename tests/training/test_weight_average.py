"""The average of a model's weights: what it is after each step, and that the model is not changed by it."""

import pytest
import torch

from lewm.training.weight_average import WeightAverage
from tests.programs import TINY, compose
from tests.runs import spec_of


@pytest.fixture
def model():
    torch.manual_seed(0)
    return spec_of(compose(*TINY)).build_model()


def changed(model, seed):
    """The model with other weights and buffers."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.state_dict().values():
            value.copy_(10 * torch.rand(value.shape, generator=generator))
    return model


@pytest.mark.parametrize("decay", [0.15, 0.9])
def test_weights_and_statistics_are_averaged_and_counts_copied(model, decay):
    average, expected = WeightAverage(model, decay), {name: value.clone() for name, value in model.state_dict().items()}
    for step in range(4):
        current = changed(model, step).state_dict()
        kept = min(decay, (1 + step) / (10 + step))  # 0.1, 2/11, 3/12, 4/13
        for name, value in expected.items():
            mixed = kept * value + (1 - kept) * current[name]
            expected[name] = mixed if value.is_floating_point() else current[name].clone()
        before = {name: value.clone() for name, value in current.items()}
        average.update(step)
        assert all(torch.equal(value, before[name]) for name, value in current.items())
    averaged = average.model.state_dict()
    assert {value.dtype for value in averaged.values()} == {torch.float32, torch.int64}
    for name, value in expected.items():
        torch.testing.assert_close(averaged[name], value, msg=name)


def test_the_first_step_forgets_most_of_the_start_whatever_the_decay(model):
    average = WeightAverage(changed(model, 0), 0.999)
    start = average.model.state_dict()["projector.0.weight"].clone()
    end = changed(model, 1).state_dict()["projector.0.weight"]
    average.update(0)
    torch.testing.assert_close(average.model.state_dict()["projector.0.weight"], 0.1 * start + 0.9 * end)


def test_what_does_not_change_stays_as_it_is_bit_for_bit(model):
    average = WeightAverage(model, 0.9)
    for step in range(20):
        average.update(step)
    assert all(torch.equal(value, average.model.state_dict()[name]) for name, value in model.state_dict().items())


def test_the_averaged_model_is_in_eval_mode_without_gradients(model):
    average = WeightAverage(model.train(), 0.9).model
    assert not any(module.training for module in average.modules())
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert model.training
